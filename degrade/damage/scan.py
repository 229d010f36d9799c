"""The scan: lower resolution, sharpening halo, sensor noise. JPEG is the stored encoding."""

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Scan
from degrade.textures.pack import GRAIN_DEVIATION, Textures
from degrade.textures.placing import sheet_window

Photo = NDArray[np.uint8]

DEFAULT_QUALITY = 95
"""JPEG quality where the recipe asks for no loss."""


def resample(photo: Photo, resample_frac: float) -> Photo:
    """Shrink and enlarge again linearly, (H, W, 3) → (H, W, 3)."""
    height, width = photo.shape[:2]
    small = (max(4, round(width * resample_frac)), max(4, round(height * resample_frac)))
    if resample_frac >= 1 or small == (width, height):
        return photo
    # Down to half size, four neighbours are all that a pixel covers; below, areas are averaged.
    method = cv2.INTER_LINEAR if resample_frac >= 0.5 else cv2.INTER_AREA
    shrunk = cv2.resize(photo, small, interpolation=method)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _exact(weight: float) -> float:
    """A weight with which OpenCV's weighted sums of 8-bit photographs are exact.

    With twelve fractional bits every term fits float32's 24, so that neither the order nor fused
    multiplication matters.
    """
    return round(weight * 4096) / 4096


def sharpen(photo: Photo, amount: float, sigma_px: float) -> Photo:
    """Unsharp mask with its halo: x + amount · (x − blurred x), (H, W, 3) → (H, W, 3)."""
    if amount <= 0:
        return photo
    side = 2 * max(1, int(3 * sigma_px + 0.999)) + 1
    side = min(side, 2 * (min(photo.shape[:2]) - 1) + 1)
    blurred = cv2.GaussianBlur(photo, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    amount = _exact(amount)
    return np.asarray(cv2.addWeighted(photo, 1 + amount, blurred, -amount, 0), np.uint8)


def add_noise(photo: Photo, scan: Scan, textures: Textures, ratio: float = 1.0) -> Photo:
    """Add the sensor's noise: one tile, read at another place for each channel."""
    if scan.noise_frac <= 0 or not scan.noise_texture:
        return photo
    height, width = photo.shape[:2]
    tiles = [
        sheet_window(
            textures, scan.noise_texture, scan.noise_x_px + 157 * c, scan.noise_y_px + 113 * c,
            1.0, height, width,
        )
        for c in range(3)
    ]  # fmt: skip
    gain = _exact(scan.noise_frac * 255 / GRAIN_DEVIATION)
    return np.asarray(cv2.addWeighted(photo, 1, cv2.merge(tiles), gain, -128 * gain), np.uint8)


def apply_scan(photo: Photo, scan: Scan, textures: Textures, ratio: float = 1.0) -> Photo:
    """Scan a print.

    Args:
        photo: (H, W, 3) RGB.
        scan: Lengths in px of the recipe.
        textures: The pack that the recipe names.
        ratio: Px of this photograph per px of the recipe.

    Returns:
        (H, W, 3) RGB, before its JPEG encoding.
    """
    photo = resample(photo, scan.resample_frac)
    photo = sharpen(photo, scan.sharpen_amount, scan.sharpen_sigma_px * ratio)
    return add_noise(photo, scan, textures, ratio)


def stored_quality(scan: Scan) -> int:
    """JPEG quality at which the damaged photograph is stored."""
    return scan.jpeg_quality or DEFAULT_QUALITY
