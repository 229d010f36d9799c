"""Lay textures over a photograph: crop, repeat, scale, turn. Nothing is drawn by chance here.

Turns are by quarters and resizing is OpenCV's 8-bit linear: free rotation and cubic
resampling give different bytes on different builds of OpenCV.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Rgb
from degrade.textures import Textures

Mask = NDArray[np.uint8]


def _wrapped_crop(tile: Mask, x: int, y: int, width: int, height: int) -> Mask:
    """A (height, width) window of a repeating tile."""
    tile_height, tile_width = tile.shape
    x, y = x % tile_width, y % tile_height
    if x + width <= tile_width and y + height <= tile_height:
        return tile[y : y + height, x : x + width]
    rows = np.arange(y, y + height) % tile_height
    columns = np.arange(x, x + width) % tile_width
    return tile[rows][:, columns]


def _varied_crop(tile: Mask, x: int, y: int, width: int, height: int) -> Mask:
    """A window of a tile that repeats turned and mirrored, so that no grid is seen.

    A mark that crosses the border of two repeats is cut there, which is far less visible than a
    pattern that comes again and again.
    """
    tile_height, tile_width = tile.shape
    crop = np.empty((height, width), np.uint8)
    for row in range(y // tile_height, (y + height - 1) // tile_height + 1):
        for column in range(x // tile_width, (x + width - 1) // tile_width + 1):
            # Any fixed scramble of the place; the first repeat is the tile as it is.
            code = (row * 7919 + column * 104729) * 2654435761 >> 7
            turns = code % 4 if tile_height == tile_width else 0
            cell = turn(tile, turns, code & 4 > 0)
            top, left = row * tile_height - y, column * tile_width - x
            y0, y1 = max(top, 0), min(top + tile_height, height)
            x0, x1 = max(left, 0), min(left + tile_width, width)
            crop[y0:y1, x0:x1] = cell[y0 - top : y1 - top, x0 - left : x1 - left]
    return crop


def sheet_window(
    textures: Textures,
    name: str,
    x_px: int,
    y_px: int,
    scale: float,
    height: int,
    width: int,
    *,
    varied: bool = False,
) -> Mask:
    """The part of a repeating texture that covers a photograph.

    Args:
        textures: The pack.
        name: A texture of it.
        x_px: Offset into the texture, in its own px.
        y_px: Likewise.
        scale: Photograph px per texture px.
        height: Rows of the photograph.
        width: Its columns.
        varied: Whether its repeats are turned and mirrored against each other.

    Returns:
        (height, width) uint8.
    """
    if scale == 1 and not varied:
        return _wrapped_crop(textures.level(name), x_px, y_px, width, height)
    base = textures.level(name)
    index = 0
    while scale * 2 ** (index + 1) <= 1 and min(base.shape) >> index >= 32:
        index += 1
    tile = textures.level(name, index)
    step = scale * 2**index
    crop_width = max(2, int(width / step + 0.999))
    crop_height = max(2, int(height / step + 0.999))
    # Offsets wrap in the full texture first, so that every level starts at the same place.
    x, y = x_px % base.shape[1] >> index, y_px % base.shape[0] >> index
    if varied and (x + crop_width > tile.shape[1] or y + crop_height > tile.shape[0]):
        crop = _varied_crop(tile, x, y, crop_width, crop_height)
    else:
        crop = _wrapped_crop(tile, x, y, crop_width, crop_height)
    # The level is at most twice too fine, so linear resampling does not alias.
    resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def blend_over(photo: NDArray[np.float32], opacity: NDArray[np.float32], colour: Rgb) -> None:
    """Lay a colour over a (3, H, W) photograph by its (H, W) opacity, in place."""
    for plane, value in zip(photo, colour, strict=True):
        lack = np.float32(value) - plane
        lack *= opacity
        plane += lack


def turn(mask: Mask, quarter_turns: int, flip: bool) -> Mask:
    """Turn a mask by quarters (anticlockwise), then mirror it left to right."""
    turned = (mask, mask.T[::-1], mask[::-1, ::-1], mask.T[:, ::-1])[quarter_turns % 4]
    return turned[:, ::-1] if flip else turned


def sprite_patch(
    textures: Textures,
    name: str,
    box_px: tuple[int, int, int, int],
    quarter_turns: int,
    flip: bool,
    height: int,
    width: int,
) -> tuple[Mask, slice, slice] | None:
    """The visible part of a texture stretched over a box.

    Args:
        textures: The pack.
        name: A texture of it.
        box_px: (left, top, right, bottom); may reach beyond the photograph.
        quarter_turns: Turns before it is stretched.
        flip: Whether it is mirrored.
        height: Rows of the photograph.
        width: Its columns.

    Returns:
        (patch, rows, columns) or None where nothing of it is visible.
    """
    left, top, right, bottom = box_px
    box_width, box_height = max(2, right - left), max(2, bottom - top)
    x0, y0, x1, y1 = (
        max(left, 0),
        max(top, 0),
        min(left + box_width, width),
        min(top + box_height, height),
    )
    if x0 >= x1 or y0 >= y1:
        return None
    turned_sides = (box_height, box_width) if quarter_turns % 2 == 0 else (box_width, box_height)
    base = textures.level(name)
    index = 0
    while (
        base.shape[0] >> (index + 1) >= turned_sides[0]
        and base.shape[1] >> (index + 1) >= turned_sides[1]
        and min(base.shape) >> (index + 1) >= 16
    ):
        index += 1
    tile = textures.level(name, index)
    # Resize only what is visible: find the window of the (unturned) tile behind it.
    whole = turn(tile, quarter_turns, flip)
    tile_height, tile_width = whole.shape
    u0, u1 = x0 - left, x1 - left
    v0, v1 = y0 - top, y1 - top
    tx0 = u0 * tile_width // box_width
    tx1 = max(tx0 + 1, -(-u1 * tile_width // box_width))
    ty0 = v0 * tile_height // box_height
    ty1 = max(ty0 + 1, -(-v1 * tile_height // box_height))
    part = np.ascontiguousarray(whole[ty0:ty1, tx0:tx1])
    patch = cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return np.asarray(patch, np.uint8), slice(y0, y1), slice(x0, x1)
