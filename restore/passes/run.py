"""One photograph's restoration: the global pass, the local pass in bands, and their fusion."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.passes.fusion import (
    CELL_REDUCED_PX,
    Enlarger,
    Floats,
    GlobalPass,
    LowFrequencies,
    Weights,
    fit_gamut,
    fuse,
    measure_colorfulness,
    to_ycc,
)
from restore.passes.grain import Grain
from restore.passes.windows import Adjust, Band, Network, TiledRun
from restore.scan.profiles import ColorSpace, scale_to_samples
from restore.settings import RestoreSettings

# Short side of the reduced copy for the global pass, and the area it may have.
GLOBAL_SIDE_PX = 256
_GLOBAL_AREA_PX = 1_000_000
# Up to this much larger than the reduced copy, the local pass sees the photograph as a whole, and
# if it has colours, that is all; colours laid on others are evened out by a global pass.
_ONE_PASS_SCALE = 1.5
# Marks of the reduced copy count at native resolution from the first probability on, and up to two
# pixels from there from the second: soft rims of what is wide belong to it.
_WIDE_MARKS_PROB, _WIDE_RIMS_PROB = 0.75, 0.15
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


class Adjuster(Protocol):
    """What a network's global branch found out about a photograph."""

    def __call__(
        self,
        window: Floats,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        *,
        height: int,
        width: int,
    ) -> Floats:
        """Adjust a window.

        Args:
            window: (h, w, 3) sRGB.
            rows: Which rows of the photograph they are.
            columns: Which columns.
            height: Of the photograph, or of a reduced copy, px.
            width: Likewise.

        Returns:
            (h, w, 3).
        """


