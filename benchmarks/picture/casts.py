"""Is the cast of faded dyes undone, and are photographs that need nothing left alone?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Photo = NDArray[np.uint8]

_KEPT_DB = 40.0
_HALF = 0.5
_COLORFULNESS_RANGE = (0.7, 1.2)


def measure_cast(restored: Photo, faded: Photo, clean: Photo) -> dict[str, float]:
    """How far the mean colour is from the clean photograph's, before and after.

    Returns:
        `cast_before` and `cast_after` (distance of mean a, b), whether it was `halved`,
        `colorfulness_frac` of the clean one's, and whether that lies `in_range` (.7 to 1.2).
    """
    from train.measure.evaluate import to_tensor
    from train.measure.metrics import convert_to_lab, measure_colorfulness

    tensors = [to_tensor(photo) for photo in (restored, faded, clean)]
    means = [convert_to_lab(tensor)[0, 1:].mean((1, 2)) for tensor in tensors]
    after, before = (float((mean - means[2]).norm()) for mean in means[:2])
    colorfulness = [float(measure_colorfulness(tensors[i])) for i in (0, 2)]
    share = colorfulness[0] / max(colorfulness[1], 1e-9)
    low, high = _COLORFULNESS_RANGE
    return {
        "cast_before": before,
        "cast_after": after,
        "halved": float(after <= _HALF * before),
        "colorfulness_frac": share,
        "in_range": float(low <= share <= high),
    }


def measure_harm(restored: Photo, clean: Photo) -> dict[str, float]:
    """How well an undamaged photograph was left alone.

    Returns:
        `psnr_db` (at most 60, of equal ones), whether it is `kept` (40 dB), and `chroma_psnr_db`,
        of its colours alone.
    """
    from train.losses.fidelity import split_luma_chroma
    from train.measure.evaluate import to_tensor

    photos = [to_tensor(photo) for photo in (restored, clean)]
    chromas = [split_luma_chroma(photo)[1] for photo in photos]
    psnr_db = _measure_psnr(*photos)
    return {
        "psnr_db": psnr_db,
        "kept": float(psnr_db >= _KEPT_DB),
        "chroma_psnr_db": _measure_psnr(*chromas),
    }


def _measure_psnr(restored: Tensor, clean: Tensor) -> float:
    error = (restored - clean).square().mean().clamp(min=1e-6)
    return float(-10 * error.log10())


def average(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means over photographs, and the least and the tenth percentile of what is in dB."""
    names = rows[0]
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    for name in names:
        if name.endswith("_db"):
            values = [row[name] for row in rows]
            means[f"{name}_min"] = float(np.min(values))
            means[f"{name}_p10"] = float(np.percentile(values, 10))
    return means
