"""Pairs for the trainer: clean, damaged and marks travel together through one geometric change.

What a sample is depends on (seed, stage, position in the stage) and on nothing else, so the number
of workers doesn't matter and a resumed run sees the very photographs that it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade import Pair, PairReader
from degrade.build.decode import measure_colorfulness
from degrade.errors import UnreadablePhoto
from train.config.stages import StageConfig
from train.data.augment import Regime, plan_regimes
from train.data.builds import Builds
from train.data.hints import draw_hints, paint_hints, recolor_thing
from train.errors import DataError

MIN_COLORFULNESS = 13.0
"""Clean photographs below this, by Hasler and Süsstrunk, would teach that things are grey."""

_MAX_BROKEN_IN_A_ROW = 50
_MAX_GREY_IN_A_ROW = 1000
# In the key of a sample's hints, which are drawn apart from its crop.
_HINTS = 1


class WholeLook(NamedTuple):
    """The whole that a sample is a part of, reduced: what the global branch will see of it.

    Attributes:
        damaged: (L, L, 3) uint8 RGB.
        clean: (L, L, 3) uint8 RGB.
        box: (4,) float32: left, top, right and bottom of the sample in fractions of it.
    """

    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    box: NDArray[np.float32]


class Sample(NamedTuple):
    """One augmented pair.

    Attributes:
        damaged: (S, S, 3) uint8 RGB.
        clean: (S, S, 3) uint8 RGB.
        marks: (S, S) uint8 opacity of the marks.
        pair_index: Of the pair in its builds, where its recipe is.
        geometry: (5,) int64: left, top, right, bottom of the crop in pixels of the pair, and 1 if
            the crop, resized to S px, was mirrored.
        broken: Index of an unreadable pair that this one stands in for, or -1.
        hints: (S, S, 3) int8, see `train.data.hints.paint_hints`; in colour stages only.
        look: The whole that it is a part of, where that was asked for.
    """

    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    pair_index: np.int64
    geometry: NDArray[np.int64]
    broken: np.int64
    hints: NDArray[np.int8] | None = None
    look: WholeLook | None = None


class StagePairs:
    """The augmented pairs of one stage by position: position 0 is the stage's first photograph.

    Builds take turns, so that each gives as many photographs as any other; those of smaller
    photographs than the stage's stay out of it. In a colour stage another pair of the build stands
    in for one whose clean photograph is colourless.
    """

    def __init__(
        self, builds: Builds, stage: StageConfig, seed: int, stage_number: int, look_px: int = 0
    ) -> None:
        """Plan the samples.

        Args:
            builds: Where the pairs are.
            stage: What they are for.
            seed: Of all draws.
            stage_number: Of the stage in its run.
            look_px: Side of the looks at the wholes; 0: samples bring none.
        """
        self.look_px = look_px
        self.builds = builds
        self.stage = stage
        self._seed = seed
        self._stage_number = stage_number
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._regimes = _plan_builds(builds, stage)
        self._turns = list(self._regimes)

    def __len__(self) -> int:
        return len(self.builds)

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position of the stage's endless sequence."""
        return self.read([position])[0]

    def read(self, positions: Sequence[int]) -> list[Sample]:
        """The samples at some positions.

        Like work is done for all of them in a row: between two photographs that are decoded, the
        processor forgets the code of everything else, which then takes four times as long.
        """
        rngs = [np.random.default_rng([self._seed, self._stage_number, p]) for p in positions]
        drawn = zip(positions, rngs, strict=True)
        regimes = [_draw_regime(self._regimes[self._turn(p)[0]], rng) for p, rng in drawn]
        drawn_regimes = zip(positions, regimes, rngs, strict=True)
        read = [self._read_pair(p, regime.reduce, rng) for p, regime, rng in drawn_regimes]
        samples = []
        for position, (index, pair, broken), regime, rng in zip(
            positions, read, regimes, rngs, strict=True
        ):
            changed = regime.apply(pair, rng)
            clean, hints = self._draw_hints(changed.clean, position)
            samples.append(
                Sample(
                    damaged=changed.damaged,
                    clean=clean,
                    marks=changed.marks,
                    pair_index=np.int64(index),
                    geometry=changed.geometry,
                    broken=np.int64(broken),
                    hints=hints,
                    look=look_at_whole(pair, changed.geometry, self.look_px),
                )
            )
        return samples

    def _draw_hints(
        self, clean: NDArray[np.uint8], position: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int8] | None]:
        """The clean photograph, perhaps with one thing dyed, and hints of its colours."""
        if not self.stage.is_color:
            return clean, None
        rng = np.random.default_rng([self._seed, self._stage_number, position, _HINTS])
        hints = draw_hints(self.stage.size_px, rng)
        if hints and rng.random() < self.stage.recolor_prob:
            clean = recolor_thing(clean, hints[0], rng)
        return clean, paint_hints(clean, hints)

    def _read_pair(
        self, position: int, reduce: int, rng: np.random.Generator
    ) -> tuple[int, Pair, int]:
        """A pair that can be used, by chance another: index, pair, index of a broken one or -1."""
        build, turn = self._turn(position)
        reader, start = self.builds.readers[build], self.builds.starts[build]
        index, broken, num_broken = self._pick(build, turn), -1, 0
        for _ in range(_MAX_GREY_IN_A_ROW):
            try:
                pair = reader.read(index, reduce)
                if not self.stage.is_color or has_colors(pair.clean):
                    return start + index, pair, broken
            except UnreadablePhoto:
                broken = start + index if broken < 0 else broken
                num_broken += 1
                if num_broken == _MAX_BROKEN_IN_A_ROW:
                    raise DataError(
                        f"{reader.path}: {num_broken} broken samples in a row; run degrade verify"
                    ) from None
            index = int(rng.integers(len(reader)))
        raise DataError(
            f"{reader.path}: {_MAX_GREY_IN_A_ROW} photographs without colours in a row; build "
            "pairs of colour photographs"
        )

    def _turn(self, position: int) -> tuple[int, int]:
        """Whose turn it is at a position, and how many it has had."""
        turn, place = divmod(position, len(self._turns))
        return self._turns[place], turn

    def _pick(self, build: int, turn: int) -> int:
        """Every pair of a build once before any comes again, in an order of its own each time."""
        num = len(self.builds.readers[build])
        epoch, offset = divmod(turn, num)
        known = self._orders.get(build)
        if known is None or known[0] != epoch:
            key = [self._seed, self._stage_number, 2**31, epoch, *([build] if build else [])]
            known = self._orders[build] = (epoch, np.random.default_rng(key).permutation(num))
        return int(known[1][offset])


