"""Damage a photograph by an estimate, with NumPy and OpenCV.

The same stages in the same order as `degrade` has them, but no marks and no scan. The equation
stands in `restore.report.estimate`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.report.estimate import DamageEstimate
from restore.report.grain_fit import GrainEstimate, boolean_sigma

Floats = NDArray[np.float32]

_CUBIC = -0.75
"""Parameter of the cubic kernel, as OpenCV and PyTorch have it."""


def interpolate(values: Floats, knots: Floats) -> Floats:
    """A piecewise-linear function with evenly spaced knots over [0, 1].

    Args:
        values: Of any shape, in [0, 1].
        knots: (k,).

    Returns:
        Of the shape of `values`.
    """
    knots = np.asarray(knots, np.float32)
    place = values * np.float32(len(knots) - 1)
    low = np.minimum(place.astype(np.int32), len(knots) - 2)
    place -= low
    return np.asarray(knots[low] + place * np.diff(knots)[low], np.float32)


def cubic_weights(num_points: int, length: int) -> Floats:
    """Weights of evenly spaced points, ends included, in a smooth line through them.

    Args:
        num_points: Of the line.
        length: How many evenly spaced places of the line are wanted, ends included.

    Returns:
        (length, num_points), rows sum to 1. Beyond its ends the line goes on as it ended.

    Source:
        Keys, Cubic convolution interpolation for digital image processing, 1981, equation 4.
    """
    place = np.linspace(0, num_points - 1, length) if length > 1 else np.zeros(1)
    low = np.minimum(place.astype(int), max(0, num_points - 2))
    weights = np.zeros((length, num_points))
    for step in range(-1, 3):
        away = np.abs(place - low - step)
        near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
        far = _CUBIC * (((away - 5) * away + 8) * away - 4)
        share = np.where(away <= 1, near, np.where(away < 2, far, 0))
        np.add.at(weights, (np.arange(length), (low + step).clip(0, num_points - 1)), share)
    return weights.astype(np.float32)


def enlarge(grid: Floats, height: int, width: int) -> Floats:
    """A field from its values at evenly spaced points, corners included; (n, n) to (H, W)."""
    rows, columns = cubic_weights(grid.shape[0], height), cubic_weights(grid.shape[1], width)
    return np.asarray(rows @ grid @ columns.T, np.float32)


def blur(image: Floats, sigma_px: float) -> Floats:
    """Gaussian blur, borders reflected; (H, W) or (H, W, 3) to the same.

    The kernel reaches three deviations, as those of `degrade` do.
    """
    radius = min(math.ceil(3 * sigma_px), min(image.shape[:2]) - 1)
    if sigma_px <= 0 or radius < 1:
        return image
    side = 2 * radius + 1
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma_px), np.float32)


def expose(photo: Floats, damage: DamageEstimate) -> Floats:
    """What the emulsion sees, before the blur.

    Args:
        photo: (H, W, 3) sRGB in [0, 1].
        damage: The estimate.

    Returns:
        (H, W, C) in [0, 1], C being 1 for a silver image, else 3.
    """
    rows = damage.response[: 1 if damage.is_monochrome else 3]
    return np.asarray((photo @ rows.T).clip(0, 1), np.float32)


def develop(exposed: Floats, damage: DamageEstimate, light: Floats) -> Floats:
    """Characteristic curve and uneven light.

    Args:
        exposed: (H, W, C), blurred.
        damage: The estimate.
        light: (H, W) of it, enlarged.

    Returns:
        (H, W, C) in [0, 1].
    """
    planes = [interpolate(exposed[..., c], damage.curves[c]) for c in range(exposed.shape[-1])]
    return np.asarray((np.stack(planes, axis=-1) * light[..., None]).clip(0, 1), np.float32)


def finish(developed: Floats, damage: DamageEstimate, fade: Floats) -> Floats:
    """Tint and fading.

    Args:
        developed: (H, W, C) in [0, 1].
        damage: The estimate.
        fade: (H, W) of it, enlarged.

    Returns:
        (H, W, 3).
    """
    planes = []
    for c in range(3):
        toned = interpolate(developed[..., min(c, developed.shape[-1] - 1)], damage.tint[:, c])
        planes.append(toned + fade * (damage.fade_color[c] - toned))
    return np.stack(planes, axis=-1)


def enlarge_fields(damage: DamageEstimate, height: int, width: int) -> tuple[Floats, Floats]:
    """Light and fading, (H, W) each."""
    fade = enlarge(damage.fade, height, width).clip(0, 1)
    return enlarge(damage.light, height, width), fade


def damage_evenly(photo: Floats, damage: DamageEstimate) -> tuple[Floats, Floats]:
    """The mean of what the damage makes of a photograph: all but the grain.

    Args:
        photo: (H, W, 3) sRGB in [0, 1], of the size that the estimate was made from.
        damage: The estimate.

    Returns:
        The developed image (H, W, C), and the print (H, W, 3).
    """
    light, fade = enlarge_fields(damage, *photo.shape[:2])
    exposed = expose(photo, damage)
    blurred = blur(exposed, damage.blur_sigma_px).reshape(exposed.shape)
    developed = develop(blurred, damage, light)
    return developed, finish(developed, damage, fade)


def damage_again(
    photo: Floats, damage: DamageEstimate, grain: GrainEstimate, rng: np.random.Generator
) -> Floats:
    """Damage a photograph, fresh grain and noise included.

    Args:
        photo: (H, W, 3) sRGB in [0, 1], of the size that the estimates were made from.
        damage: The estimate.
        grain: The estimate.
        rng: Where grain and noise come from.

    Returns:
        (H, W, 3) in [0, 1].
    """
    height, width = photo.shape[:2]
    developed, _ = damage_evenly(photo, damage)
    field = grain.field(height, width, rng=rng)[..., None]
    strength = np.hypot(grain.strength * boolean_sigma(developed), grain.product * developed)
    grained = np.asarray((developed + strength * field).clip(0, 1), np.float32)
    printed = finish(grained, damage, enlarge_fields(damage, height, width)[1])
    noise = grain.noise_frac * grain.field(height, width, rng=rng)[..., None]
    return np.asarray((printed + noise).clip(0, 1), np.float32)
