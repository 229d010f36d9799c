"""Cut the clean photograph out of its source."""

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Crop, Recipe

LINEAR_FRAC = 0.6
"""Photographs that keep this much of their sides are resized linearly."""


def crop_box(crop: Crop, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Pixel box (left, top, right, bottom) of a crop, at least one pixel each way."""
    left = min(int(crop.left_frac * width_px + 0.5), width_px - 1)
    top = min(int(crop.top_frac * height_px + 0.5), height_px - 1)
    right = max(left + 1, min(int(crop.right_frac * width_px + 0.5), width_px))
    bottom = max(top + 1, min(int(crop.bottom_frac * height_px + 0.5), height_px))
    return left, top, right, bottom


def cut_photo(source: NDArray[np.uint8], recipe: Recipe) -> NDArray[np.uint8]:
    """Crop and resize a source photograph as its recipe says.

    Args:
        source: (h, w, 3) RGB.
        recipe: Its crop and size are used.

    Returns:
        (recipe.height_px, recipe.width_px, 3) RGB.
    """
    height, width = source.shape[:2]
    left, top, right, bottom = crop_box(recipe.crop, width, height)
    part = source[top:bottom, left:right]
    return resize_photo(part, recipe.width_px, recipe.height_px)


def resize_photo(photo: NDArray[np.uint8], width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Resize a photograph, (h, w, 3) → (height_px, width_px, 3).

    Areas are averaged where a side shrinks below LINEAR_FRAC. Down to there linear resizing comes
    about as near to Lanczos (40 to 41 dB: 0.3 dB nearer than averaging at 0.8 of the size, 1 dB
    farther at 0.62), in a fifth of the time.
    """
    height, width = photo.shape[:2]
    far = width_px < LINEAR_FRAC * width or height_px < LINEAR_FRAC * height
    shrinks = width_px <= width and height_px <= height
    method = cv2.INTER_AREA if far and shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, (width_px, height_px), interpolation=method), np.uint8)
