"""Marks that are known before the local pass looks: painted by the user, or found in the copy."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.passes.fusion import Enlarger
from restore.settings import MarksMode
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

# Marks of the reduced copy count at native resolution from the first probability on, and up to two
# pixels from there from the second: soft rims of what is wide belong to it.
_WIDE_PROB, _WIDE_RIMS_PROB = 0.75, 0.15
# From this opacity on a mark hides what is there.
_HIDING_OPACITY = 0.1
# Two of the network's logits, and six (docs/experiments.md, 50).
_DOUBT, _DARK_DOUBT = 0.125, 0.375
# Dark is what is darker by so much than what is around it, in a square of so many pixels.
_DARKER, _AROUND_PX = 0.04, 41


class Marks(Protocol):
    """Where damage is known to be, and where what looks like it isn't."""

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [-1, 1]."""


class KnownMarks:
    """A map of marks of any size, laid over a photograph."""

    def __init__(self, marks: NDArray[Any], height: int, width: int) -> None:
        """Take (h, w) marks; unsigned integers count from half their range on.

        Raises:
            ValueError: If the array isn't (h, w).
        """
        if marks.ndim != 2 or 0 in marks.shape:
            raise ValueError(f"expected marks (h, w), got {marks.shape}")
        if marks.dtype in (np.uint8, np.uint16):
            marks = marks > np.iinfo(marks.dtype).max // 2
        self._marks = (marks != 0).astype(np.uint8)
        if marks.shape[0] > height or marks.shape[1] > width:
            size = (min(marks.shape[1], width), min(marks.shape[0], height))
            small = cv2.resize(self._marks * np.float32(1), size, interpolation=cv2.INTER_AREA)
            self._marks = np.ceil(small - 0.05).astype(np.uint8)  # a thin stroke stays a stroke
        self._enlarger = Enlarger(
            height / self._marks.shape[0], width / self._marks.shape[1], width
        )

    def part(self, top: int, left: int, width: int) -> KnownMarks:
        """The same map for a part of the photograph, whose first row is `top`."""
        part = copy(self)
        part._enlarger = self._enlarger.part(top, left, width)
        return part

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""
        top, step = self._enlarger.top, self._enlarger.step_y
        first = max(0, int((top + y0) / step) - 2)  # more than needed of a map as fine as itself
        small = self._marks[first : int((top + y1) / step) + 3].astype(np.float32)
        return self._enlarger.rows(small[..., None], y0, y1, first)[..., 0]

    def whole(self, height: int, width: int) -> Floats:
        """(height, width) in [0, 1]."""
        shrinks = self._marks.shape[0] > height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        marks = self._marks.astype(np.float32)
        return cv2.resize(marks, (width, height), interpolation=how).astype(np.float32)


class EditedMarks(NamedTuple):
    """What a user says of the marks.

    Attributes:
        added: Damage, whatever the network says.
        erased: No damage, whatever it says; None: nothing is.
    """

    added: KnownMarks
    erased: KnownMarks | None = None

    @classmethod
    def read(cls, marks: NDArray[Any], mode: MarksMode, height: int, width: int) -> EditedMarks:
        """Understand marks (h, w) as `RestoreSettings.marks_mode` says.

        Raises:
            ValueError: If the array isn't (h, w).
        """
        if mode != "edit":
            return cls(KnownMarks(marks, height, width))
        if marks.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"edited marks are uint8 or uint16, got {marks.dtype}")
        top = int(np.iinfo(marks.dtype).max)
        return cls(
            KnownMarks(marks > top // 4 * 3, height, width),
            KnownMarks(marks < top // 4, height, width),
        )

    def part(self, top: int, left: int, width: int) -> EditedMarks:
        """The same for a part of the photograph, whose first row is `top`."""
        erased = None if self.erased is None else self.erased.part(top, left, width)
        return EditedMarks(self.added.part(top, left, width), erased)


class ToldMarks:
    """What the network is told of marks: several maps at once, and where it is to doubt its own."""

    def __init__(self, maps: Sequence[Marks], doubt: Floats | None = None) -> None:
        """Take maps of a photograph, and (H, W) doubt in [0, 1]; one map, or doubt, at least."""
        self._maps, self._doubt = maps, doubt

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [-1, 1]: doubt is negative, and ends where a mark is known."""
        told = [marks.rows(y0, y1) for marks in self._maps]
        if self._doubt is None:
            return np.maximum.reduce(told)
        doubt = -self._doubt[y0:y1]
        for known in told:
            doubt = np.where(known > 0, np.maximum(known, doubt), doubt)
        return doubt


def tell_marks(maps: Sequence[Marks], doubt: Floats | None) -> Marks | None:
    """What the network is told of marks; None: nothing."""
    return ToldMarks(maps, doubt) if maps or doubt is not None else None


class MarksArray:
    """A map of the photograph's own size."""

    def __init__(self, marks: Floats) -> None:
        """Take (H, W) in [0, 1]."""
        self._marks = marks

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""
        return self._marks[y0:y1]


def doubt_marks(marks: Floats, height: int, width: int) -> Floats:
    """Doubt of all but the marks (h, w) that were found in an enlarged copy: (height, width).

    Enlarged, eyes and collars of a small face are no longer as thin as cracks are.
    """
    found = cv2.resize(marks, (width, height), interpolation=cv2.INTER_AREA) > _HIDING_OPACITY
    near = cv2.dilate(found.astype(np.uint8), np.ones((7, 7), np.uint8))
    return _DOUBT * (1 - near.astype(np.float32))


def doubt_dark(photo: Floats, told: Floats | None) -> Floats:
    """What the network is told of the marks of a photograph with a trace of toning.

    JPEG and scanners leave such a trace in many grey photographs. Ropes and pylons, which have less
    of it than the sky, look like marks then; white cracks do, too, and are some.

    Args:
        photo: (h, w, 3) sRGB in [0, 1].
        told: (h, w) in [-1, 1], what it is told anyway.

    Returns:
        (h, w) in [-1, 1].
    """
    luma = np.asarray(photo @ LUMA_WEIGHTS, np.float32)
    around = cv2.blur(luma, (_AROUND_PX, _AROUND_PX))
    dark = cv2.dilate((around - luma > _DARKER).astype(np.float32), np.ones((3, 3), np.uint8))
    doubt = -np.float32(_DARK_DOUBT) * dark
    if told is None:
        return np.asarray(doubt, np.float32)
    return np.where(told > 0, told, np.minimum(told, doubt)).astype(np.float32)


def find_unmarked(marks: Floats) -> NDArray[np.bool_]:
    """Where no mark is, nor its rim: of marks (h, w) in [0, 1]."""
    return np.asarray(cv2.dilate(marks, np.ones((3, 3), np.uint8)) < _HIDING_OPACITY)


def find_wide(marks: Floats, height: int, width: int) -> KnownMarks | None:
    """The sure marks of a reduced copy, laid over the photograph; None if there are none.

    Args:
        marks: (h, w) in [0, 1], nearly their probability, as a U-Net gives them.
        height: Of the photograph, px.
        width: Likewise.
    """
    sure = (marks > _WIDE_PROB).astype(np.uint8)
    near = cv2.dilate(sure, np.ones((5, 5), np.uint8)) > 0
    rims = near & (marks > _WIDE_RIMS_PROB)
    return KnownMarks(rims, height, width) if rims.any() else None
