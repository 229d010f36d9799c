"""Run the network over a photograph of any size, a band of tiles at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from restore.engine.network import Network, weigh_cells
from restore.errors import RestoreError
from restore.events import Notice, Progress
from restore.passes.marks import Marks, doubt_dark
from restore.passes.windows import MIN_TILE_PX, Cutting, RowBuffer, Tile, align_up

Floats = NDArray[np.float32]


class Pixels(Protocol):
    """A photograph that is read once, from top to bottom."""

    @property
    def height(self) -> int:
        """Rows of pixels."""

    @property
    def width(self) -> int:
        """Columns of pixels."""

    @property
    def traced(self) -> bool:
        """Whether the photograph is grey but for a trace of toning."""

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader that is called with y0, y1 in unbroken order: (y1 - y0, W, C) samples."""

    def to_photo(self, samples: NDArray[Any]) -> Floats:
        """Samples to (h, w, 3) sRGB, clipped to [0, 1]."""


class Rows(Protocol):
    """Rows of a photograph that are at hand."""

    def rows(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """(n, W, C) samples."""


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
    marks: Floats


def unite_bands(bands: Sequence[Band]) -> tuple[Floats, Floats]:
    """A whole photograph of its bands: restored (H, W, 3) in [0, 1], and its marks (H, W)."""
    restored = np.concatenate([band.restored for band in bands]).astype(np.float32)
    return restored / np.float32(65535), np.concatenate([band.marks for band in bands])


def restore_bands(
    network: Network,
    pixels: Pixels,
    grid: Floats,
    known: Marks | None,
    cutting: Cutting,
    *,
    tile_px: int,
) -> Iterator[Band | Notice | Progress]:
    """Restore a photograph from top to bottom.

    Args:
        network: Repairs windows.
        pixels: The photograph.
        grid: (12, h', w') from `Network.look`.
        known: What the network is told of marks; None: nothing.
        cutting: How the photograph is cut.
        tile_px: Side of a square tile; others have as many pixels. Halved when memory runs out.

    Yields:
        Adjacent bands that cover the photograph; between them how far it is, and what the user
        should know.

    Raises:
        RestoreError: If memory doesn't suffice for the smallest tile.
    """
    side_px = cutting.fit_tile(tile_px)
    buffer = RowBuffer(cutting, pixels.open_rows())
    done_px, whole_px = 0, cutting.height * cutting.width
    for band in cutting.bands(side_px):
        buffer.move_to(band)
        shape = (band.y1 - band.y0, cutting.width)
        restored, marks = np.empty((*shape, 3), np.uint16), np.empty(shape, np.float32)
        waiting = deque([band])
        while waiting:
            tile = waiting.popleft()
            if not cutting.fits(tile, side_px):
                waiting.extendleft(reversed(cutting.split(tile, side_px)))
                continue
            try:
                part = restore_tile(network, pixels, buffer, grid, known, cutting, tile)
            except MemoryError as error:
                side_px = _halve(side_px, tile, cutting, error)
                waiting.appendleft(tile)
                yield Notice(f"out of memory: going on with tiles of {side_px} px")
                continue
            rows, columns = slice(tile.y0 - band.y0, tile.y1 - band.y0), slice(tile.x0, tile.x1)
            restored[rows, columns], marks[rows, columns] = part
            done_px += tile.area_px
            yield Progress(done_px / whole_px)
        samples = buffer.rows(np.arange(band.y0, band.y1))
        yield Band(band.y0, band.y1, samples, restored, marks)


def restore_tile(
    network: Network,
    pixels: Pixels,
    buffer: Rows,
    grid: Floats,
    known: Marks | None,
    cutting: Cutting,
    tile: Tile,
) -> tuple[NDArray[np.uint16], Floats]:
    """What the network makes of a tile: restored (h, w, 3), and its marks (h, w).

    Raises:
        MemoryError: If memory doesn't suffice.
    """
    window = cutting.window(tile)
    photo = pixels.to_photo(buffer.rows(window.rows)[:, window.columns])
    place = (
        weigh_cells(window.rows, cutting.height, grid.shape[1]),
        weigh_cells(window.columns, cutting.width, grid.shape[2]),
    )
    known_marks = None
    if known is not None:
        first = int(window.rows.min())
        rows = known.rows(first, int(window.rows.max()) + 1)
        known_marks = rows[window.rows - first][:, window.columns]
    if pixels.traced:
        known_marks = doubt_dark(photo, known_marks)
    restored, marks = network.repair(photo, grid, place, known_marks)
    core = restored[window.core].clip(0, 1)
    return np.rint(core * 65535).astype(np.uint16), marks[window.core]


def _halve(side_px: int, tile: Tile, cutting: Cutting, error: MemoryError) -> int:
    """The side that tiles have from now on."""
    smallest_px = cutting.fit_tile(MIN_TILE_PX)
    if cutting.fits(tile, smallest_px):
        raise RestoreError(
            f"out of memory even for a tile of {smallest_px} px; "
            "close other programs, or use --device cpu"
        ) from error
    while cutting.fits(tile, side_px):
        side_px = max(smallest_px, align_up(side_px // 2, cutting.alignment))
    return side_px
