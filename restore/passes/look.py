"""The look at a photograph as a whole: tone, colour, and marks that escape the local pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.engine.network import Network
from restore.engine.toning import make_neutral
from restore.errors import RestoreError
from restore.hints import Hint, paint_hints
from restore.passes.color import lay_color, size_finer
from restore.passes.fusion import Floats, GlobalPass, LaidColor
from restore.passes.local import Band, restore_bands, unite_bands
from restore.passes.marks import (
    EditedMarks,
    KnownMarks,
    Marks,
    MarksArray,
    doubt_marks,
    find_unmarked,
    find_wide,
    tell_marks,
)
from restore.passes.source import RowSource, SourcePixels
from restore.passes.windows import Cutting
from restore.ycc import LUMA_WEIGHTS, measure_own_color

# Short side of the reduced copy for the global pass, and the area it may have.
GLOBAL_SIDE_PX = 256
_GLOBAL_AREA_PX = 1_000_000
# So much enlarged, photographs of one pass show which of their marks are none.
_ENLARGED = 1.5
# Up to this much larger than the reduced copy, the local pass sees the photograph as a whole, and
# if it has colours, that is all; colours laid on others are evened out by a global pass.
_ONE_PASS_SCALE = 1.5
# Mean chroma that is a trace of toning: less is none, more is toning.
_TRACE = (0.2 / 255, 4 / 255)
# A grid that changes a photograph by less (root mean square) is none, by more all it is.
_HARDLY, _CLEARLY = 0.015, 0.03
NO_HINTS = "the weights {} can't take hints of colour; leave the hints out, or give other weights"


@dataclass(frozen=True)
class Look:
    """What the reduced copy of a photograph tells.

    Attributes:
        own_color: From `measure_own_color`.
        grid: From `Network.look`.
        whole: The global pass; None where the local pass sees the photograph as a whole.
        wide: Marks that escape the local pass.
        scale: Pixels of the photograph per pixel of the copy.
        given: What the user says of the marks.
        doubt: (H, W), from `doubt_marks`; None: nothing is doubted.
        repairs_neutral: From `Network`.
        traced: Whether the photograph is grey but for a trace of toning.
    """

    own_color: float
    grid: Floats
    whole: GlobalPass | None
    wide: KnownMarks | None
    scale: float
    given: EditedMarks | None = None
    doubt: Floats | None = None
    repairs_neutral: bool = False
    traced: bool = False

    @property
    def told(self) -> Marks | None:
        """What the network is told of marks before the local pass looks."""
        return tell_marks(self.known, self.doubt)

    @property
    def known(self) -> list[KnownMarks]:
        """Marks that are known before the local pass looks."""
        given = [] if self.given is None else [self.given.added]
        return given if self.wide is None else [*given, self.wide]

    def part(self, top: int, left: int, width: int) -> Look:
        """What it tells those who fuse a part of the photograph, whose first row is `top`."""
        return replace(
            self,
            whole=None if self.whole is None else self.whole.part(top, left, width),
            wide=None if self.wide is None else self.wide.part(top, left, width),
            given=None if self.given is None else self.given.part(top, left, width),
            doubt=None,
        )


class Beginning(NamedTuple):
    """What is known of a photograph before the network restores any of it.

    Attributes:
        look: So far, without a global pass: enough for the local pass, if the network has a close
            look.
        reduced: (h, w, 3) sRGB: the reduced copy.
        hints: Of its colours.
        colorize: Whether colours are wanted where there are none.
    """

    look: Look
    reduced: Floats
    hints: Sequence[Hint]
    colorize: bool

    @property
    def is_whole(self) -> bool:
        """Whether the copy is the photograph."""
        return self.look.scale == 1

    def needs_color(self, network: Network, own_color: float) -> bool:
        """Whether colours are to be laid; a part of its own may still have to be mended."""
        lacks = own_color < 1 and (self.colorize or own_color > 0)
        return network.takes_hints and (bool(self.hints) or lacks)


def begin_look(
    network: Network,
    source: RowSource,
    *,
    given: EditedMarks | None = None,
    hints: Sequence[Hint] = (),
    colorize: bool = True,
) -> Beginning:
    """Look at a reduced copy of the photograph, before the network restores any of it.

    Raises:
        RestoreError: If there are hints and the weights have no input for them.
    """
    height, width = source.height, source.width
    scale = min(height, width) / GLOBAL_SIDE_PX
    scale = max(scale, math.sqrt(height * width / _GLOBAL_AREA_PX))
    is_whole = scale <= _ONE_PASS_SCALE
    scale = 1.0 if is_whole else scale
    small = (max(1, round(height / scale)), max(1, round(width / scale)))
    reduced = SourcePixels(source).to_photo(source.reduced(*small))
    own_color = measure_own_color(reduced)
    if hints and not network.takes_hints:
        raise RestoreError(NO_HINTS.format(network.metadata.name))
    grid = spare_sound(reduced, network.look(reduced))
    doubt = _find_doubt(network, reduced, grid) if is_whole and network.has_close_look else None
    traced = own_color == 0 and network.has_close_look and _is_traced(reduced)
    look = Look(own_color, grid, None, None, scale, given, doubt, network.repairs_neutral, traced)
    return Beginning(look, reduced, hints, colorize)


def finish_look(
    network: Network,
    source: RowSource,
    beginning: Beginning,
    *,
    local: tuple[Floats, Floats] | None = None,
) -> Look:
    """What the photograph as a whole tells: the look so far, and the global pass.

    Args:
        network: That of `begin_look`.
        source: Likewise.
        beginning: What it found.
        local: What the local pass made of the whole photograph: restored (H, W, 3), and marks
            (H, W); if it ran before, copies need not be restored once more.
    """
    look, reduced, hints, _ = beginning
    if beginning.is_whole and look.own_color == 1 and not hints:
        return look
    height, width, small = source.height, source.width, reduced.shape[:2]
    known = None if look.given is None else look.given.added.whole(*small)
    if beginning.is_whole and local is not None:
        restored, marks = local
    else:
        restored, marks = _restore_copy(
            network, reduced, look.grid, known, look.doubt, traced=look.traced
        )
    wide = None if network.has_close_look else find_wide(marks, height, width)
    marks = marks if known is None else np.maximum(marks, known)
    own_color = measure_own_color(reduced, find_unmarked(marks))
    laid = None
    if beginning.needs_color(network, own_color):
        luma = _find_luma(network, source, look, restored, None if local is None else local[0])
        painted = paint_hints(hints, *luma.shape, of=(height, width)) if hints else None
        laid = lay_color(network, luma, painted, own_color, small)
    elif network.takes_hints and own_color == 0:
        laid = LaidColor(np.zeros((*small, 2), np.float32), np.ones(small, np.float32))
    whole = GlobalPass(
        reduced, restored, marks, own_color=own_color, height=height, width=width, laid=laid
    )
    return replace(look, own_color=own_color, whole=whole, wide=wide)


def spare_sound(photo: Floats, grid: Floats) -> Floats:
    """Leave the tone and colour of a photograph alone that hardly seem to need a change.

    Args:
        photo: (h, w, 3) sRGB in [0, 1].
        grid: (12, h', w') from `Network.look`.

    Returns:
        (12, h', w'), all of it, a part, or zeros.
    """
    cells = cv2.resize(photo, grid.shape[:0:-1], interpolation=cv2.INTER_AREA)
    matrices = grid[:9].reshape(3, 3, *grid.shape[1:])
    change = np.einsum("ijyx,yxj->iyx", matrices, cells) + grid[9:]
    size = float(np.sqrt(np.mean(change**2)))
    return grid * np.float32(np.clip((size - _HARDLY) / (_CLEARLY - _HARDLY), 0, 1))


def _is_traced(photo: Floats) -> bool:
    low, high = _TRACE
    return low < float(np.abs(photo - make_neutral(photo)).mean()) < high


def _find_doubt(network: Network, photo: Floats, grid: Floats) -> Floats:
    """How far what is found in a small photograph (H, W, 3) is to be doubted: (H, W)."""
    height, width = photo.shape[:2]
    size = (round(width * _ENLARGED), round(height * _ENLARGED))
    larger = cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    _, marks = _restore_copy(network, larger, grid, None)
    return doubt_marks(marks, height, width)


def _find_luma(
    network: Network, source: RowSource, look: Look, restored: Floats, whole: Floats | None
) -> Floats:
    """The luma in which colours are looked for: of a finer copy, if the photograph gives one.

    Args:
        network: That takes hints.
        source: The photograph.
        look: So far.
        restored: (h, w, 3) the reduced copy, as it was restored.
        whole: (H, W, 3) the photograph likewise, if it is known.
    """
    height, width = size_finer(source.height, source.width, network.color_px)
    if height <= len(restored):
        luma = restored @ LUMA_WEIGHTS
    elif whole is not None:
        size = (width, height)
        luma = np.asarray(cv2.resize(whole @ LUMA_WEIGHTS, size, interpolation=cv2.INTER_AREA))
    else:
        copy = SourcePixels(source).to_photo(source.reduced(height, width))
        known = None if look.given is None else look.given.added.whole(height, width)
        finer, _ = _restore_copy(network, copy, look.grid, known, traced=look.traced)
        luma = finer @ LUMA_WEIGHTS
    return luma.astype(np.float32)


def _restore_copy(
    network: Network,
    reduced: Floats,
    grid: Floats,
    known: Floats | None,
    doubt: Floats | None = None,
    *,
    traced: bool = False,
) -> tuple[Floats, Floats]:
    """A reduced copy restored (h, w, 3), and its marks (h, w)."""
    told = tell_marks([] if known is None else [MarksArray(known)], doubt)
    pixels = _CopyPixels(reduced, traced)
    cutting = Cutting.of(pixels.height, pixels.width, network.alignment)
    events = restore_bands(network, pixels, grid, told, cutting, tile_px=max(reduced.shape[:2]))
    return unite_bands([band for band in events if isinstance(band, Band)])


class _CopyPixels:
    """A reduced copy, which is sRGB already."""

    def __init__(self, photo: Floats, traced: bool) -> None:
        self._photo, self.traced = photo, traced
        self.height, self.width = photo.shape[:2]

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader of rows."""
        return lambda y0, y1: self._photo[y0:y1]

    def to_photo(self, samples: NDArray[Any]) -> Floats:
        """Samples are the photograph."""
        return samples
