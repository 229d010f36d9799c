"""What the page shows: a reduced photograph and native parts, restored.

The network is asked once per photograph and its marks and hints; what it said is kept for the last
few, so that a strength changes the picture without it. Called from the worker's thread only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.passes.local import Band
from restore.passes.look import Look
from restore.passes.part import Part, ask_part, fuse_part, read_part
from restore.passes.run import RestoredRows, ask, fuse_said
from restore.passes.windows import Tile
from restore.restorer import ArraySource, Restorer
from restore.scan.photo import Photo
from restore.scan.profiles import scale_to_samples, scale_to_unit
from restore.settings import RestoreSettings
from restore.web.edits import Edits, paint_marks

PREVIEW_PIXELS = 600_000
MAX_PART_PIXELS = 1_700_000
_NUM_KEPT, _NUM_KEPT_PARTS = 3, 3
_PART_TILES = 1.5

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True)
class Subject:
    """A photograph and what its user painted.

    Attributes:
        id: Of the photograph.
        path: Where it lies.
        folder: Where its loaded marks lie.
        edits: Marks and hints.
    """

    id: str
    path: Path
    folder: Path
    edits: Edits

    @property
    def key(self) -> tuple[Any, ...]:
        """What the network's answer depends on."""
        return (self.id, self.edits.marking, self.edits.hints)


@dataclass(frozen=True)
class Shown:
    """A restored preview.

    Attributes:
        before: (h, w, 3) uint8 sRGB.
        after: Likewise.
        marks: (h, w) uint8: what counts as damage.
        before_exact: (h, w, 3) float32 sRGB in [0, 1].
        after_exact: Likewise.
    """

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    before_exact: NDArray[np.float32]
    after_exact: NDArray[np.float32]


@dataclass(frozen=True)
class _Kept:
    source: ArraySource
    said: list[Look | Band]


