"""Photographs varied alike before a critic sees them, so that few of them don't bore it.

Numbers are drawn first and applied later; gradients pass through.

Source:
    Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training", section 3.2:
    theirs shifts and cuts out; the mirror is ours. Colours, which are judged, are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_SHIFT_FRAC = 1 / 8
_CUT_FRAC = 1 / 2


@dataclass(frozen=True)
class Variation:
    """How the photographs of a batch are varied, one entry for each.

    Attributes:
        mirrored: (N,) bool.
        shift_px: (N, 2) int64, down and to the right; what comes in is black.
        cut_px: (N, 2) int64, top and left of a square that is blacked out.
        cut_side_px: Its side.
    """

    mirrored: NDArray[np.bool_]
    shift_px: NDArray[np.int64]
    cut_px: NDArray[np.int64]
    cut_side_px: int


def draw_variation(num: int, side_px: int, rng: np.random.Generator) -> Variation:
    """Draw how `num` square photographs are varied."""
    reach, cut_side = round(side_px * _SHIFT_FRAC), round(side_px * _CUT_FRAC)
    return Variation(
        mirrored=rng.random(num) < 0.5,
        shift_px=rng.integers(-reach, reach, (num, 2), endpoint=True),
        cut_px=rng.integers(-cut_side // 2, side_px - cut_side // 2, (num, 2)),
        cut_side_px=cut_side,
    )


def vary(photos: Tensor, variation: Variation) -> Tensor:
    """Photographs (N, 3, H, W), varied."""
    height, width = photos.shape[-2:]
    varied = []
    drawn = zip(
        photos, variation.mirrored, variation.shift_px.tolist(), variation.cut_px.tolist(),
        strict=True,
    )  # fmt: skip
    for photo, mirrored, (down, right), (top, left) in drawn:
        shifted = F.pad(photo.flip(2) if mirrored else photo, (right, -right, down, -down))
        keep = torch.ones(height, width, dtype=photo.dtype, device=photo.device)
        bottom, end = top + variation.cut_side_px, left + variation.cut_side_px
        keep[max(top, 0) : max(bottom, 0), max(left, 0) : max(end, 0)] = 0
        varied.append(shifted * keep)
    return torch.stack(varied).contiguous(memory_format=torch.channels_last)