class PhotoRun:
    """One photograph's restoration."""

    def __init__(
        self,
        network: Network,
        source: RowSource,
        settings: RestoreSettings,
        target: ColorSpace | None,
        marks_in: NDArray[Any] | None,
        on_notice: Callable[[str], None],
        on_progress: Callable[[float], None],
        *,
        alignment: int,
        tile_px: int,
        global_branch: Callable[[Floats], Adjuster | None],
    ) -> None:
        """Look at the reduced copy; see `Restorer.restore_rows`."""
        self.network, self.source, self.settings = network, source, settings
        self.alignment, self.tile_px = alignment, tile_px
        self.target = target or source.space
        self.known = None if marks_in is None else KnownMarks(marks_in, source.height, source.width)
        self.on_notice, self.on_progress = on_notice, on_progress
        self.num_out = 3 if source.num_bands == 3 or settings.gives_color else 1
        self.grain = Grain(settings.regrain) if settings.regrain else None

        height, width = source.height, source.width
        scale = min(height, width) / GLOBAL_SIDE_PX
        scale = max(scale, math.sqrt(height * width / _GLOBAL_AREA_PX))
        one_pass = scale <= _ONE_PASS_SCALE
        scale = 1.0 if one_pass else scale
        small = (max(1, round(height / scale)), max(1, round(width / scale)))
        reduced = self._to_photo(source.reduced(*small))
        self.colorfulness = measure_colorfulness(reduced)
        self.adjust = global_branch(reduced)
        alone = one_pass and self.colorfulness == 1
        self.global_pass: GlobalPass | None = None
        self.wide: KnownMarks | None = None
        if not alone:
            self.global_pass, self.wide = self._run_global(reduced)
        self.low = LowFrequencies(height, width, max(1, round(CELL_REDUCED_PX * scale)))
        # Without a wish for colour, colours that are there may still be mended.
        color = settings.color * (1.0 if settings.colorize else self.colorfulness)
        self.weights = Weights(
            denoise=settings.strength * settings.denoise,
            damage=settings.strength * settings.damage,
            tone=settings.strength * settings.tone,
            color=settings.strength * color,
        )

    def rows(self) -> Iterator[RestoredRows]:
        """The restored photograph from top to bottom."""
        height, width = self.source.height, self.source.width
        done_px = 0

        def count(area_px: int) -> None:
            nonlocal done_px
            done_px += area_px
            self.on_progress(done_px / (height * width))

        run = TiledRun(
            network=self.network,
            alignment=self.alignment,
            height=height,
            width=width,
            read=self.source.open_rows(),
            to_photo=self._to_photo,
            adjust=self._adjust_to(height, width),
            known_marks=self._hide if self.known or self.wide else None,
            tile_px=self.tile_px,
            on_notice=self.on_notice,
            on_tile=count,
        )
        waiting: list[Band] = []
        for band in run.bands():
            for y0, y1 in _chunks(band.y0, band.y1, width):
                rows = slice(y0 - band.y0, y1 - band.y0)
                marks = np.maximum(band.marks[rows], self._hide(y0, y1))
                self.low.add(y0, self._change(band, rows), marks)
            waiting.append(band)
            while waiting and min(waiting[0].y1 + self.low.reach_px, height) <= band.y1:
                yield from self._fuse(waiting.pop(0))

    def _adjust_to(self, height: int, width: int) -> Adjust | None:
        if self.adjust is None:
            return None
        return partial(self.adjust, height=height, width=width)

    def _to_photo(self, samples: NDArray[Any]) -> Floats:
        return self.source.space.to_srgb(samples[..., : self.source.num_bands]).clip(0, 1)

    def _change(self, band: Band, rows: slice) -> Floats:
        """(h, W, 3) YCbCr change of the local pass."""
        restored = band.restored[rows].astype(np.float32) / np.float32(65535)
        return to_ycc(restored - self._to_photo(band.samples[rows]))

    def _hide(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) what is known to be damaged before the local pass looks."""
        sources = [marks.rows(y0, y1) for marks in (self.known, self.wide) if marks is not None]
        return np.maximum.reduce(sources) if sources else np.zeros((1, 1), np.float32)

    def _run_global(self, reduced: Floats) -> tuple[GlobalPass, KnownMarks | None]:
        """The global pass, and the marks that it found, if any: wide ones escape the local pass."""
        height, width = reduced.shape[:2]
        known = self.known.whole(height, width) if self.known else None
        run = TiledRun(
            network=self.network,
            alignment=self.alignment,
            height=height,
            width=width,
            read=lambda y0, y1: reduced[y0:y1],
            to_photo=lambda samples: samples,
            adjust=self._adjust_to(height, width),
            known_marks=None if known is None else lambda y0, y1: known[y0:y1],
            tile_px=max(height, width),
            on_notice=self.on_notice,
        )
        bands = list(run.bands())
        restored = np.concatenate([band.restored for band in bands]).astype(np.float32)
        restored /= np.float32(65535)
        marks = np.concatenate([band.marks for band in bands])
        height, width = self.source.height, self.source.width
        sure = (marks > _WIDE_MARKS_PROB).astype(np.uint8)
        near = cv2.dilate(sure, np.ones((5, 5), np.uint8)) > 0
        rims = near & (marks > _WIDE_RIMS_PROB)
        wide = KnownMarks(rims, height, width) if rims.any() else None
        marks = marks if known is None else np.maximum(marks, known)
        whole = GlobalPass(
            reduced, restored, marks, colorfulness=self.colorfulness, height=height, width=width
        )
        return whole, wide

    def _fuse(self, band: Band) -> Iterator[RestoredRows]:
        num_bands, dtype = self.source.num_bands, band.samples.dtype
        for y0, y1 in _chunks(band.y0, band.y1, self.source.width):
            rows = slice(y0 - band.y0, y1 - band.y0)
            samples, marks = band.samples[rows], band.marks[rows]
            if self.wide is not None:
                marks = np.maximum(marks, self.wide.rows(y0, y1))
            found = marks
            spared = np.zeros_like(marks)
            if self.known is not None:
                given = self.known.rows(y0, y1)
                if self.settings.marks_mode == "replace":
                    marks, spared = given, found
                else:
                    marks = np.maximum(found, given)
            photo = self.source.space.to_srgb(samples[..., :num_bands])
            global_rows = None
            if self.global_pass is not None:
                global_rows = (self.global_pass.tone(y0, y1), self.global_pass, y0)
            fused = fuse(
                photo,
                self._change(band, rows),
                self.low.rows(y0, y1),
                marks,
                spared,
                self.weights,
                global_rows=global_rows,
                colorfulness=self.colorfulness,
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


class KnownMarks:
    """Marks that the caller painted, at any size, laid over a photograph."""

    def __init__(self, marks: NDArray[Any], height: int, width: int) -> None:
        """Take (h, w) marks; unsigned integers count from half their range on.

        Raises:
            ValueError: If the array isn't (h, w).
        """
        if marks.ndim != 2 or 0 in marks.shape:
            raise ValueError(f"expected marks (h, w), got {marks.shape}")
        if marks.dtype in (np.uint8, np.uint16):
            marks = marks > np.iinfo(marks.dtype).max // 2
        self._marks = (marks != 0).astype(np.float32)
        if marks.shape[0] > height or marks.shape[1] > width:
            size = (min(marks.shape[1], width), min(marks.shape[0], height))
            self._marks = cv2.resize(self._marks, size, interpolation=cv2.INTER_AREA)
            self._marks = np.ceil(self._marks - 0.05)  # a thin stroke stays a stroke
        self._enlarger = Enlarger(
            height / self._marks.shape[0], width / self._marks.shape[1], width
        )

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""
        return self._enlarger.rows(self._marks[..., None], y0, y1)[..., 0]

    def whole(self, height: int, width: int) -> Floats:
        """(height, width) in [0, 1]."""
        shrinks = self._marks.shape[0] > height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(self._marks, (width, height), interpolation=how).astype(np.float32)


def _chunks(y0: int, y1: int, width: int) -> Iterator[tuple[int, int]]:
    """Runs of rows of about `_CHUNK_PX` pixels: what float temporaries are made for."""
    step = max(1, _CHUNK_PX // width)
    for start in range(y0, y1, step):
        yield start, min(start + step, y1)
