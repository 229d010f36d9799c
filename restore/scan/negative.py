"""Recognise a scanned colour negative that nobody inverted.

The film of colour negatives is orange: its dyes are masked, so that from its clearest to its
densest parts it lets through less green than red, and still less blue. Paper, however yellow,
isn't so, and neither are the dark parts of a print, in which dyes add up to black. Where a negative
has no clear part (no deep shadow, no unexposed edge), it isn't recognised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restore.scan.profiles import decode_srgb

# In linear light. Base of negative films (Status M minima about 0.25, 0.6, 0.9): green/red 0.45,
# blue/red 0.22; a print's paper with a strong yellow stain: 0.8 and 0.5.
_CLEAR_BLUE, _CLEAR_GREEN = 0.40, 0.67
_DENSE_BLUE, _DENSE_BLUE_OF_GREEN, _DENSE_MIN_RED = 0.60, 0.85, 0.008


def is_negative(photo: NDArray[np.float32]) -> bool:
    """Whether a photograph looks like a colour negative.

    Args:
        photo: (h, w, 3) sRGB in [0, 1], reduced.
    """
    linear = decode_srgb(photo.clip(0, 1)).reshape(-1, 3)
    light = linear.mean(axis=1)
    order = np.argsort(light)
    num = len(order)
    inner = order[num // 100 : num - num // 100] if num >= 200 else order
    clear = np.median(linear[inner[-max(len(inner) // 20, 1) :]], axis=0)
    dense = np.median(linear[inner[: max(len(inner) // 20, 1)]], axis=0)
    if clear[0] <= 0 or dense[0] < _DENSE_MIN_RED:
        return False
    is_masked = clear[2] < _CLEAR_BLUE * clear[0] and clear[1] < _CLEAR_GREEN * clear[0]
    is_masked = is_masked and clear[2] < clear[1]
    dense_too = dense[2] < _DENSE_BLUE * dense[0] and dense[2] < _DENSE_BLUE_OF_GREEN * dense[1]
    return bool(is_masked and dense_too)
