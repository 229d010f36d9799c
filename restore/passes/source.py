"""A photograph as the passes read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import NDArray

from restore.passes.fusion import Floats
from restore.scan.profiles import ColorSpace


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


class SourcePixels:
    """A source as the network sees it.

    Attributes:
        height: Rows of pixels.
        width: Columns of pixels.
        traced: Whether the photograph is grey but for a trace of toning.
    """

    def __init__(self, source: RowSource, traced: bool = False) -> None:
        """Take a source, and what is known of its toning."""
        self._source, self.traced = source, traced
        self.height, self.width = source.height, source.width
        self.open_rows = source.open_rows

    def to_photo(self, samples: NDArray[Any]) -> Floats:
        """Samples to (h, w, 3) sRGB, clipped to [0, 1]."""
        return self._source.space.to_srgb(samples[..., : self._source.num_bands]).clip(0, 1)
