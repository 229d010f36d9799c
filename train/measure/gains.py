"""What a restoration made better and what it made worse, apart for colour, tone, detail and marks.

A difference of means hides a loss behind a gain. Here both are counted pixel by pixel: by how much
the restored photograph lies nearer to the clean one than the damaged one does, and by how much
farther.
"""

from __future__ import annotations

import torch
from torch import Tensor

from train.losses.fidelity import split_luma_chroma
from train.sliding import mean_around

ASPECTS = ("color", "tone", "detail", "marks")
# What of the error of luma is as coarse as this share of the short side is tone, the rest detail.
_TONE_FRAC = 1 / 16


def count_gains(
    damaged: Tensor, restored: Tensor, clean: Tensor, marks: Tensor
) -> dict[str, float]:
    """Gains and losses summed over the pixels of one photograph, and how many pixels count.

    Args:
        damaged: (1, 3, H, W).
        restored: (1, 3, H, W).
        clean: (1, 3, H, W).
        marks: (1, 1, H, W) their opacity. Inside counts as marks; tone and detail count outside;
            colour everywhere.

    Returns:
        `_color_gain`, `_color_loss` and so on in units of 1/255, `_inside`, `_outside` and `_all`.
    """
    before, after = (_split_error(photo, clean, marks) for photo in (damaged, restored))
    weights = {"color": torch.ones_like(marks), "tone": 1 - marks, "detail": 1 - marks}
    weights["marks"] = marks
    counts = {}
    for aspect in ASPECTS:
        nearer = 255 * (before[aspect] - after[aspect]) * weights[aspect]
        counts[f"_{aspect}_gain"] = float(nearer.clamp(min=0).sum())
        counts[f"_{aspect}_loss"] = float((-nearer).clamp(min=0).sum())
    inside = float(marks.sum())
    return counts | {"_inside": inside, "_outside": marks.numel() - inside, "_all": marks.numel()}


def summarise_gains(totals: dict[str, float]) -> dict[str, float]:
    """Means over pixels, in units of 1/255, of what `count_gains` returned, summed."""
    areas = {"color": "_all", "tone": "_outside", "detail": "_outside", "marks": "_inside"}
    return {
        f"{aspect}_{side}": totals[f"_{aspect}_{side}"] / max(totals[areas[aspect]], 1e-9)
        for aspect in ASPECTS
        for side in ("gain", "loss")
    }


def _split_error(photo: Tensor, clean: Tensor, marks: Tensor) -> dict[str, Tensor]:
    """Absolute errors (1, 1, H, W) by aspect; tone is what is coarse of the error beside marks."""
    luma, chroma = split_luma_chroma(photo - clean)
    seen = 1 - marks
    tone = _blur(luma * seen) / _blur(seen).clamp(min=1e-3)
    return {
        "color": torch.linalg.vector_norm(chroma, dim=1, keepdim=True),
        "tone": tone.abs(),
        "detail": (luma - tone).abs(),
        "marks": luma.abs(),
    }


def _blur(field: Tensor) -> Tensor:
    """Mean over a square around each pixel; what lies beyond the edge doesn't count."""
    reach = max(1, round(min(field.shape[-2:]) * _TONE_FRAC / 2))
    return mean_around(field, 2 * reach + 1)
