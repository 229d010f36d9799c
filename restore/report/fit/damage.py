"""Estimate the damage of a real photograph.

Given a restored photograph and the damaged one that it was made from, find the emulsion response,
characteristic curve, print tint, uneven light and fading, and blur that make the second of the
first. Grain has no place here: the fit is of the mean, `grain_fit` has the rest.

The fit starts from simple statistics and runs on a reduced copy, since tone, tint and fading are
coarse, and since a scan's sharpening shows less there: first on some of its pixels, then on all. It
ends with the blur alone, at the size of the photographs given. It is robust: what no damage of this
kind explains is left over, not averaged in.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.report.damage_again import blur
from restore.report.estimate import DamageEstimate
from restore.report.fit.blur import fit_blur
from restore.report.fit.model import Model
from restore.report.fit.solve import minimise
from restore.report.fit.start import start_values
from restore.report.fit.unknowns import Unknowns

Floats = NDArray[np.float32]

_SIDE_PX = 96
_COARSE_STRIDE, _COARSE_STEPS, _FINE_STEPS = 2, 20, 5


def estimate_damage(
    restored: Floats, original: Floats, weight: Floats, *, is_monochrome: bool
) -> DamageEstimate:
    """Estimate response, curve, tint, light, fading and blur.

    Args:
        restored: (H, W, 3) sRGB in [0, 1].
        original: (H, W, 3) likewise, the photograph it was made from.
        weight: (H, W) in [0, 1], 0 where marks hide the photograph.
        is_monochrome: Whether the original has no colours but its tint.

    Returns:
        The estimate; lengths in pixels of these photographs.
    """
    before, after, share = _reduce(restored, original, weight)
    unknowns = Unknowns(is_monochrome)
    values = start_values(unknowns, before, after, share)
    for stride, max_steps in ((_COARSE_STRIDE, _COARSE_STEPS), (1, _FINE_STEPS)):
        # The lens comes before the emulsion, and both are linear: blurring may come first.
        sigma_px = fit_blur(unknowns.estimate(values), before, after, share)
        model = Model(unknowns, blur(before, sigma_px), after, share, stride=stride)
        values = minimise(model, values, max_steps)
    estimate = unknowns.estimate(values)
    return replace(estimate, blur_sigma_px=fit_blur(estimate, restored, original, weight))


def _reduce(restored: Floats, original: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Copies of at most _SIDE_PX; weighted means, so that no scratch leaks into them."""
    scale = min(1.0, _SIDE_PX / max(weight.shape))
    size = tuple(max(1, round(side * scale)) for side in weight.shape[::-1])

    def reduce(photo: Floats) -> Floats:
        return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.float32)

    share = reduce(weight)
    cover = np.maximum(share, np.float32(1e-3))[..., None]
    before, after = (
        np.asarray(reduce(weight[..., None] * photo) / cover, np.float32)
        for photo in (restored, original)
    )
    return before, after, np.where(share > 0.5, share, 0).astype(np.float32)
