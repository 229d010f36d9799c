"""Run a network over a photograph of any size, a band of tiles at a time.

The photograph is read once, from top to bottom. A tile's window is wider than the tile by a margin
that is thrown away, windows start at multiples of the network's alignment, and the photograph is
continued beyond its borders by reflection: so every pixel sees the same surroundings, on the same
grid, as if the whole photograph had been given at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from restore.errors import RestoreError

MIN_TILE_PX = 64
# What lies further from a pixel changes it by less than 2/255: see docs/restore.md.
MARGIN_PX = 160
BORDER_PX = 32

Adjust = Callable[
    [NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]],
    NDArray[np.float32],
]
Network = Callable[
    [NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]],
    tuple[NDArray[np.float32], NDArray[np.float32]],
]


class Band(NamedTuple):
    """Rows y0..y1 of a photograph as the network restored them.

    Attributes:
        y0: First row.
        y1: Row after the last.
        samples: (y1 - y0, W, C) rows as they were read.
        restored: (y1 - y0, W, 3) uint16, sRGB: clipped to the range.
        marks: (y1 - y0, W) float32 in [0, 1].
    """

    y0: int
    y1: int
    samples: NDArray[Any]
    restored: NDArray[np.uint16]
    marks: NDArray[np.float32]


@dataclass
class TiledRun:
    """One photograph's way through the network.

    Attributes:
        network: (h, w, 3) in [0, 1], known marks (h, w) or None, and the (h, w, 3) before it was
            adjusted -> restored (h, w, 3) and marks (h, w); h and w are multiples of `alignment`.
        alignment: Of the network.
        height: Of the photograph, px.
        width: Of the photograph, px.
        read: Called with y0, y1 in unbroken order; returns (y1 - y0, W, C) samples.
        to_photo: Turns samples into (h, w, 3) float32 sRGB, clipped to [0, 1].
        adjust: (h, w, 3) pixels of the photograph's given rows and columns -> (h, w, 3), what the
            network is to see of them. None: as they are.
        known_marks: Called with y0, y1; returns (y1 - y0, W) in [0, 1]. None: nothing is known.
        tile_px: Side of a tile; halved when memory runs out.
        margin_px: Overlap with the neighbouring tiles on each side.
        border_px: Reflected beyond the photograph's borders.
        on_notice: Receives a line for the user.
        on_tile: Called after each tile with its area in pixels.
    """

    network: Network
    alignment: int
    height: int
    width: int
    read: Callable[[int, int], NDArray[Any]]
    to_photo: Callable[[NDArray[Any]], NDArray[np.float32]]
    adjust: Adjust | None = None
    known_marks: Callable[[int, int], NDArray[np.float32]] | None = None
    tile_px: int = 1024
    margin_px: int = MARGIN_PX
    border_px: int = BORDER_PX
    on_notice: Callable[[str], None] = lambda line: None
    on_tile: Callable[[int], None] = lambda area_px: None
    _rows: NDArray[Any] | None = field(default=None, init=False, repr=False)
    _first: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Bring the sizes onto the network's grid."""
        self.tile_px = _align_up(max(self.tile_px, MIN_TILE_PX), self.alignment)
        self.margin_px = _align_up(self.margin_px, self.alignment)
        self.border_px = _align_up(self.border_px, self.alignment)

    def bands(self) -> Iterator[Band]:
        """Restore from top to bottom.

        Yields:
            Adjacent bands that cover the photograph.

        Raises:
            RestoreError: If memory doesn't suffice for the smallest tile.
        """
        edges = _split(0, self.height, self.tile_px, self.alignment)
        for y0, y1 in pairwise(edges):
            self._keep_rows(y0 - self.margin_px, y1 + self.margin_px)
            restored = np.empty((y1 - y0, self.width, 3), np.uint16)
            marks = np.empty((y1 - y0, self.width), np.float32)
            self._run(y0, y1, 0, self.width, restored, marks, y0)
            yield Band(y0, y1, self._samples(np.arange(y0, y1)), restored, marks)

    def _run(
        self,
        y0: int,
        y1: int,
        x0: int,
        x1: int,
        restored: NDArray[np.uint16],
        marks: NDArray[np.float32],
        band_y0: int,
    ) -> None:
        """Restore rows y0..y1, columns x0..x1, tile by tile."""
        y_edges = _split(y0, y1, self.tile_px, self.alignment)
        x_edges = _split(x0, x1, self.tile_px, self.alignment)
        for top, bottom in pairwise(y_edges):
            for left, right in pairwise(x_edges):
                fits = max(bottom - top, right - left) <= self.tile_px
                tile = self._try_tile(top, bottom, left, right) if fits else None
                if tile is None:  # memory ran out, and tiles are smaller from now on
                    self._run(top, bottom, left, right, restored, marks, band_y0)
                    continue
                rows = slice(top - band_y0, bottom - band_y0)
                restored[rows, left:right], marks[rows, left:right] = tile
                self.on_tile((bottom - top) * (right - left))

    def _try_tile(
        self, y0: int, y1: int, x0: int, x1: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32]] | None:
        rows = self._window(y0, y1, self.height)
        columns = self._window(x0, x1, self.width)
        try:
            original = self.to_photo(self._samples(rows)[:, columns])
            adjusted = original if self.adjust is None else self.adjust(original, rows, columns)
            known = None
            if self.known_marks is not None:
                first = int(rows.min())
                known = self.known_marks(first, int(rows.max()) + 1)[rows - first][:, columns]
            restored, marks = self.network(adjusted, known, original)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if max(y1 - y0, x1 - x0) <= self._smallest_px:
                raise RestoreError(
                    f"out of memory even for a tile of {self._smallest_px} px; "
                    "close other programs, or use --device cpu"
                ) from error
        else:
            top, left = y0 - self._window_start(y0), x0 - self._window_start(x0)
            core = (slice(top, top + y1 - y0), slice(left, left + x1 - x0))
            return np.rint(restored[core].clip(0, 1) * 65535).astype(np.uint16), marks[core]
        while self.tile_px >= max(y1 - y0, x1 - x0):
            self.tile_px = max(self._smallest_px, _align_up(self.tile_px // 2, self.alignment))
        self.on_notice(f"out of memory: going on with tiles of {self.tile_px} px")
        return None

    @property
    def _smallest_px(self) -> int:
        return _align_up(MIN_TILE_PX, self.alignment)

    def _window_start(self, start: int) -> int:
        return max(start - self.margin_px, -self.border_px)

    def _window(self, start: int, stop: int, size: int) -> NDArray[np.intp]:
        """The rows (or columns) a tile sees: reflected, and a multiple of the alignment."""
        first = self._window_start(start)
        length = min(stop + self.margin_px, size + self.border_px) - first
        return _reflect(np.arange(first, first + _align_up(length, self.alignment)), size)

    def _keep_rows(self, first: int, stop: int) -> None:
        """Have rows first..stop at hand, and no earlier ones than reflection may ask for."""
        reach = self.border_px + self.alignment  # what lies beyond the border mirrors this much
        first = max(0, min(first, self.height - 1 - reach))
        stop = min(self.height, max(stop, reach + 1) + self.alignment)
        if self._rows is None:
            self._rows = self.read(0, stop)
            return
        known = self._first + len(self._rows)
        kept = self._rows[first - self._first :]
        self._rows = np.concatenate([kept, self.read(known, stop)]) if stop > known else kept
        self._first = first

    def _samples(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        assert self._rows is not None
        if len(rows) == int(rows[-1]) - int(rows[0]) + 1 and rows[0] <= rows[-1]:
            return self._rows[rows[0] - self._first : rows[-1] + 1 - self._first]
        return self._rows[rows - self._first]


def _split(start: int, stop: int, tile_px: int, alignment: int) -> list[int]:
    """Edges of equal tiles of at most tile_px; inner edges lie on the alignment's grid."""
    num = -(-(stop - start) // tile_px)
    step = _align_up(-(-(stop - start) // num), alignment)
    return [*range(start, stop, step), stop]


def _align_up(length: int, alignment: int) -> int:
    return -(-length // alignment) * alignment


def _reflect(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Indices beyond 0..size-1, mirrored about the first and the last."""
    if size == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * size - 2)
    return np.where(index < size, index, 2 * size - 2 - index)


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        "out of memory" in text or "not enough memory" in text or "can't allocate memory" in text
    )
