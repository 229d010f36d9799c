"""Cut the clean photograph out of its source."""

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Crop, Recipe


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
    size = (recipe.width_px, recipe.height_px)
    shrinks = size[0] <= right - left and size[1] <= bottom - top
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, size, interpolation=method), np.uint8)
