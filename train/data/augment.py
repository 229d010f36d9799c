"""How the pairs of a stage are cropped, shrunk and mirrored, and how much of them is decoded.

The network is run twice on a photograph, on a reduced copy and at native resolution; so it must
learn from both: photographs shrunk nearly whole, and crops whose pixels are untouched. As there,
nothing is magnified, but where marks are to be found however soft they are.

Averaging areas at an odd ratio costs OpenCV more time than decoding the photograph. So half of the
whole photographs aren't cropped, and the decoder itself shrinks them; crops are decoded as small as
their size allows, enlarged linearly to twice the stage's size at most, and halved, which takes a
third of the time. Neither lets more of the finest grain through than averaging does: see
docs/training.md.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade import Pair
from train.config.stages import StageConfig

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it calls a package index at import

import albumentations as A

# A whole photograph keeps at least this part of its area, so that its frame is seen at times.
_WHOLE_MIN_FRAC = 0.64
# Of the whole photographs, those that aren't cropped at all.
_UNCROPPED_FRAC = 0.5
# Sides of a crop; the sources' own sides were squashed by about this much.
_ASPECT_RANGE = (0.8, 1.25)
_REDUCTIONS = (8, 4, 2, 1)
# By how much what is to be soft is magnified at most, and the sides of the crop.
_MAX_MAGNIFICATION = 2.5
_MAGNIFIED_ASPECT_RANGE = (0.9, 1.1)


class Changed(NamedTuple):
    """A pair, cropped, shrunk and mirrored.

    Attributes:
        damaged: (S, S, 3) uint8 RGB.
        clean: (S, S, 3) uint8 RGB.
        marks: (S, S) uint8.
        geometry: (5,) int64, see `train.data.pairs.Sample`.
    """

    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    geometry: NDArray[np.int64]


@dataclass(frozen=True)
class Regime:
    """One way to make a sample of a pair.

    Attributes:
        prob: How often it is used.
        reduce: What the pair's sides are divided by when it is decoded.
        compose: The chain of albumentations for what was decoded.
        aspect_frac: By how much it is stretched along one side at most, before.
    """

    prob: float
    reduce: int
    compose: A.Compose
    aspect_frac: float = 0.0

    def apply(self, pair: Pair, rng: np.random.Generator) -> Changed:
        """Change a pair.

        Args:
            pair: Read with this regime's `reduce`.
            rng: Its draws decide.
        """
        if self.aspect_frac:
            pair = _stretch(pair, *_draw_stretch(self.aspect_frac, rng))
        self.compose.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        changed = self.compose(image=pair.clean, damaged=pair.damaged, mask=pair.marks)
        steps: dict[str, Any] = dict(changed["applied_transforms"])
        crop = steps.get("RandomResizedCrop", steps.get("RandomCrop", {}))
        sides = np.array([pair.recipe.width_px, pair.recipe.height_px] * 2)
        box = np.minimum(np.array(crop["crop_coords"]) * self.reduce, sides)
        geometry = np.append(box, "HorizontalFlip" in steps).astype(np.int64)
        return Changed(changed["damaged"], changed["image"], changed["mask"], geometry)


def plan_regimes(stage: StageConfig, short_px: int) -> list[Regime]:
    """The regimes of a stage.

    Args:
        stage: Its size, and how often whole photographs and native crops are wanted.
        short_px: Short side of the pairs; at least the stage's size.
    """
    size_px = stage.size_px
    reduce = next(r for r in _REDUCTIONS if short_px >= r * size_px)
    side_px = -(-short_px // reduce)
    uncropped = [A.RandomCrop(height=side_px, width=side_px)]  # the ends of one that isn't square
    if side_px > size_px:
        uncropped.append(_resize(size_px))
    native = [A.RandomCrop(height=size_px, width=size_px)]
    between_prob = 1 - stage.whole_prob - stage.native_prob - stage.magnified_prob
    magnified = _build(stage.magnified_prob, [_crop_small(size_px, short_px)])
    # The shorter side of a crop is then the stage's size.
    min_frac = _ASPECT_RANGE[1] * (size_px / short_px) ** 2
    if min_frac >= 1:
        regimes = [
            _build(stage.whole_prob, uncropped, reduce),
            _build(stage.native_prob + between_prob, native),
        ]
    else:
        cropped_prob = stage.whole_prob * (1 - _UNCROPPED_FRAC)
        regimes = [
            _build(stage.whole_prob * _UNCROPPED_FRAC, uncropped, reduce),
            _build(stage.native_prob, native),
            *_build_crops(cropped_prob, size_px, short_px, max(min_frac, _WHOLE_MIN_FRAC)),
            *_build_crops(between_prob, size_px, short_px, min_frac),
        ]
    regimes.append(magnified)
    return [replace(regime, aspect_frac=stage.aspect_frac) for regime in regimes if regime.prob > 0]


def _draw_stretch(aspect_frac: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Shares of the width and of the height that are kept, one of them 1, and where they begin."""
    kept = math.exp(-rng.uniform(0, math.log1p(aspect_frac)))
    place = float(rng.random())
    return (kept, 1.0, place) if rng.random() < 0.5 else (1.0, kept, place)


