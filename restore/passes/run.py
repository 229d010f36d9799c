"""One photograph's restoration: the global pass, the local pass in bands, and their fusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from restore.engine.network import Network
from restore.events import Notice, Progress
from restore.passes.fusion import (
    CELL_REDUCED_PX,
    Floats,
    GlobalPass,
    LowFrequencies,
    Weights,
    fit_gamut,
    fuse,
)
from restore.passes.grain import Grain
from restore.passes.local import Band, restore_bands
from restore.passes.marks import KnownMarks, ManyMarks, Marks, MarksArray, find_wide
from restore.passes.windows import Cutting
from restore.scan.profiles import ColorSpace, scale_to_samples
from restore.settings import RestoreSettings
from restore.ycc import measure_own_color, to_ycc

# Short side of the reduced copy for the global pass, and the area it may have.
GLOBAL_SIDE_PX = 256
_GLOBAL_AREA_PX = 1_000_000
# Up to this much larger than the reduced copy, the local pass sees the photograph as a whole, and
# if it has colours, that is all; colours laid on others are evened out by a global pass.
_ONE_PASS_SCALE = 1.5
# Rows are fused in runs of about this many pixels: what float temporaries are made for.
_CHUNK_PX = 1 << 19


class RestoredRows(NamedTuple):
    """Some rows of a restored photograph.

    Attributes:
        y0: First row.
        samples: (h, W, C) of the source's dtype, its further bands (alpha) included.
        marks: (h, W) uint8.
    """

    y0: int
    samples: NDArray[Any]
    marks: NDArray[np.uint8]


class RowSource(Protocol):
    """A photograph that is read from top to bottom, any number of times.

    Samples may have further bands after `num_bands` (alpha), which are passed through.
    """

    @property
    def height(self) -> int:
        """Rows of pixels."""

    @property
    def width(self) -> int:
        """Columns of pixels."""

    @property
    def num_bands(self) -> int:
        """1 (grey) or 3 (RGB)."""

    @property
    def space(self) -> ColorSpace:
        """What the samples mean."""

    def reduced(self, height: int, width: int) -> NDArray[Any]:
        """A reduced copy's samples, (height, width, C)."""

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader that is called with y0, y1 in unbroken order: (y1 - y0, W, C) samples."""


def restore_photo(
    network: Network,
    source: RowSource,
    settings: RestoreSettings,
    *,
    target: ColorSpace | None,
    marks_in: NDArray[Any] | None,
    tile_px: int,
) -> Iterator[RestoredRows | Notice | Progress]:
    """Restore a photograph; see `Restorer.restore_rows`."""
    known = None if marks_in is None else KnownMarks(marks_in, source.height, source.width)
    look = _look(network, source, known)
    fusion = _Fusion(source, settings, target or source.space, known, look)
    hidden = [marks for marks in (known, look.wide) if marks is not None]
    yield from fusion.rows(
        restore_bands(
            network,
            _SourcePixels(source),
            look.grid,
            ManyMarks(*hidden) if hidden else None,
            Cutting.of(source.height, source.width, network.alignment),
            tile_px=tile_px,
        )
    )


@dataclass(frozen=True)
class _Look:
    """What the reduced copy of a photograph tells.

    Attributes:
        own_color: From `measure_own_color`.
        grid: From `Network.look`.
        whole: The global pass; None where the local pass sees the photograph as a whole.
        wide: Marks that escape the local pass.
        scale: Pixels of the photograph per pixel of the copy.
    """

    own_color: float
    grid: Floats
    whole: GlobalPass | None
    wide: KnownMarks | None
    scale: float


def _look(network: Network, source: RowSource, known: KnownMarks | None) -> _Look:
    height, width = source.height, source.width
    scale = min(height, width) / GLOBAL_SIDE_PX
    scale = max(scale, math.sqrt(height * width / _GLOBAL_AREA_PX))
    one_pass = scale <= _ONE_PASS_SCALE
    scale = 1.0 if one_pass else scale
    small = (max(1, round(height / scale)), max(1, round(width / scale)))
    reduced = _SourcePixels(source).to_photo(source.reduced(*small))
    own_color = measure_own_color(reduced)
    grid = network.look(reduced)
    if one_pass and own_color == 1:
        return _Look(own_color, grid, None, None, scale)
    copy_known = None if known is None else known.whole(*small)
    restored, marks = _restore_copy(network, reduced, grid, copy_known)
    wide = find_wide(marks, height, width)
    marks = marks if copy_known is None else np.maximum(marks, copy_known)
    whole = GlobalPass(reduced, restored, marks, own_color=own_color, height=height, width=width)
    return _Look(own_color, grid, whole, wide, scale)


def _restore_copy(
    network: Network, reduced: Floats, grid: Floats, known: Floats | None
) -> tuple[Floats, Floats]:
    """A reduced copy restored (h, w, 3), and its marks (h, w)."""
    marks: Marks | None = None if known is None else MarksArray(known)
    pixels = _CopyPixels(reduced)
    cutting = Cutting.of(pixels.height, pixels.width, network.alignment)
    events = restore_bands(network, pixels, grid, marks, cutting, tile_px=max(reduced.shape[:2]))
    bands = [band for band in events if isinstance(band, Band)]
    restored = np.concatenate([band.restored for band in bands]).astype(np.float32)
    return restored / np.float32(65535), np.concatenate([band.marks for band in bands])


class _SourcePixels:
    """A source as the network sees it."""

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self.height, self.width = source.height, source.width
        self.open_rows = source.open_rows

    def to_photo(self, samples: NDArray[Any]) -> Floats:
        """Samples to (h, w, 3) sRGB, clipped to [0, 1]."""
        return self._source.space.to_srgb(samples[..., : self._source.num_bands]).clip(0, 1)


class _CopyPixels:
    """A reduced copy, which is sRGB already."""

    def __init__(self, photo: Floats) -> None:
        self._photo = photo
        self.height, self.width = photo.shape[:2]

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader of rows."""
        return lambda y0, y1: self._photo[y0:y1]

    def to_photo(self, samples: NDArray[Any]) -> Floats:
        """Samples are the photograph."""
        return samples


