"""Streams of random draws: one per stage of one sample, and the few distributions needed.

Each stage has a generator of its own, keyed by (seed, source key, variant) with the stage in
the counter, so that a sample depends on nothing else and a change in one stage shifts no
other. Only uniform doubles are drawn; distributions are made of them here, because NumPy may
change its own between releases. Every number is rounded, so that JSON holds it exactly.
"""

import hashlib
import math
import struct
import threading
from collections.abc import Iterator, Mapping
from itertools import count
from statistics import NormalDist

import numpy as np

from degrade.schema import Rgb
from degrade.textures.pack import TextureInfo

# Stages in the counter of their generator: append, never reorder.
_STREAMS = (
    "crop", "profile", "frame", "lens", "emulsion", "curve", "vignette", "grain", "halftone",
    "tone", "ageing", "marks", "scan", "dyes", "uneven_tone", "copy",
)  # fmt: skip

_NORMAL = NormalDist()
# Philox yields four words at a time, so a block must be a multiple of four draws.
_BLOCK = 32


def _round(value: float) -> float:
    """To six decimals: `round` looks for them in decimal, which takes twice as long."""
    return round(value * 1e6) / 1e6


class _Uniforms(threading.local):
    """Any number of independent streams from one generator that is moved from one to another.

    Making a generator costs more than all the draws of a stage, and drawing one number at a
    time costs ten times what a block does. Each thread has a generator of its own; what it did
    before does not matter.
    """

    def __init__(self) -> None:
        self._bits = np.random.Philox(0)
        self._rng = np.random.Generator(self._bits)

    def stream(self, key: tuple[int, int], stage: int) -> Iterator[float]:
        """Uniform doubles in [0, 1), as of a new Philox with this key and counter."""
        for first in count(0, _BLOCK // 4):
            # NumPy takes tuples as well as arrays here, and sooner; its stubs don't know.
            self._bits.state = {
                "bit_generator": "Philox",
                "state": {"counter": (first, 0, 0, stage), "key": key},  # type: ignore[typeddict-item]
                "buffer": (0, 0, 0, 0),  # type: ignore[typeddict-item]
                "buffer_pos": 4,
                "has_uint32": 0,
                "uinteger": 0,
            }
            yield from self._rng.random(_BLOCK).tolist()


_UNIFORMS = _Uniforms()


class Draws:
    """Uniform doubles shaped into the few distributions that profiles need."""

    def __init__(self, key: tuple[int, int], stage: int = 0) -> None:
        self.unit = _UNIFORMS.stream(key, stage).__next__
        """Uniform in [0, 1)."""

    def split(self) -> "Draws":
        """A stream of its own, keyed by one draw of this one."""
        return Draws((int(self.unit() * 2**52), 0))

    def chance(self, prob: float) -> bool:
        """True with a probability; always consumes one draw."""
        return self.unit() < prob

    def uniform(self, interval: tuple[float, float]) -> float:
        """Uniform in an interval."""
        low, high = interval
        return _round(low + (high - low) * self.unit())

    def log_uniform(self, interval: tuple[float, float]) -> float:
        """Log-uniform in an interval; what is less than 1e-3 counts as that."""
        low, high = max(interval[0], 1e-3), max(interval[1], 1e-3)
        return _round(low * math.exp(math.log(high / low) * self.unit()))

    def whole(self, interval: tuple[int, int]) -> int:
        """Uniform whole number, both ends included."""
        low, high = interval
        return low + min(int((high - low + 1) * self.unit()), high - low)

    def normal(self) -> float:
        """Standard normal."""
        return _NORMAL.inv_cdf(min(max(self.unit(), 1e-9), 1 - 1e-9))

    def pick(self, weights: Mapping[str, float]) -> str:
        """A name, by relative weight; at least one weight exceeds 0."""
        names = sorted(weights)
        mark = self.unit() * sum(weights[name] for name in names)
        for name in names:
            mark -= weights[name]
            if mark < 0:
                return name
        return names[-1]

    def texture(self, infos: tuple[TextureInfo, ...]) -> TextureInfo:
        """One texture of a non-empty tuple."""
        return infos[self.whole((0, len(infos) - 1))]

    def offset(self) -> int:
        """An offset into a texture, which repeats."""
        return self.whole((0, 4095))

    def tint(self, low: Rgb, high: Rgb) -> Rgb:
        """A colour on the line between two."""
        t = self.unit()
        red, green, blue = (round(a + (b - a) * t, 4) for a, b in zip(low, high, strict=True))
        return red, green, blue


def sample_draws(seed: int, key: str, variant: int) -> dict[str, Draws]:
    """One independent stream of draws per stage of one sample."""
    digest = hashlib.blake2b(f"{seed}|{key}|{variant}".encode(), digest_size=16).digest()
    words = struct.unpack("<QQ", digest)
    return {stage: Draws(words, i) for i, stage in enumerate(_STREAMS)}
