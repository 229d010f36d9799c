"""Specks of vivid colour along outlines, which the colour network leaves and nothing has.

Where something dark meets something light it may be off by far more than anywhere else, over a
pixel or two: green and red specks, by which a reader knows at once that colours were laid.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_SIDE_PX = 5
# Chroma that is off its neighbours' median by so much begins to count as a speck, or is one.
_FROM, _TO = 0.02, 0.05


def calm_specks(chroma: Floats, asked: Floats) -> Floats:
    """Give specks of colour the median of what is around them.

    Args:
        chroma: (h, w, 2) Cb and Cr.
        asked: (h', w') in [0, 1], of any size: near where it isn't 0 a hint asked for the colours.

    Returns:
        (h, w, 2); what is wider than two pixels is as it was.

    Source:
        Tukey 1977, "Exploratory data analysis" (running medians).
    """
    planes = [np.ascontiguousarray(chroma[..., i], dtype=np.float32) for i in range(2)]
    around = np.stack([cv2.medianBlur(plane, _SIDE_PX) for plane in planes], axis=-1)
    change = (around - chroma).astype(np.float32)
    share = (np.hypot(change[..., 0], change[..., 1]) - _FROM) / (_TO - _FROM)
    if asked.any():
        near = cv2.resize(asked, share.shape[::-1], interpolation=cv2.INTER_AREA) > 0
        share[cv2.dilate(near.astype(np.uint8), np.ones((_SIDE_PX, _SIDE_PX), np.uint8)) > 0] = 0
    return (chroma + share.clip(0, 1)[..., None] * change).astype(np.float32)
