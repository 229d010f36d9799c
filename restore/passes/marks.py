"""Marks that are known before the local pass looks: painted by the user, or found in the copy."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.passes.fusion import Enlarger

Floats = NDArray[np.float32]

# Marks of the reduced copy count at native resolution from the first probability on, and up to two
# pixels from there from the second: soft rims of what is wide belong to it.
_WIDE_PROB, _WIDE_RIMS_PROB = 0.75, 0.15


class Marks(Protocol):
    """Where damage is known to be."""

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""


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


class ManyMarks:
    """Several maps at once."""

    def __init__(self, *maps: KnownMarks) -> None:
        """Take one map or more."""
        self._maps = maps

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""
        return np.maximum.reduce([marks.rows(y0, y1) for marks in self._maps])


class MarksArray:
    """A map of the photograph's own size."""

    def __init__(self, marks: Floats) -> None:
        """Take (H, W) in [0, 1]."""
        self._marks = marks

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) in [0, 1]."""
        return self._marks[y0:y1]


def find_wide(marks: Floats, height: int, width: int) -> KnownMarks | None:
    """The sure marks of a reduced copy, laid over the photograph; None if there are none.

    Args:
        marks: (h, w) probability.
        height: Of the photograph, px.
        width: Likewise.
    """
    sure = (marks > _WIDE_PROB).astype(np.uint8)
    near = cv2.dilate(sure, np.ones((5, 5), np.uint8)) > 0
    rims = near & (marks > _WIDE_RIMS_PROB)
    return KnownMarks(rims, height, width) if rims.any() else None
