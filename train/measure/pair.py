"""What is measured of one restored photograph beside the clean one, and means over several."""

from __future__ import annotations

import torch
from torch import Tensor

from train.damage.stages import Damage, redamage
from train.measure import metrics
from train.measure.bands import count_bands, summarise_bands
from train.measure.gains import count_gains, summarise_gains
from train.measure.marks import FAINT_OPACITY, MIN_OPACITY, count_found, summarise_found

# Multi-scale SSIM halves four times and needs its 11 px window at the last scale.
_MS_SSIM_MIN_PX = 176


def measure_pair(
    damaged: Tensor, restored: Tensor, found: Tensor, clean: Tensor, marks: Tensor
) -> dict[str, float]:
    """Every metric of one photograph.

    Args:
        damaged: (1, 3, H, W), the input.
        restored: (1, 3, H, W).
        found: (1, 1, H, W) marks as found, in [0, 1].
        clean: (1, 3, H, W).
        marks: (1, 1, H, W).

    Returns:
        By name; errors are in units of 1/255. Names that start with an underscore are counts, whose
        sums `summarise_totals` takes.
    """
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    error = 255 * metrics.measure_luma_error(restored, clean)
    opacity = 255 * marks[0, 0].numpy()
    hit, wrong, missed = metrics.count_marks(found - 0.5, marks)[0].tolist()
    true_colorfulness = float(metrics.measure_colorfulness(clean))
    colorfulness = float(metrics.measure_colorfulness(restored))
    row = {
        "luma_psnr_db": float(metrics.measure_luma_psnr(restored, clean)),
        "ssim": float(torch.as_tensor(ssim(restored, clean, data_range=1.0))),
        "delta_e": float(metrics.measure_delta_e(restored, clean)),
        "colorfulness": colorfulness,
        "colorfulness_error": abs(colorfulness - true_colorfulness),
        "_true_colorfulness": true_colorfulness,
        "_inside_error": float((error * marks).sum()),
        "_outside_error": float((error * (1 - marks)).sum()),
        "_hit": hit,
        "_wrong": wrong,
        "_missed": missed,
        **count_gains(damaged, restored, clean, marks),
        **count_bands(restored, clean),
        **count_found(
            error[0, 0].numpy(),
            found[0, 0].numpy() > 0.5,
            opacity >= FAINT_OPACITY,
            opacity >= MIN_OPACITY,
        ),
    }
    if min(clean.shape[-2:]) >= _MS_SSIM_MIN_PX:
        row["ms_ssim"] = float(ms_ssim(restored, clean, data_range=1.0))
    return row


def measure_consistency_error(restored: Tensor, damaged: Tensor, damage: Damage) -> float:
    """Mean absolute difference, in 1/255, of a restoration, damaged again, from its input.

    Args:
        restored: (1, 3, H, W).
        damaged: (1, 3, H, W), the input.
        damage: That the input has suffered.
    """
    return 255 * float((redamage(restored, damage) - damaged).abs().mean())


def summarise_totals(totals: dict[str, float], num_photos: int) -> dict[str, float]:
    """Means of the metrics of several photographs; errors, gains and F1 are over all their pixels.

    Args:
        totals: Sums over the photographs of what `measure_pair` returned.
        num_photos: How many they are.
    """
    means = {name: total / num_photos for name, total in totals.items() if name[0] != "_"}
    means["colorfulness_frac"] = totals["colorfulness"] / max(totals["_true_colorfulness"], 1e-9)
    means["error_inside_marks"] = totals["_inside_error"] / max(totals["_inside"], 1e-9)
    means["error_outside_marks"] = totals["_outside_error"] / max(totals["_outside"], 1e-9)
    counts = torch.tensor([[totals["_hit"], totals["_wrong"], totals["_missed"]]])
    means["marks_f1"] = metrics.summarise_f1(counts)
    return means | summarise_gains(totals) | summarise_bands(totals) | summarise_found(totals)
