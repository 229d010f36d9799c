"""How much more blurred the original is than the restored photograph."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.report.damage_again import blur, develop, enlarge_fields, expose, finish
from restore.report.estimate import DamageEstimate
from restore.report.fit.model import ROBUST_SCALE
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

_RANGE_PX = (0.2, 8.0)
_WINDOW_PX = 512
_LEAST_GAIN = 0.005
"""Share of what is left over that a blur must explain to count; less is a scan's and JPEG's."""
_NUM_CUTS = 8
"""By so many golden sections the range of deviations is narrowed, to 4 % of a deviation."""


def fit_blur(damage: DamageEstimate, restored: Floats, original: Floats, weight: Floats) -> float:
    """Find the deviation of the blur, all else as estimated, by golden section on its logarithm.

    Args:
        damage: The estimate.
        restored: (H, W, 3) sRGB in [0, 1].
        original: (H, W, 3) likewise.
        weight: (H, W) in [0, 1], 0 where marks hide the photograph.

    Returns:
        Deviation in px; 0 where no blur explains the original better.
    """
    window = _busiest_window(original, weight)
    light, fade = (field[window] for field in enlarge_fields(damage, *weight.shape))
    exposed, after, share = expose(restored[window], damage), original[window], weight[window]

    def misfit(sigma_px: float) -> float:
        blurred = blur(exposed, sigma_px).reshape(exposed.shape)
        off = finish(develop(blurred, damage, light), damage, fade) - after
        return float((share[..., None] * np.log1p((off / ROBUST_SCALE) ** 2)).mean())

    most = min(_RANGE_PX[1], (min(share.shape) - 1) / 3)
    if most <= _RANGE_PX[0]:
        return 0.0
    low, high = math.log(_RANGE_PX[0]), math.log(most)
    ratio = (math.sqrt(5) - 1) / 2
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [misfit(math.exp(p)) for p in inner]
    for _ in range(_NUM_CUTS):
        if values[0] < values[1]:
            high = inner[1]
            inner = [high - ratio * (high - low), inner[0]]
            values = [misfit(math.exp(inner[0])), values[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + ratio * (high - low)]
            values = [values[1], misfit(math.exp(inner[1]))]
    best = math.exp((low + high) / 2)
    return best if misfit(best) < (1 - _LEAST_GAIN) * misfit(0.0) else 0.0


def _busiest_window(photo: Floats, weight: Floats) -> tuple[slice, slice]:
    """Rows and columns of the window with the most edges outside the marks."""
    luma = cv2.GaussianBlur(photo @ LUMA_WEIGHTS, (0, 0), 1.5)
    edges = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    edges = (edges + np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))) * weight
    sums = cv2.integral(edges)
    height, width = weight.shape
    rows = np.unique(np.linspace(0, max(0, height - _WINDOW_PX), 5).astype(int))
    columns = np.unique(np.linspace(0, max(0, width - _WINDOW_PX), 5).astype(int))

    def total(y: int, x: int) -> float:
        bottom, right = min(height, y + _WINDOW_PX), min(width, x + _WINDOW_PX)
        return float(sums[bottom, right] - sums[y, right] - sums[bottom, x] + sums[y, x])

    y, x = max(((int(y), int(x)) for y in rows for x in columns), key=lambda place: total(*place))
    return slice(y, y + _WINDOW_PX), slice(x, x + _WINDOW_PX)
