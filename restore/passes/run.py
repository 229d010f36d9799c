"""One photograph's restoration: the global pass, the local pass in bands, and their fusion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from restore.engine.network import Network
from restore.events import Notice, Progress
from restore.passes.fusion import (
    CELL_REDUCED_PX,
    Floats,
    LowFrequencies,
    Weights,
    fit_gamut,
    fuse,
)
from restore.passes.grain import Grain
from restore.passes.local import Band, restore_bands, unite_bands
from restore.passes.look import Look, begin_look, finish_look
from restore.passes.marks import EditedMarks
from restore.passes.source import RowSource, SourcePixels
from restore.passes.windows import Cutting
from restore.scan.profiles import ColorSpace, scale_to_samples
from restore.settings import RestoreSettings
from restore.ycc import to_ycc

# Rows are fused in runs of about this many pixels: what float temporaries are made for.
_CHUNK_PX = 1 << 19
# Colours of photographs up to this area, whatever their tiles, are looked for in what the local
# pass makes of them; it fits into memory.
_SMALL_AREA_PX = 1 << 20
# Bands come in 16 bits: what they differ by so little is no change.
_ROUNDED = 0.51 / 65535


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
    said = ask(network, source, settings, marks_in=marks_in, tile_px=tile_px)
    yield from fuse_said(source, settings, said, target=target)


def ask(
    network: Network,
    source: RowSource,
    settings: RestoreSettings,
    *,
    marks_in: NDArray[Any] | None,
    tile_px: int,
) -> Iterator[Look | Band | Notice | Progress]:
    """Run the network over a photograph, and nothing else.

    What it says may be kept, and given to `fuse_said` any number of times.

    Args:
        network: To ask.
        source: The photograph.
        settings: Of these only the hints and the meaning of `marks_in` count, and whether colours
            are wanted at all: without, there are none to be fused.
        marks_in: As in `Restorer.restore`.
        tile_px: Side of the tiles of the local pass.

    Yields:
        The look, then bands from top to bottom; between them how far it is, and lines for the user.

    Raises:
        RestoreError: If memory doesn't suffice, or the weights take no hints.
    """
    height, width = source.height, source.width
    given = None
    if marks_in is not None:
        given = EditedMarks.read(marks_in, settings.marks_mode, height, width)
    beginning = begin_look(
        network, source, given=given, hints=settings.hints, colorize=settings.colorize
    )
    cutting = Cutting.of(height, width, network.alignment)

    def run_local_pass(look: Look) -> Iterator[Band | Notice | Progress]:
        pixels = SourcePixels(source, look.traced)
        return restore_bands(network, pixels, look.grid, look.told, cutting, tile_px=tile_px)

    is_small = height * width <= _SMALL_AREA_PX
    needs_color = beginning.needs_color(network, beginning.look.own_color)
    if is_small and needs_color and network.has_close_look:
        events = list(run_local_pass(beginning.look))
        local = unite_bands([event for event in events if isinstance(event, Band)])
        yield finish_look(network, source, beginning, local=local)
        yield from events
    else:
        look = finish_look(network, source, beginning)
        yield look
        yield from run_local_pass(look)


def fuse_said(
    source: RowSource,
    settings: RestoreSettings,
    said: Iterable[Look | Band | Notice | Progress],
    *,
    target: ColorSpace | None = None,
    left: int = 0,
    top: int = 0,
) -> Iterator[RestoredRows | Notice | Progress]:
    """Make a restored photograph of what the network said of it.

    Args:
        source: The photograph, or a part of it.
        settings: What is wanted; the hints, and whether `marks_mode` is "edit", as when the network
            was asked.
        said: From `ask`, in its order.
        target: Colour space to give back; None keeps the source's.
        left: Where a part lies in its photograph, so that it gets that place's grain.
        top: Likewise.

    Yields:
        As `Restorer.restore_rows`.
    """
    events = iter(said)
    look = next(events)
    assert isinstance(look, Look)
    fusion = _Fusion(source, settings, target or source.space, look, left, top)
    yield from fusion.rows(event for event in events if not isinstance(event, Look))


class _Fusion:
    """Takes in bands of the local pass, and gives back the rows that are settled."""

    def __init__(
        self,
        source: RowSource,
        settings: RestoreSettings,
        target: ColorSpace,
        look: Look,
        left: int,
        top: int,
    ) -> None:
        self.source, self.settings, self.target, self.look = source, settings, target, look
        self.left, self.top = left, top
        self.pixels = SourcePixels(source)
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
        self, events: Iterable[Band | Notice | Progress]
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
        for y0, y1 in _chunks(band.y0, band.y1, self.source.width):
            rows = slice(y0 - band.y0, y1 - band.y0)
            marks = np.maximum.reduce(
                [band.marks[rows], *(m.rows(y0, y1) for m in self.look.known)]
            )
            self.low.add(y0, self._change(band, rows), marks)

    def _change(self, band: Band, rows: slice) -> Floats:
        """(h, W, 3) YCbCr change of the local pass."""
        restored = band.restored[rows].astype(np.float32) / np.float32(65535)
        change = restored - self.pixels.to_photo(band.samples[rows])
        change[np.abs(change) < _ROUNDED] = 0
        return to_ycc(change)

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
                repairs_neutral=self.look.repairs_neutral,
            )
            if self.grain is not None:
                grain = self.grain.rows(self.top + y0, fused, left=self.left)
                fused = fit_gamut(photo, fused + grain[..., None])
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
        if self.look.given is None:
            return found, spared
        added, erased = self.look.given
        if self.settings.marks_mode == "replace":
            return added.rows(y0, y1), found
        if erased is not None:
            kept = 1 - erased.rows(y0, y1)
            found, spared = found * kept, found * (1 - kept)
        return np.maximum(found, added.rows(y0, y1)), spared


def _chunks(y0: int, y1: int, width: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of about `_CHUNK_PX` pixels: what float temporaries are made for."""
    step = max(1, _CHUNK_PX // width)
    for start in range(y0, y1, step):
        yield start, min(start + step, y1)
