"""The scan: lower resolution, sharpening halo, sensor noise. JPEG is the stored encoding."""

from typing import Annotated

import cv2
import numpy as np
from msgspec import Meta

from degrade.arrays import Photo
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, GainRange, PxRange, QualityRange, Ranges, Record
from degrade.textures.pack import Textures
from degrade.textures.painters.tiles import GRAIN_DEVIATION
from degrade.textures.placing import sheet_window

BEST_QUALITY = 95
"""JPEG quality of photographs that shall lose nothing to it: the clean ones, and damaged ones
whose recipe asks for no loss."""


class ScanRanges(Ranges, frozen=True, kw_only=True):
    """The scan: resampling, halo, sensor noise (deviation), JPEG."""

    resample_prob: Frac = 0.0
    resample_frac_range: tuple[
        Annotated[float, Meta(ge=0.1, le=1)], Annotated[float, Meta(ge=0.1, le=1)]
    ] = (0.5, 0.95)
    sharpen_prob: Frac = 0.0
    sharpen_amount_range: GainRange = (0.2, 1.0)
    sharpen_sigma_px_range: PxRange = (0.6, 1.5)
    noise_prob: Frac = 0.0
    noise_frac_range: FracRange = (0.002, 0.02)
    jpeg_prob: Frac = 0.0
    jpeg_quality_range: QualityRange = (30.0, 95.0)


class Scan(Record, frozen=True, kw_only=True):
    """The scan: resampling, sharpening, sensor noise, and the quality of the stored JPEG.

    Attributes:
        resample_frac: Size of the low-resolution copy; 1 for none.
        sharpen_amount: Weight of the sharpening halo.
        sharpen_sigma_px: Its spread.
        noise_frac: Deviation of the sensor noise.
        noise_texture: Tile that it comes from.
        noise_x_px: Offset into the tile.
        noise_y_px: Likewise.
        jpeg_quality: Quality at which the damaged photograph is stored; 0: no JPEG loss asked
            for, stored at 95.
    """

    resample_frac: float = 1.0
    sharpen_amount: float = 0.0
    sharpen_sigma_px: float = 1.0
    noise_frac: float = 0.0
    noise_texture: str = ""
    noise_x_px: int = 0
    noise_y_px: int = 0
    jpeg_quality: int = 0


def draw_scan(draws: Draws, ranges: ScanRanges, textures: Textures) -> Scan:
    """Draw a scan; one that changes nothing has the values of `Scan()` where they count."""
    resamples, sharpens = draws.chance(ranges.resample_prob), draws.chance(ranges.sharpen_prob)
    noisy, jpeg = draws.chance(ranges.noise_prob), draws.chance(ranges.jpeg_prob)
    infos = textures.of_kind("grain")
    return Scan(
        resample_frac=draws.uniform(ranges.resample_frac_range) if resamples else 1.0,
        sharpen_amount=draws.uniform(ranges.sharpen_amount_range) if sharpens else 0.0,
        sharpen_sigma_px=draws.uniform(ranges.sharpen_sigma_px_range),
        noise_frac=draws.log_uniform(ranges.noise_frac_range) if noisy and infos else 0.0,
        noise_texture=infos[0].name if noisy and infos else "",
        noise_x_px=draws.offset(),
        noise_y_px=draws.offset(),
        jpeg_quality=round(draws.uniform(ranges.jpeg_quality_range)) if jpeg else 0,
    )


def changes_photo(scan: Scan) -> bool:
    """Whether a scan does anything: its sizes and places are drawn even where they don't count."""
    return scan.resample_frac < 1 or bool(
        scan.sharpen_amount or scan.noise_frac or scan.jpeg_quality
    )


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


def add_noise(photo: Photo, scan: Scan, textures: Textures) -> Photo:
    """Add the sensor's noise, as fine as pixels are: one tile, read elsewhere for each channel."""
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
    photo = resample(photo, scan.resample_frac / ratio)
    photo = sharpen(photo, scan.sharpen_amount, scan.sharpen_sigma_px * ratio)
    return add_noise(photo, scan, textures)


def stored_quality(scan: Scan) -> int:
    """JPEG quality at which the damaged photograph is stored."""
    return scan.jpeg_quality or BEST_QUALITY
