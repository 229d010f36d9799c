"""Find the places of a photograph that its restoration, damaged again, does not explain.

Structure (edges and shapes) and tone are judged apart, each against what a restorer is licensed to
change: structure by grain, edges that lie elsewhere by a part of a pixel, a local gain of contrast.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.report.grain_fit import GrainEstimate
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

# A place is unexplained where its mean square difference is so many times what is licensed.
UNEXPLAINED, _EXTENT = 5.0, 2.0
_EDGE_LICENCE_PX = 0.7
_GAIN_LICENCE = (0.6, 1.6)
_TONE_LICENCE = 0.045
_STRUCTURE_FLOOR = 2 / 255
# Structure is compared on a copy of so many px: what is finer is grain, what is coarser is tone.
_STRUCTURE_SIDE_PX, _FINE_PX, _COARSE_PX, _WINDOW_PX = 400, 1.0, 6.0, 10.0


class Region(NamedTuple):
    """A place that the restoration does not explain, in pixels of the photograph.

    Attributes:
        left_px: Of its box.
        top_px: Likewise.
        width_px: Likewise.
        height_px: Likewise.
        excess: How many times more it differs (root mean square) than is licensed.
    """

    left_px: int
    top_px: int
    width_px: int
    height_px: int
    excess: float


def find_unexplained(
    original: Floats, expected: Floats, sigma: Floats, grain: GrainEstimate, weight: Floats
) -> Floats:
    """Mean square difference around each point, in units of what is licensed; (H, W).

    Structure (edges and shapes) and tone are judged apart. Structure may differ by the grain, by
    edges that lie elsewhere by a part of a pixel, and by a local gain of contrast.
    """
    height, width = weight.shape
    scale = min(1.0, _STRUCTURE_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    drawn = _reduce(grain.field(height, width, rng=np.random.default_rng(0)), size)
    cover = _reduce(weight, size)
    original, expected = (
        np.asarray(_reduce(p * weight[..., None], size) / (cover[..., None] + 1e-3), np.float32)
        for p in (original, expected)
    )
    weight, sigma = (cover > 0.5).astype(np.float32), _reduce(sigma, size)
    pairs = [
        (_mean(photo, weight, _FINE_PX), _mean(photo, weight, _COARSE_PX))
        for photo in (original, expected)
    ]
    was, is_now = (np.asarray((near - far) @ LUMA_WEIGHTS, np.float32) for near, far in pairs)
    gain = _mean(was * is_now, weight, _WINDOW_PX)
    gain = gain / (_mean(np.square(is_now), weight, _WINDOW_PX) + np.float32(1e-5))
    off = was - gain.clip(*_GAIN_LICENCE) * is_now
    passed = cv2.GaussianBlur(drawn, (0, 0), _FINE_PX) - cv2.GaussianBlur(drawn, (0, 0), _COARSE_PX)
    steep = np.maximum(*(_steepness(near @ LUMA_WEIGHTS) for near, _ in pairs))
    licensed = (
        (sigma * float(passed.std())) ** 2 + (_EDGE_LICENCE_PX * steep) ** 2 + _STRUCTURE_FLOOR**2
    )
    # Where next to nothing is seen between marks, nothing can be said.
    total = cv2.GaussianBlur(off**2 / licensed * weight, (0, 0), _WINDOW_PX / 2)
    structure = total / (cv2.GaussianBlur(weight, (0, 0), _WINDOW_PX / 2) + 0.05)
    tone = np.abs(pairs[0][1] - pairs[1][1]).max(axis=-1) / _TONE_LICENCE
    found = np.maximum(structure, tone**2 * (weight > 0))
    return np.asarray(
        cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def _reduce(photo: Floats, size: tuple[int, int]) -> Floats:
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.float32)


def _mean(photo: Floats, weight: Floats, sigma_px: float) -> Floats:
    """Weighted mean around each point, (H, W) or (H, W, 3)."""
    cover = np.asarray(cv2.GaussianBlur(weight, (0, 0), sigma_px) + np.float32(1e-3), np.float32)
    if photo.ndim == 3:
        weight, cover = weight[..., None], cover[..., None]
    return np.asarray(cv2.GaussianBlur(photo * weight, (0, 0), sigma_px) / cover, np.float32)


def _steepness(luma: Floats) -> Floats:
    """Slope of the brightness, per px."""
    across = cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8)
    return np.asarray(np.hypot(across, cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8)), np.float32)


def outline(
    unexplained: Floats, scale_x: float, scale_y: float
) -> tuple[tuple[Region, ...], NDArray[np.bool_]]:
    """Boxes around the places that are flagged, and their area (H, W)."""
    extent = (unexplained > _EXTENT).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(extent)
    regions = []
    flagged = np.zeros(unexplained.shape, bool)
    for i in range(1, count):
        left, top, width, height = (int(v) for v in boxes[i, :4])
        box = (slice(top, top + height), slice(left, left + width))
        inside = labels[box] == i
        peak = float(unexplained[box][inside].max())
        if peak > UNEXPLAINED:
            flagged[box] |= inside
            regions.append(
                Region(
                    left_px=round(left * scale_x),
                    top_px=round(top * scale_y),
                    width_px=max(1, round(width * scale_x)),
                    height_px=max(1, round(height * scale_y)),
                    excess=peak**0.5,
                )
            )
    return tuple(sorted(regions, key=lambda region: -region.excess)), flagged
