"""A part of a photograph at native resolution, as restoring the whole would make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.engine.network import Network
from restore.events import Progress
from restore.passes.fusion import CELL_REDUCED_PX, Floats
from restore.passes.local import Band, restore_tile
from restore.passes.look import Look
from restore.passes.run import RestoredRows, fuse_said
from restore.passes.source import RowSource, SourcePixels
from restore.passes.windows import Cutting, Tile
from restore.scan.profiles import ColorSpace, Srgb
from restore.settings import RestoreSettings

_SKIP_ROWS = 256


@dataclass(frozen=True)
class Part:
    """What the network said of a part; may be kept, and fused any number of times.

    Attributes:
        inner: The part.
        outer: The part and what its low frequencies need of its surroundings.
        look: At the whole, for `outer`.
        band: All of `outer`.
        source: The photograph.
    """

    inner: Tile
    outer: Tile
    look: Look
    band: Band
    source: RowSource


def ask_part(
    network: Network, source: RowSource, look: Look, inner: Tile, *, tile_px: int
) -> Iterator[Part | Progress]:
    """Run the local pass over a part of a photograph.

    Args:
        network: To ask.
        source: The photograph; it is read from its top to the part's lower end.
        look: At the whole photograph, the first that `restore.passes.run.ask` yields.
        inner: The part.
        tile_px: Side of the tiles.

    Yields:
        How far it is, and at the end what the network said.

    Raises:
        MemoryError: If memory doesn't suffice.
    """
    cutting = Cutting.of(source.height, source.width, network.alignment)
    outer = _surround(inner, look, source)
    tiles = cutting.split(_align(outer, network.alignment, source), cutting.fit_tile(tile_px))
    windows = [cutting.window(tile).rows for tile in tiles]
    rows = _Rows(source.open_rows(), min(w.min() for w in windows), max(w.max() for w in windows))
    shape = (outer.y1 - outer.y0, outer.x1 - outer.x0)
    restored, marks = np.empty((*shape, 3), np.uint16), np.empty(shape, np.float32)
    pixels, told = SourcePixels(source, look.traced), look.told
    for number, tile in enumerate(tiles):
        part, found = restore_tile(network, pixels, rows, look.grid, told, cutting, tile)
        to, of = _overlap(tile, outer)
        restored[to], marks[to] = part[of], found[of]
        yield Progress((number + 1) / len(tiles))
    samples = rows.rows(np.arange(outer.y0, outer.y1))[:, outer.x0 : outer.x1]
    band = Band(0, shape[0], samples.copy(), restored, marks)
    whole_look = look.part(outer.y0, outer.x0, shape[1])
    yield Part(inner, outer, whole_look, band, source)


def fuse_part(part: Part, settings: RestoreSettings) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Make the restored part of what the network said.

    Returns:
        (h, w, 1 or 3) sRGB samples as deep as the photograph, and the marks (h, w).
    """
    outer, inner = part.outer, part.inner
    source = _PartSource(part)
    said = (part.look, part.band)
    samples, marks = [], []
    for event in fuse_said(source, settings, said, target=Srgb(), left=outer.x0, top=outer.y0):
        if isinstance(event, RestoredRows):
            samples.append(event.samples)
            marks.append(event.marks)
    rows = slice(inner.y0 - outer.y0, inner.y1 - outer.y0)
    columns = slice(inner.x0 - outer.x0, inner.x1 - outer.x0)
    num_bands = settings.count_bands(part.source.num_bands)
    restored = np.concatenate(samples)[rows, columns, :num_bands]
    return restored, np.concatenate(marks)[rows, columns]


def read_part(source: RowSource, inner: Tile) -> Floats:
    """(h, w, 3) sRGB of a part of a photograph, as it is; in [0, 1]."""
    rows = _Rows(source.open_rows(), inner.y0, inner.y1 - 1)
    samples = rows.rows(np.arange(inner.y0, inner.y1))[:, inner.x0 : inner.x1]
    return SourcePixels(source).to_photo(samples)


class _PartSource:
    """A part of a photograph, as a `RowSource` that is only told about, not read."""

    def __init__(self, part: Part) -> None:
        self.height, self.width = part.band.marks.shape
        self.num_bands = part.source.num_bands
        self.space: ColorSpace = part.source.space
        self.reduced = part.source.reduced
        self.open_rows = part.source.open_rows


class _Rows:
    """Some adjacent rows of a photograph, which is read from its top."""

    def __init__(self, read: Callable[[int, int], NDArray[Any]], first: int, last: int) -> None:
        for y0 in range(0, first, _SKIP_ROWS):
            read(y0, min(y0 + _SKIP_ROWS, first))
        self._first = int(first)
        self._rows = read(self._first, int(last) + 1)

    def rows(self, index: NDArray[np.intp]) -> NDArray[Any]:
        """(n, W, C) samples."""
        return self._rows[index - self._first]


def _surround(inner: Tile, look: Look, source: RowSource) -> Tile:
    """The part and what its low frequencies need, on the grid of their cells."""
    cell_px = max(1, round(CELL_REDUCED_PX * look.scale))
    reach_px = 3 * cell_px

    def before(start: int) -> int:
        return max(0, start - reach_px) // cell_px * cell_px

    return Tile(
        before(inner.y0),
        min(source.height, inner.y1 + reach_px),
        before(inner.x0),
        min(source.width, inner.x1 + reach_px),
    )


def _align(tile: Tile, alignment: int, source: RowSource) -> Tile:
    """The tile, made larger so that the network's windows start on their grid."""
    return Tile(
        tile.y0 // alignment * alignment,
        min(source.height, -(-tile.y1 // alignment) * alignment),
        tile.x0 // alignment * alignment,
        min(source.width, -(-tile.x1 // alignment) * alignment),
    )


def _overlap(tile: Tile, outer: Tile) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where what two tiles share lies in `outer`, and in `tile`."""
    y0, y1 = max(tile.y0, outer.y0), min(tile.y1, outer.y1)
    x0, x1 = max(tile.x0, outer.x0), min(tile.x1, outer.x1)
    return (
        (slice(y0 - outer.y0, y1 - outer.y0), slice(x0 - outer.x0, x1 - outer.x0)),
        (slice(y0 - tile.y0, y1 - tile.y0), slice(x0 - tile.x0, x1 - tile.x0)),
    )
