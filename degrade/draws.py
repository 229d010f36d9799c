"""Streams of random draws: one per stage of one sample, and the few distributions needed.

Each stage has a generator of its own, keyed by (seed, source key, variant) with the stage in
the counter, so that a sample depends on nothing else and a change in one stage shifts no
other. Only uniform doubles are drawn; distributions are made of them here, because NumPy may
change its own between releases. Every number is rounded, so that JSON holds it exactly.
"""

import hashlib
import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from degrade.recipe import Rgb
from degrade.textures import TextureInfo

# Stages in the counter of their generator: append, never reorder.
_STREAMS = (
    "crop", "profile", "frame", "lens", "emulsion", "curve", "vignette", "grain", "halftone",
    "tone", "ageing", "marks", "scan",
)  # fmt: skip


class Draws:
    """Uniform doubles shaped into the few distributions that profiles need."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def unit(self) -> float:
        """Uniform in [0, 1)."""
        return float(self._rng.random())

    def chance(self, prob: float) -> bool:
        """True with a probability; always consumes one draw."""
        return self.unit() < prob

    def uniform(self, interval: tuple[float, float]) -> float:
        """Uniform in an interval."""
        low, high = interval
        return round(low + (high - low) * self.unit(), 6)

    def log_uniform(self, interval: tuple[float, float]) -> float:
        """Log-uniform in an interval of positive numbers; from 1e-3 where it begins at 0."""
        low, high = max(interval[0], 1e-3), max(interval[1], 1e-3)
        return round(low * math.exp(math.log(high / low) * self.unit()), 6)

    def whole(self, interval: tuple[int, int]) -> int:
        """Uniform whole number, both ends included."""
        low, high = interval
        return low + min(int((high - low + 1) * self.unit()), high - low)

    def normal(self) -> float:
        """Standard normal."""
        return NormalDist().inv_cdf(min(max(self.unit(), 1e-9), 1 - 1e-9))

    def pick(self, weights: Mapping[str, float]) -> str:
        """A name, by relative weight."""
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
    words = np.frombuffer(digest, "<u8")
    streams = {}
    for i, stage in enumerate(_STREAMS):
        counter = np.array([0, 0, 0, i], np.uint64)
        bits = np.random.Philox(counter=counter, key=words)
        streams[stage] = Draws(np.random.Generator(bits))
    return streams