class Previewer:
    """Makes previews and native parts, and remembers what the network said."""

    def __init__(self, restorer: Restorer) -> None:
        """Take a restorer."""
        self._restorer = restorer
        self._kept: _Recent[tuple[Any, ...], _Kept] = _Recent(_NUM_KEPT)
        self._sources: _Recent[str, ArraySource] = _Recent(_NUM_KEPT)
        self._shown: _Recent[tuple[Any, ...], Shown] = _Recent(2)
        self._looks: _Recent[tuple[Any, ...], Look] = _Recent(2)
        self._parts: _Recent[tuple[Any, ...], Part] = _Recent(_NUM_KEPT_PARTS)

    def before(self, subject: Subject) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 sRGB: the photograph, reduced.

        Raises:
            RestoreError: If it can't be read.
        """
        return _to_bytes(_unit(self._source(subject)))

    def show(self, subject: Subject, settings: RestoreSettings) -> Shown:
        """Restore a preview.

        Raises:
            RestoreError: If the photograph can't be read, or memory doesn't suffice.
        """
        wanted = (subject.key, settings)
        shown = self._shown.get(wanted)
        if shown is not None:
            return shown
        kept = self._ask(subject)
        settings = _with_edits(settings, subject.edits)
        samples, marks = [], []
        for event in fuse_said(kept.source, settings, kept.said):
            if isinstance(event, RestoredRows):
                samples.append(event.samples)
                marks.append(event.marks)
        before = _unit(kept.source)
        after = _three(scale_to_unit(np.concatenate(samples)))
        shown = Shown(_to_bytes(before), _to_bytes(after), np.concatenate(marks), before, after)
        self._shown.put(wanted, shown)
        return shown

    def show_part(
        self, subject: Subject, settings: RestoreSettings, inner: Tile
    ) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 sRGB: a part of the restored photograph at native resolution.

        Raises:
            RestoreError: If the photograph can't be read, or memory doesn't suffice.
        """
        part = self._parts.get((subject.key, inner))
        with Photo(subject.path) as photo:
            if part is None:
                part = self._ask_part(subject, photo, inner)
            restored, _ = fuse_part(part, _with_edits(settings, subject.edits))
        return _to_bytes(_three(scale_to_unit(restored)))

    def before_part(self, subject: Subject, inner: Tile) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 sRGB: a part of the photograph as it is.

        Raises:
            RestoreError: If it can't be read.
        """
        with Photo(subject.path) as photo:
            return _to_bytes(read_part(photo, inner))

    def forget(self, photo_id: str) -> None:
        """Drop all that is kept of a photograph."""
        self._sources.drop(lambda key: key == photo_id)
        self._shown.drop(lambda key: key[0][0] == photo_id)
        self._kept.drop(lambda key: key[0] == photo_id)
        self._looks.drop(lambda key: key[0] == photo_id)
        self._parts.drop(lambda key: key[0][0] == photo_id)

    def _source(self, subject: Subject) -> ArraySource:
        source = self._sources.get(subject.id)
        if source is None:
            with Photo(subject.path) as photo:
                height, width = preview_size(photo.height, photo.width)
                values = photo.space.to_srgb(photo.reduced(height, width))
                # Sixteen bits, so that what is reduced of a deep scan or another space isn't cut.
                samples = scale_to_samples(values[..., : photo.num_bands], np.dtype(np.uint16))
            source = ArraySource(np.ascontiguousarray(samples))
            self._sources.put(subject.id, source)
        return source

    def _ask(self, subject: Subject) -> _Kept:
        kept = self._kept.get(subject.key)
        if kept is None:
            source = self._source(subject)
            with Photo(subject.path) as photo:
                size = (photo.height, photo.width)
            marks = paint_marks(subject.edits, source.height, source.width, subject.folder, of=size)
            settings = _with_edits(RestoreSettings(), subject.edits, of=size)
            events = ask(
                self._restorer.network,
                source,
                settings,
                marks_in=marks,
                tile_px=self._restorer.tile_px,
            )
            said = [event for event in events if isinstance(event, Look | Band)]
            kept = _Kept(source, said)
            self._kept.put(subject.key, kept)
        return kept

    def _ask_part(self, subject: Subject, photo: Photo, inner: Tile) -> Part:
        look = self._looks.get(subject.key)
        network = self._restorer.network
        if look is None:
            size = (photo.height, photo.width)
            marks = paint_marks(subject.edits, *size, subject.folder, of=size)
            settings = _with_edits(RestoreSettings(), subject.edits)
            tile_px = self._restorer.tile_px
            first = next(ask(network, photo, settings, marks_in=marks, tile_px=tile_px))
            assert isinstance(first, Look)
            look = first
            self._looks.put(subject.key, look)
        # What surrounds a part as large as a tile still fits into one window.
        tile_px = round(_PART_TILES * self._restorer.tile_px)
        *_, part = ask_part(network, photo, look, inner, tile_px=tile_px)
        assert isinstance(part, Part)
        part = replace(part, source=_Described(photo))
        self._parts.put((subject.key, inner), part)
        return part


class _Described:
    """What fusing asks of a photograph, which is closed by then; a `RowSource`."""

    def __init__(self, photo: Photo) -> None:
        self.height, self.width, self.num_bands = photo.height, photo.width, photo.num_bands
        self.space = photo.space
        self.reduced, self.open_rows = _closed, _closed


def _closed(*_: object) -> Any:
    raise AssertionError("a kept part isn't read again")


class _Recent(Generic[_K, _V]):
    """The last few things, by key."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._things: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        if key in self._things:
            self._things.move_to_end(key)
        return self._things.get(key)

    def put(self, key: _K, thing: _V) -> None:
        self._things[key] = thing
        while len(self._things) > self._size:
            self._things.popitem(last=False)

    def drop(self, is_meant: Any) -> None:
        for key in [key for key in self._things if is_meant(key)]:
            del self._things[key]


def preview_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a photograph's preview."""
    scale = min(1.0, math.sqrt(PREVIEW_PIXELS / (height * width)))
    return max(1, round(height * scale)), max(1, round(width * scale))


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (h, w), (h, w, 3) RGB or (h, w, 4) as a PNG file."""
    if picture.ndim == 3:
        order = [2, 1, 0] if picture.shape[2] == 3 else [2, 1, 0, 3]
        picture = picture[..., order]
    done, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return encoded.tobytes()


def _with_edits(
    settings: RestoreSettings, edits: Edits, *, of: tuple[int, int] | None = None
) -> RestoreSettings:
    hints = edits.hints
    if of is not None:
        hints = tuple(hint.to_percent(of[1], of[0]) for hint in hints)
    return replace(settings, marks_mode="edit", hints=hints)


def _unit(source: ArraySource) -> NDArray[np.float32]:
    return _three(scale_to_unit(source.open_rows()(0, source.height)))


def _three(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values


def _to_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return scale_to_samples(values, np.dtype(np.uint8))
