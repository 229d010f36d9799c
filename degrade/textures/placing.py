"""Lay textures over a photograph: crop, repeat, scale, turn. Nothing is drawn by chance here.

Turns are by quarters and resizing is OpenCV's 8-bit linear: free rotation and cubic
resampling give different bytes on different builds of OpenCV.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from degrade.arrays import Mask
from degrade.textures.pack import Textures, turn

_SMALL_PX = 256
"""Side of tiles that are kept turned and mirrored; 24 MB for the shipped pack at most."""


def _repeats(start: int, length: int, period: int) -> Iterator[tuple[int, int, int]]:
    """Cut a stretch of a repeating tile at its seams: (which repeat, first px, last px + 1)."""
    for repeat in range(start // period, (start + length - 1) // period + 1):
        seam = repeat * period - start
        yield repeat, max(seam, 0), min(seam + period, length)


def _wrapped_crop(tile: Mask, x: int, y: int, width: int, height: int) -> Mask:
    """A (height, width) window of a repeating tile."""
    tile_height, tile_width = tile.shape
    x, y = x % tile_width, y % tile_height
    if x + width <= tile_width and y + height <= tile_height:
        return tile[y : y + height, x : x + width]
    crop = np.empty((height, width), np.uint8)
    for row, y0, y1 in _repeats(y, height, tile_height):
        top = y - row * tile_height
        for column, x0, x1 in _repeats(x, width, tile_width):
            left = x - column * tile_width
            crop[y0:y1, x0:x1] = tile[y0 + top : y1 + top, x0 + left : x1 + left]
    return crop


def _varied_crop(
    textures: Textures, name: str, index: int, x: int, y: int, width: int, height: int
) -> Mask:
    """A window of a tile that repeats turned and mirrored, so that no grid is seen.

    A mark that crosses the border of two repeats is cut there, which is far less visible than a
    pattern that comes again and again.
    """
    tile = textures.level(name, index)
    tile_height, tile_width = tile.shape
    crop = np.empty((height, width), np.uint8)
    columns = list(_repeats(x, width, tile_width))
    for row, y0, y1 in _repeats(y, height, tile_height):
        top, bottom = y0 + y - row * tile_height, y1 + y - row * tile_height
        for column, x0, x1 in columns:
            left, right = x0 + x - column * tile_width, x1 + x - column * tile_width
            # Any fixed scramble of the place; the first repeat is the tile as it is.
            code = (row * 7919 + column * 104729) * 2654435761 >> 7
            turns, flip = code % 4 if tile_height == tile_width else 0, code & 4 > 0
            if max(tile_height, tile_width) <= _SMALL_PX:
                part = textures.turned(name, index, turns, flip)[top:bottom, left:right]
            else:
                part = _turned_part(tile, turns, flip, (left, top, right, bottom))
            crop[y0:y1, x0:x1] = part
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
        crop = _varied_crop(textures, name, index, x, y, crop_width, crop_height)
    else:
        crop = _wrapped_crop(tile, x, y, crop_width, crop_height)
    # The level is at most twice too fine, so linear resampling does not alias (a sheet of one's own
    # of less than about 64 px has too few levels for that).
    resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def spread_sheet(
    textures: Textures, name: str, x_frac: float, y_frac: float, height: int, width: int
) -> Mask:
    """A repeating texture enlarged so that one repeat covers the photograph's longer side.

    Args:
        textures: The pack.
        name: A texture of it.
        x_frac: Offset into the texture, in shares of its side.
        y_frac: Likewise.
        height: Rows of the photograph.
        width: Its columns.

    Returns:
        (height, width) uint8.
    """
    side = textures.level(name).shape[1]
    return sheet_window(
        textures, name, int(x_frac * side), int(y_frac * side), max(height, width) / side,
        height, width,
    )  # fmt: skip


def _turned_part(
    mask: Mask, quarter_turns: int, flip: bool, box: tuple[int, int, int, int]
) -> Mask:
    """The box (left, top, right, bottom) of what `turn` makes of a mask; only it is turned."""
    left, top, right, bottom = box
    height, width = mask.shape
    if quarter_turns % 2:
        height, width = width, height
    if flip:
        left, right = width - right, width - left
    # The same box before the turn.
    rows, columns = (
        (slice(top, bottom), slice(left, right)),
        (slice(left, right), slice(height - bottom, height - top)),
        (slice(height - bottom, height - top), slice(width - right, width - left)),
        (slice(width - right, width - left), slice(top, bottom)),
    )[quarter_turns % 4]
    return turn(mask[rows, columns], quarter_turns, flip)


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
    tile_height, tile_width = tile.shape if quarter_turns % 2 == 0 else tile.shape[::-1]
    u0, u1 = x0 - left, x1 - left
    v0, v1 = y0 - top, y1 - top
    tx0 = u0 * tile_width // box_width
    tx1 = max(tx0 + 1, -(-u1 * tile_width // box_width))
    ty0 = v0 * tile_height // box_height
    ty1 = max(ty0 + 1, -(-v1 * tile_height // box_height))
    part = _turned_part(tile, quarter_turns, flip, (tx0, ty0, tx1, ty1))
    patch = cv2.resize(part, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    return np.asarray(patch, np.uint8), slice(y0, y1), slice(x0, x1)