class _Fusion:
    """Takes in bands of the local pass, and gives back the rows that are settled."""

    def __init__(
        self,
        source: RowSource,
        settings: RestoreSettings,
        target: ColorSpace,
        known: KnownMarks | None,
        look: _Look,
    ) -> None:
        self.source, self.settings, self.target = source, settings, target
        self.known, self.look = known, look
        self.pixels = _SourcePixels(source)
        self.num_out = settings.count_bands(source.num_bands)
        self.grain = Grain(settings.regrain) if settings.regrain else None
        cell_px = max(1, round(CELL_REDUCED_PX * look.scale))
        self.low = LowFrequencies(source.height, source.width, cell_px)
        # Without a wish for colour, colours that are there may still be mended.
        color = settings.color * (1.0 if settings.colorize else look.own_color)
        self.weights = Weights(
            denoise=settings.strength * settings.denoise,
            repair=settings.strength * settings.repair,
            tone=settings.strength * settings.tone,
            color=settings.strength * color,
        )

    def rows(
        self, events: Iterator[Band | Notice | Progress]
    ) -> Iterator[RestoredRows | Notice | Progress]:
        """The restored photograph from top to bottom; low frequencies need the band below."""
        waiting: list[Band] = []
        for event in events:
            if not isinstance(event, Band):
                yield event
                continue
            self._gather(event)
            waiting.append(event)
            bottom = self.source.height
            while waiting and min(waiting[0].y1 + self.low.reach_px, bottom) <= event.y1:
                yield from self._fuse(waiting.pop(0))

    def _gather(self, band: Band) -> None:
        hidden = [marks for marks in (self.known, self.look.wide) if marks is not None]
        for y0, y1 in _chunks(band.y0, band.y1, self.source.width):
            rows = slice(y0 - band.y0, y1 - band.y0)
            marks = np.maximum.reduce([band.marks[rows], *(m.rows(y0, y1) for m in hidden)])
            self.low.add(y0, self._change(band, rows), marks)

    def _change(self, band: Band, rows: slice) -> Floats:
        """(h, W, 3) YCbCr change of the local pass."""
        restored = band.restored[rows].astype(np.float32) / np.float32(65535)
        return to_ycc(restored - self.pixels.to_photo(band.samples[rows]))

    def _fuse(self, band: Band) -> Iterator[RestoredRows]:
        num_bands, dtype = self.source.num_bands, band.samples.dtype
        for y0, y1 in _chunks(band.y0, band.y1, self.source.width):
            rows = slice(y0 - band.y0, y1 - band.y0)
            samples = band.samples[rows]
            marks, spared = self._choose_marks(band.marks[rows], y0, y1)
            photo = self.source.space.to_srgb(samples[..., :num_bands])
            fused = fuse(
                photo,
                self._change(band, rows),
                self.low.rows(y0, y1),
                marks,
                spared,
                self.weights,
                self.look.whole,
                y0=y0,
                own_color=self.look.own_color,
            )
            if self.grain is not None:
                fused = fit_gamut(photo, fused + self.grain.rows(y0, fused)[..., None])
            out = self.target.from_srgb(fused, self.num_out, dtype)
            if self.target is self.source.space and self.num_out == num_bands:
                # Bit for bit, whatever the way there and back rounds.
                same = (fused == photo).all(axis=-1)
                out[same] = samples[same][:, :num_bands]
            out = np.concatenate([out, samples[..., num_bands:]], axis=-1)
            yield RestoredRows(y0, out, scale_to_samples(marks, np.dtype(np.uint8)))

    def _choose_marks(self, found: Floats, y0: int, y1: int) -> tuple[Floats, Floats]:
        """(h, W) what counts as damage, and what else is to be left alone."""
        if self.look.wide is not None:
            found = np.maximum(found, self.look.wide.rows(y0, y1))
        spared = np.zeros_like(found)
        if self.known is None:
            return found, spared
        given = self.known.rows(y0, y1)
        if self.settings.marks_mode == "replace":
            return given, found
        return np.maximum(found, given), spared


def _chunks(y0: int, y1: int, width: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of about `_CHUNK_PX` pixels: what float temporaries are made for."""
    step = max(1, _CHUNK_PX // width)
    for start in range(y0, y1, step):
        yield start, min(start + step, y1)
