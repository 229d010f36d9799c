"""How a photograph of any size is cut into windows for the network.

A tile's window is wider than the tile by a margin that is thrown away, windows start at multiples
of the network's alignment, and the photograph is continued beyond its borders by reflection: so
every pixel sees the same surroundings, on the same grid, as if the whole photograph had been given
at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_TILE_PX = 64
# What lies further from a pixel changes it by less than 2/255, but at few: see docs/restore.md.
MARGIN_PX = 160
BORDER_PX = 32


class Tile(NamedTuple):
    """Rows y0..y1 and columns x0..x1 of a photograph."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)


class Window(NamedTuple):
    """What the network sees for a tile.

    Attributes:
        rows: (h,) rows of the photograph, reflected beyond its borders.
        columns: (w,) likewise.
        core: Where the tile lies in the window.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    core: tuple[slice, slice]


@dataclass(frozen=True)
class Cutting:
    """How one photograph is cut.

    Attributes:
        height: Of the photograph, px.
        width: Likewise.
        alignment: Sides of windows are multiples of it, and windows start at one.
        margin_px: Overlap with the neighbouring tiles on each side; a multiple of `alignment`.
        border_px: Reflected beyond the photograph's borders; likewise.
    """

    height: int
    width: int
    alignment: int
    margin_px: int
    border_px: int

    @classmethod
    def of(
        cls,
        height: int,
        width: int,
        alignment: int,
        *,
        margin_px: int = MARGIN_PX,
        border_px: int = BORDER_PX,
    ) -> Cutting:
        """A cutting whose margins lie on the network's grid."""
        margin_px, border_px = align_up(margin_px, alignment), align_up(border_px, alignment)
        return cls(height, width, alignment, margin_px, border_px)

    def fit_tile(self, side_px: int) -> int:
        """The side that tiles may have, if they should have about this one."""
        return align_up(max(side_px, MIN_TILE_PX), self.alignment)

    def fits(self, tile: Tile, side_px: int) -> bool:
        """Whether a tile has no more pixels than a square one of this side, whatever its shape."""
        return tile.area_px <= side_px**2

    def split(self, tile: Tile, side_px: int) -> list[Tile]:
        """Equal tiles that fit, from top to bottom; inner edges on the grid."""
        rows, columns = self._choose_edges(tile, side_px)
        return [Tile(*y, *x) for y in pairwise(rows) for x in pairwise(columns)]

    def bands(self, side_px: int) -> list[Tile]:
        """Bands, as high as tiles that fit, that cover the photograph."""
        whole = Tile(0, self.height, 0, self.width)
        rows, _ = self._choose_edges(whole, side_px)
        return [Tile(*y, 0, self.width) for y in pairwise(rows)]

    def window(self, tile: Tile) -> Window:
        """What the network sees for a tile."""
        rows, top = self._reach(tile.y0, tile.y1, self.height)
        columns, left = self._reach(tile.x0, tile.x1, self.width)
        core = (slice(top, top + tile.y1 - tile.y0), slice(left, left + tile.x1 - tile.x0))
        return Window(rows, columns, core)

    def _choose_edges(self, tile: Tile, side_px: int) -> tuple[list[int], list[int]]:
        """Rows and columns at which to cut, so that the windows have the fewest pixels."""
        height, width = tile.y1 - tile.y0, tile.x1 - tile.x0
        choices = []
        for num in range(1, -(-height // side_px) + 1):
            rows = _split(tile.y0, tile.y1, num, self.alignment)
            widest_px = side_px**2 // (rows[1] - rows[0]) // self.alignment * self.alignment
            if widest_px >= min(MIN_TILE_PX, width):
                columns = _split(tile.x0, tile.x1, -(-width // widest_px), self.alignment)
                choices.append((rows, columns))
        return min(choices, key=self._count_pixels)

    def _count_pixels(self, edges: tuple[list[int], list[int]]) -> int:
        """Pixels of the windows of tiles cut at these rows and columns."""
        counts = (
            sum(self._span(start, stop, size)[1] for start, stop in pairwise(sides))
            for sides, size in zip(edges, (self.height, self.width), strict=True)
        )
        return math.prod(counts)

    def _reach(self, start: int, stop: int, size: int) -> tuple[NDArray[np.intp], int]:
        """Indices that a window covers, and where `start` lies."""
        first, length = self._span(start, stop, size)
        return reflect(np.arange(first, first + length), size), start - first

    def _span(self, start: int, stop: int, size: int) -> tuple[int, int]:
        """Where a window begins, and its length: a multiple of the alignment."""
        first = max(start - self.margin_px, -self.border_px)
        length = min(stop + self.margin_px, size + self.border_px) - first
        return first, align_up(length, self.alignment)


class RowBuffer:
    """The rows of a photograph that windows may still ask for; it is read once, downwards."""

    def __init__(self, cutting: Cutting, read: Callable[[int, int], NDArray[Any]]) -> None:
        """Start at the top.

        Args:
            cutting: Of the photograph.
            read: Takes y0, y1 in unbroken order; returns (y1 - y0, W, C) samples.
        """
        self._cutting, self._read = cutting, read
        self._rows: NDArray[Any] | None = None
        self._first = 0

    def move_to(self, band: Tile) -> None:
        """Have a band's windows at hand, and no earlier rows than reflection may ask for."""
        cutting = self._cutting
        reach = cutting.border_px + cutting.alignment  # beyond the border this much is mirrored
        first = max(0, min(band.y0 - cutting.margin_px, cutting.height - 1 - reach))
        stop = max(band.y1 + cutting.margin_px, reach + 1) + cutting.alignment
        stop = min(cutting.height, stop)
        if self._rows is None:
            self._rows = self._read(0, stop)
            return
        known = self._first + len(self._rows)
        kept = self._rows[first - self._first :]
        self._rows = np.concatenate([kept, self._read(known, stop)]) if stop > known else kept
        self._first = first

    def rows(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """(n, W, C) samples of rows that are at hand."""
        assert self._rows is not None
        if len(index) == int(index[-1]) - int(index[0]) + 1 and index[0] <= index[-1]:
            return self._rows[index[0] - self._first : index[-1] + 1 - self._first]
        return self._rows[index - self._first]


def _split(start: int, stop: int, num: int, alignment: int) -> list[int]:
    """Edges of so many equal parts, or fewer; inner edges lie on the alignment's grid."""
    step = align_up(-(-(stop - start) // num), alignment)
    return [*range(start, stop, step), stop]


def align_up(length: int, alignment: int) -> int:
    """The next multiple of `alignment`."""
    return -(-length // alignment) * alignment


def reflect(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Indices beyond 0..size-1, mirrored about the first and the last."""
    if size == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * size - 2)
    return np.where(index < size, index, 2 * size - 2 - index)
