"""Marks laid over sound photographs, as tensors: flat ink, more opaque than the damage model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.sliding import max_around, mean_around

# Marks narrower than this are thin.
_THIN_PX = 7
# Inks: mostly light or dark, sometimes any grey; each band varies a little.
_INK_RANGES = ((0.8, 1.0), (0.0, 0.2), (0.0, 1.0))
_INK_PROBS = (0.4, 0.4, 0.2)
_TINT = 0.05
# Half of the thin ones are sharp, cut off at some opacity, the others more opaque than they were.
_SHARP_PROB = 0.5
_SHARP_GAIN = 8.0
_CUT_RANGE = (0.1, 0.4)
_GAIN_RANGE = (1.0, 4.0)
# Some are out of focus, some let the photograph through.
_BLURS_PROBS = (0.4, 0.2, 0.2, 0.2)
_STRENGTH_RANGES, _STRENGTH_PROBS = ((0.85, 1.0), (0.4, 0.85)), (0.7, 0.3)


class MarksLook(NamedTuple):
    """What the laid marks of each photograph look like.

    Attributes:
        ink: (N, 3, 1, 1) RGB in [0, 1].
        cut: (N, 1, 1, 1) opacity in [0, 1] up to which thin marks vanish.
        gain: (N, 1, 1, 1) by how much more opaque they are beyond it.
        blurs: (N, 1, 1, 1) how often all marks are then averaged over 3 x 3 pixels.
        strength: (N, 1, 1, 1) opacity in [0, 1] of what is opaque.
    """

    ink: Tensor
    cut: Tensor
    gain: Tensor
    blurs: Tensor
    strength: Tensor


def draw_looks(rngs: Sequence[np.random.Generator]) -> MarksLook:
    """Draw what marks look like, for each photograph from a generator of its own."""
    drawn = [_draw_look(rng) for rng in rngs]
    return MarksLook(
        *(
            torch.tensor(np.array(numbers), dtype=torch.float32).reshape(len(rngs), -1, 1, 1)
            for numbers in zip(*drawn, strict=True)
        )
    )


def _draw_look(rng: np.random.Generator) -> tuple[NDArray[np.float64], float, float, int, float]:
    """The numbers of `MarksLook` for one photograph."""
    ink = np.clip(_draw_from(_INK_RANGES, _INK_PROBS, rng) + rng.uniform(-_TINT, _TINT, 3), 0, 1)
    is_sharp = rng.random() < _SHARP_PROB
    cut = rng.uniform(*_CUT_RANGE) if is_sharp else 0.0
    gain = _SHARP_GAIN if is_sharp else rng.uniform(*_GAIN_RANGE)
    blurs = rng.choice(len(_BLURS_PROBS), p=_BLURS_PROBS)
    return ink, cut, gain, blurs, _draw_from(_STRENGTH_RANGES, _STRENGTH_PROBS, rng)


def _draw_from(
    ranges: Sequence[tuple[float, float]], probs: Sequence[float], rng: np.random.Generator
) -> float:
    """A number from one of several ranges."""
    return rng.uniform(*ranges[rng.choice(len(ranges), p=probs)])


def find_thin(marks: Tensor) -> Tensor:
    """Opacity (N, 1, H, W) of what is thin in marks (N, 1, H, W): hairs, scratches, dust.

    Source:
        Meyer 1979, "Iterative image transformations for an automatic screening of cervical smears"
        (the top-hat: what an opening takes away).
    """
    eroded = -max_around(-marks, _THIN_PX)
    return marks - max_around(eroded, _THIN_PX)


def lay_marks(clean: Tensor, marks: Tensor, look: MarksLook) -> tuple[Tensor, Tensor]:
    """Lay marks over sound photographs, the thin ones made more opaque.

    Args:
        clean: (N, 3, H, W) RGB in [0, 1].
        marks: (N, 1, H, W) opacity in [0, 1].
        look: On the same device.

    Returns:
        The photographs and the opacity (N, 1, H, W) that was laid.
    """
    thin = find_thin(marks)
    opacity = (look.gain * (thin - look.cut)).clamp(0, 1).maximum(marks - thin)
    blurred = opacity
    for num in range(1, len(_BLURS_PROBS)):
        blurred = mean_around(blurred, 3)
        opacity = torch.where(look.blurs == num, blurred, opacity)
    opacity = look.strength * opacity
    return torch.lerp(clean, look.ink.expand_as(clean), opacity), opacity
