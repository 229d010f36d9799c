"""Detail by bands of a Laplacian pyramid: how wrong each is, and how much of it is left.

Blur and invented texture look alike in one number. The share of a band's amplitude tells them
apart: below 1 detail was lost, above 1 there is more than the clean photograph has.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from train.losses.fidelity import split_luma_chroma

BANDS_PX = (2, 4, 8, 16)
"""Shortest periods of the bands; the longest is twice as long."""


def count_bands(restored: Tensor, clean: Tensor) -> dict[str, float]:
    """Mean absolute error and amplitudes of each band of luma, in units of 1/255.

    Args:
        restored: (1, 3, H, W).
        clean: (1, 3, H, W).

    Returns:
        `detail_error_2px` and so on; with an underscore, amplitudes to be added up.
    """
    counts = {}
    ours, true = (split_luma_chroma(photo)[0] * 255 for photo in (restored, clean))
    for period in BANDS_PX:
        ours_small, true_small = F.avg_pool2d(ours, 2), F.avg_pool2d(true, 2)
        our_band, true_band = _subtract(ours, ours_small), _subtract(true, true_small)
        counts[f"detail_error_{period}px"] = float((our_band - true_band).abs().mean())
        counts[f"_detail_{period}px"] = float(our_band.abs().mean())
        counts[f"_true_detail_{period}px"] = float(true_band.abs().mean())
        ours, true = ours_small, true_small
    return counts


def summarise_bands(totals: dict[str, float]) -> dict[str, float]:
    """The share of the clean photographs' amplitude by band, of sums of `count_bands`."""
    return {
        f"detail_frac_{period}px": totals[f"_detail_{period}px"]
        / max(totals[f"_true_detail_{period}px"], 1e-9)
        for period in BANDS_PX
    }


def _subtract(plane: Tensor, small: Tensor) -> Tensor:
    """A plane (1, 1, H, W) less a reduced copy of it: the finest band."""
    back = F.interpolate(small, size=plane.shape[-2:], mode="bilinear", align_corners=False)
    return plane - back