def _draw_regime(regimes: Sequence[Regime], rng: np.random.Generator) -> Regime:
    """One of some regimes, by their probabilities."""
    probs = np.cumsum([regime.prob for regime in regimes])
    return regimes[int(np.searchsorted(probs[:-1], rng.random(), side="right"))]


def look_at_whole(pair: Pair, geometry: NDArray[np.int64], side_px: int) -> WholeLook | None:
    """What the global branch will see of a pair of which a sample is a part.

    Of a pair that isn't square it is a square around the sample, as large as the pair allows.

    Args:
        pair: As it was decoded, reduced or not.
        geometry: Of the sample, in pixels of the pair that was built.
        side_px: Of the look; 0: there is none.
    """
    if not side_px:
        return None
    *box, mirrored = (int(number) for number in geometry)
    width, height = pair.recipe.width_px, pair.recipe.height_px
    side = min(width, height)
    left = min(max((box[0] + box[2] - side) // 2, 0), width - side)
    top = min(max((box[1] + box[3] - side) // 2, 0), height - side)
    scale = pair.damaged.shape[1] / width
    rows = slice(round(top * scale), round((top + side) * scale))
    columns = slice(round(left * scale), round((left + side) * scale))

    def reduce(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        look = cv2.resize(photo[rows, columns], (side_px, side_px), interpolation=cv2.INTER_AREA)
        return np.asarray(look[:, ::-1] if mirrored else look, np.uint8)

    x0, y0, x1, y1 = np.subtract(box, [left, top] * 2) / side
    x0, x1 = (1 - x1, 1 - x0) if mirrored else (x0, x1)
    box_frac = np.array([x0, y0, x1, y1], np.float32)
    return WholeLook(reduce(pair.damaged), reduce(pair.clean), box_frac)


def has_colors(clean: NDArray[np.uint8]) -> bool:
    """Whether colours can be learned from a clean photograph (H, W, 3)."""
    return measure_colorfulness(clean) >= MIN_COLORFULNESS


def _plan_builds(builds: Builds, stage: StageConfig) -> dict[int, list[Regime]]:
    """How pairs become samples of a stage, by the number of their build."""
    plans: dict[int, list[Regime]] = {}
    largest_px = 0
    for build, reader in enumerate(builds.readers):
        if len(reader) == 0:
            raise DataError(f"{reader.path}: no pairs to train on; build more photographs")
        short_px = _measure_short_side(reader)
        largest_px = max(largest_px, short_px)
        if short_px >= stage.size_px:
            plans[build] = plan_regimes(stage, short_px)
    if not plans:
        raise DataError(
            f"{builds}: pairs of {largest_px} px, but a stage trains on {stage.size_px} px; "
            f"build with --size {stage.size_px} or choose another preset"
        )
    return plans


def _measure_short_side(reader: PairReader) -> int:
    for index in range(len(reader)):
        try:
            return min(reader[index].clean.shape[:2])
        except UnreadablePhoto:
            continue
    raise DataError(f"{reader.path}: no sample can be read; run degrade verify")
