"""Marks laid over sound photographs, as tensors: flat ink, more opaque than the damage model's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_BLURS = 3
# Marks narrower than this are thin.
_THIN_PX = 7


def find_thin(marks: Tensor) -> Tensor:
    """Opacity (N, 1, H, W) of what is thin in marks (N, 1, H, W): hairs, scratches, dust.

    Source:
        Meyer 1979, "Iterative image transformations for an automatic screening of cervical smears"
        (the top-hat: what an opening takes away).
    """
    side, reach = _THIN_PX, _THIN_PX // 2
    eroded = -F.max_pool2d(-marks, side, stride=1, padding=reach)
    return marks - F.max_pool2d(eroded, side, stride=1, padding=reach)


def lay_marks(
    clean: Tensor,
    marks: Tensor,
    *,
    ink: Tensor,
    cut: Tensor,
    gain: Tensor,
    blurs: Tensor,
    strength: Tensor,
) -> tuple[Tensor, Tensor]:
    """Lay marks over sound photographs, the thin ones made more opaque.

    Args:
        clean: (N, 3, H, W) RGB in [0, 1].
        marks: (N, 1, H, W) opacity in [0, 1].
        ink: (N, 3, 1, 1) RGB in [0, 1].
        cut: (N, 1, 1, 1) opacity in [0, 1] up to which thin marks vanish.
        gain: (N, 1, 1, 1) by how much more opaque they are beyond it.
        blurs: (N, 1, 1, 1) how often all marks are then averaged over 3 x 3 pixels, up to
            `MAX_BLURS`.
        strength: (N, 1, 1, 1) opacity in [0, 1] of what is opaque.

    Returns:
        The photographs and the opacity (N, 1, H, W) that was laid.
    """
    thin = find_thin(marks)
    opacity = (gain * (thin - cut)).clamp(0, 1).maximum(marks - thin)
    blurred = opacity
    for num in range(1, MAX_BLURS + 1):
        blurred = F.avg_pool2d(blurred, 3, stride=1, padding=1, count_include_pad=False)
        opacity = torch.where(blurs == num, blurred, opacity)
    opacity = strength * opacity
    return torch.lerp(clean, ink.expand_as(clean), opacity), opacity
