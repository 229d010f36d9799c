"""The part of a source photograph that is used: drawn, recorded, and cut out."""

import cv2
import numpy as np

from degrade.arrays import Photo
from degrade.damage.streams import Draws
from degrade.schema import Frac, Record

CROPS = ("square", "whole")
"""How much of a photograph is used: a random square, or all of it."""

LINEAR_FRAC = 0.6
"""Photographs that keep this much of their sides are resized linearly."""


class Crop(Record, frozen=True, kw_only=True):
    """The part of the source photograph that is used, in fractions of its sides."""

    left_frac: Frac = 0.0
    top_frac: Frac = 0.0
    right_frac: Frac = 1.0
    bottom_frac: Frac = 1.0


def draw_crop(
    draws: Draws, source_size: tuple[int, int], size_px: int, crop: str
) -> tuple[Crop, int, int]:
    """Draw the part of a photograph that is used.

    Args:
        draws: The stream of the crop.
        source_size: (width, height) of the source photograph, in px.
        size_px: Short side of the photograph that is made.
        crop: One of CROPS.

    Returns:
        The crop, and the width and the height of the photograph that is made.
    """
    width, height = source_size
    if crop == "whole":
        scale = size_px / min(width, height)
        return Crop(), max(1, round(width * scale)), max(1, round(height * scale))
    # A square of the photograph, slightly stretched either way: some sources were squashed
    # to a square, and prints are not always shown at their true ratio.
    side = min(width, height) * draws.uniform((0.65, 1.0))
    stretch = draws.log_uniform((0.8, 1.25))
    box_width = min(side * max(1.0, stretch), width)
    box_height = min(side * max(1.0, 1 / stretch), height)
    left = draws.unit() * (1 - box_width / width)
    # Heads are near the top.
    top = draws.unit() ** 1.5 * (1 - box_height / height)
    box = Crop(
        left_frac=round(left, 6),
        top_frac=round(top, 6),
        right_frac=round(left + box_width / width, 6),
        bottom_frac=round(top + box_height / height, 6),
    )
    return box, size_px, size_px


def crop_box(crop: Crop, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Pixel box (left, top, right, bottom) of a crop, at least one pixel each way."""
    left = min(int(crop.left_frac * width_px + 0.5), width_px - 1)
    top = min(int(crop.top_frac * height_px + 0.5), height_px - 1)
    right = max(left + 1, min(int(crop.right_frac * width_px + 0.5), width_px))
    bottom = max(top + 1, min(int(crop.bottom_frac * height_px + 0.5), height_px))
    return left, top, right, bottom


def cut_out(source: Photo, crop: Crop, width_px: int, height_px: int) -> Photo:
    """Crop and resize a source photograph.

    Args:
        source: (h, w, 3) RGB.
        crop: Which part.
        width_px: Width of the result.
        height_px: Its height.

    Returns:
        (height_px, width_px, 3) RGB.
    """
    height, width = source.shape[:2]
    left, top, right, bottom = crop_box(crop, width, height)
    return resize_photo(source[top:bottom, left:right], width_px, height_px)


def resize_photo(photo: Photo, width_px: int, height_px: int) -> Photo:
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