def _stretch(pair: Pair, width_frac: float, height_frac: float, place: float) -> Pair:
    """A part of a pair, resized to the whole pair's size."""
    height, width = pair.clean.shape[:2]
    rows, columns = round(height * height_frac), round(width * width_frac)
    top, left = round(place * (height - rows)), round(place * (width - columns))

    def resize(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        part = photo[top : top + rows, left : left + columns]
        resized = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)

    return pair._replace(
        clean=resize(pair.clean), damaged=resize(pair.damaged), marks=resize(pair.marks)
    )


def _build_crops(prob: float, size_px: int, short_px: int, min_frac: float) -> list[Regime]:
    """Crops of at least `min_frac` of the area, decoded as small as their size allows."""
    regimes = []
    for reduce in _REDUCTIONS:
        # Both sides of such a crop are at least `reduce` times the stage's size.
        low, high = (_ASPECT_RANGE[1] * (f * size_px / short_px) ** 2 for f in (reduce, 2 * reduce))
        low, high = max(low, min_frac), min(high, 1.0)
        if low < high:
            crop = A.RandomResizedCrop(
                size=(2 * size_px, 2 * size_px),
                scale=(low, high),
                ratio=_ASPECT_RANGE,
                interpolation=cv2.INTER_LINEAR,
                mask_interpolation=cv2.INTER_LINEAR,
            )
            share = (high - low) / (1 - min_frac)
            regimes.append(_build(prob * share, [crop, _resize(size_px)], reduce))
    return regimes


def _crop_small(size_px: int, short_px: int) -> Any:
    """Crops whose sides are smaller than the stage's, brought to it."""
    largest = (size_px / short_px) ** 2
    return A.RandomResizedCrop(
        size=(size_px, size_px),
        scale=(largest / _MAX_MAGNIFICATION**2, largest),
        ratio=_MAGNIFIED_ASPECT_RANGE,
        interpolation=cv2.INTER_CUBIC,
        mask_interpolation=cv2.INTER_LINEAR,
    )


def _resize(size_px: int) -> Any:
    area = cv2.INTER_AREA
    return A.Resize(size_px, size_px, interpolation=area, mask_interpolation=area)


def _build(prob: float, steps: list[Any], reduce: int = 1) -> Regime:
    # Mirrored, not turned: people stand upright, and colour is learned from what stands where.
    compose = A.Compose(
        [*steps, A.HorizontalFlip(p=0.5)],
        additional_targets={"damaged": "image"},
        seed=0,
        save_applied_params=True,
    )
    return Regime(prob, reduce, compose)
