"""Luma and chroma: the space in which changes of a photograph are told apart.

YCbCr (BT.601, full range) is linear in RGB, so changes of single aspects add up exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
# Spread of chroma that luma doesn't explain, and its share of all chroma: below the first of each
# a photograph counts as monochrome (grey, sepia, JPEG's noise), above the second of both as a
# colour photograph.
SPREADS, SPREAD_FRACS = (0.008, 0.020), (0.14, 0.22)
# The same spread of its middle alone, without so much along each edge: prints go brown from their
# edges on, unevenly, and no more than 1 in 250 photographs in colour has its colours there alone.
MIDDLE_SPREADS, EDGE_FRAC = (0.008, 0.0125), 1 / 6
# Less than this share of a photograph tells nothing.
_MIN_SEEN_FRAC = 0.05


def to_ycc(rgb: Floats) -> Floats:
    """(..., 3) RGB to Y in [0, 1], Cb and Cr in [-0.5, 0.5]; differences too."""
    luma = rgb @ LUMA_WEIGHTS
    return np.stack(
        [luma, (rgb[..., 2] - luma) / np.float32(1.772), (rgb[..., 0] - luma) / np.float32(1.402)],
        axis=-1,
    )


def to_rgb(ycc: Floats) -> Floats:
    """The inverse of `to_ycc`."""
    luma = ycc[..., 0]
    red = luma + np.float32(1.402) * ycc[..., 2]
    blue = luma + np.float32(1.772) * ycc[..., 1]
    green = (luma - LUMA_WEIGHTS[0] * red - LUMA_WEIGHTS[2] * blue) / LUMA_WEIGHTS[1]
    return np.stack([red, green, blue], axis=-1)


def measure_own_color(photo: Floats, seen: NDArray[np.bool_] | None = None) -> float:
    """Whether a photograph has colours of its own.

    Args:
        photo: (h, w, 3) sRGB in [0, 1]; a reduced copy suffices.
        seen: (h, w), where no mark hides it: a strip of yellow tape is no colour of its own. None:
            everywhere.

    Returns:
        0 for a photograph that is grey, or toned (sepia) evenly or from the edges; 1 for one in
        colour.
    """
    spread, chroma = _measure_spread(photo, seen)
    by_spread = float(np.interp(spread, SPREADS, (0, 1)))
    by_share = float(np.interp(spread, [f * chroma for f in SPREAD_FRACS], (0, 1)))
    middle = tuple(slice(round(n * EDGE_FRAC), n - round(n * EDGE_FRAC)) for n in photo.shape[:2])
    spread, _ = _measure_spread(photo[middle], None if seen is None else seen[middle])
    return min(by_spread, by_share, float(np.interp(spread, MIDDLE_SPREADS, (0, 1))))


def _measure_spread(photo: Floats, seen: NDArray[np.bool_] | None) -> tuple[float, float]:
    """Chroma that luma doesn't explain, and all chroma: root mean squares."""
    pixels = photo.reshape(-1, 3)
    if seen is not None and seen.mean() >= _MIN_SEEN_FRAC:
        pixels = pixels[seen.ravel()]
    ycc = to_ycc(pixels).astype(np.float64)
    luma = ycc[:, 0] - 0.5
    toning = np.stack([np.ones_like(luma), luma, luma**2], axis=1)
    fit, *_ = np.linalg.lstsq(toning, ycc[:, 1:], rcond=None)
    spread = float(np.sqrt(((ycc[:, 1:] - toning @ fit) ** 2).sum(axis=1).mean()))
    return spread, float(np.sqrt((ycc[:, 1:] ** 2).sum(axis=1).mean()))
