"""Restore photographs: load the weights once, then call `Restorer.restore`.

Arrays that fit into memory go through `Restorer.restore`; `Restorer.restore_rows` does the same
with photographs of any size, reading and giving back some rows at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.engine.model_file import default_model_path
from restore.engine.network import Device, Network
from restore.events import Notice, Progress
from restore.passes.run import RestoredRows, restore_photo
from restore.passes.source import RowSource
from restore.scan.profiles import ColorSpace, Srgb
from restore.scan.provenance import digest_weights
from restore.settings import RestoreSettings

_DEFAULTS = RestoreSettings()
_LOG = logging.getLogger(__name__)


class Restoration(NamedTuple):
    """A restored photograph.

    Attributes:
        restored: (H, W, 3) RGB, or (H, W) if the photograph was grey and stays it; of its dtype.
        marks: (H, W) uint8, 255 where physical damage was found or given.
    """

    restored: NDArray[Any]
    marks: NDArray[np.uint8]


class Restorer:
    """A network ready to restore; may be shared between threads.

    Attributes:
        network: What repairs.
        tile_px: Side of the tiles of the local pass to start with.
        weights: The file that the network is from, if it is from one.
    """

    def __init__(
        self, network: Network, *, tile_px: int = 1024, weights: Path | None = None
    ) -> None:
        """Take a network as it is; `load` is the usual way."""
        self.network = network
        self.tile_px = tile_px
        self.weights = weights

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        device: Device = "auto",
        *,
        tile_px: int = 1024,
        num_threads: int | None = None,
    ) -> Self:
        """Load weights.

        Args:
            model: File of weights; None takes those that come with the package.
            device: "auto" takes what is installed: CUDA, DirectML, the processor.
            tile_px: Side of the tiles of the local pass; less needs less memory.
            num_threads: None takes as many as there are cores that this process may use.

        Returns:
            A restorer.

        Raises:
            ModelError: If the file is missing, damaged or not one of ours.
            RestoreError: If the device isn't there.
        """
        network = Network.load(model, device, num_threads=num_threads)
        weights = default_model_path() if model is None else Path(model)
        return cls(network, tile_px=tile_px, weights=weights)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.network.metadata.name

    @cached_property
    def digest(self) -> str:
        """Digest of the file of weights; empty without one, or if it has gone."""
        return "" if self.weights is None else digest_weights(self.weights)

    @property
    def device(self) -> str:
        """Where it runs."""
        return self.network.device

    def restore(
        self,
        photo: NDArray[Any],
        settings: RestoreSettings = _DEFAULTS,
        *,
        marks_in: NDArray[Any] | None = None,
    ) -> Restoration:
        """Restore one photograph.

        Args:
            photo: (H, W, 3) RGB or (H, W) grey, sRGB, uint8 or uint16; left unchanged.
            settings: What is wanted.
            marks_in: (h, w) of any size, stretched over the photograph: where it isn't zero (for
                uint8 and uint16: from half the range on) there is damage.

        Returns:
            The restored photograph and the marks. What a user should know besides (smaller
            tiles, ...) is logged as a warning.

        Raises:
            ValueError: If the array is no photograph.
            RestoreError: If memory doesn't suffice.
        """
        if photo.dtype not in (np.uint8, np.uint16) or 0 in photo.shape:
            raise ValueError(f"expected uint8 or uint16 pixels, got {photo.dtype} {photo.shape}")
        if photo.ndim not in (2, 3) or (photo.ndim == 3 and photo.shape[2] != 3):
            raise ValueError(f"expected (H, W, 3) or (H, W), got {photo.shape}")
        source = ArraySource(photo if photo.ndim == 3 else photo[..., None])
        num_out = settings.count_bands(source.num_bands)
        restored = np.empty((*photo.shape[:2], num_out), photo.dtype)
        marks = np.empty(photo.shape[:2], np.uint8)
        for event in self.restore_rows(source, settings, marks_in=marks_in):
            match event:
                case RestoredRows(y0, samples, found):
                    rows = slice(y0, y0 + len(samples))
                    restored[rows], marks[rows] = samples, found
                case Notice(text):
                    _LOG.warning("%s", text)
        return Restoration(restored if num_out == 3 else restored[..., 0], marks)

    def restore_rows(
        self,
        source: RowSource,
        settings: RestoreSettings = _DEFAULTS,
        *,
        target: ColorSpace | None = None,
        marks_in: NDArray[Any] | None = None,
    ) -> Iterator[RestoredRows | Notice | Progress]:
        """Restore a photograph of any size; memory is bounded by its width times the tile.

        Args:
            source: The photograph.
            settings: What is wanted.
            target: Colour space to give back; None keeps the source's.
            marks_in: As in `restore`.

        Yields:
            Adjacent rows from top to bottom; a grey photograph has three bands if it is given
            colour, and its further bands follow. After each tile, how far the photograph is; and
            lines for the user. Closing the iterator ends the work.

        Raises:
            RestoreError: If memory doesn't suffice.
        """
        return restore_photo(
            self.network,
            source,
            settings,
            target=target,
            marks_in=marks_in,
            tile_px=self.tile_px,
        )


class ArraySource:
    """An sRGB photograph in memory, as a `RowSource`."""

    def __init__(self, photo: NDArray[Any]) -> None:
        """Take (H, W, 1 or 3) uint8 or uint16 samples."""
        self._photo = photo
        self.height, self.width, self.num_bands = photo.shape
        self.space: ColorSpace = Srgb()

    def reduced(self, height: int, width: int) -> NDArray[Any]:
        """A reduced copy's samples, (height, width, C)."""
        if (height, width) == self._photo.shape[:2]:
            return self._photo
        small = cv2.resize(self._photo, (width, height), interpolation=cv2.INTER_AREA)
        return small.reshape(height, width, self.num_bands)

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader of rows."""
        return lambda y0, y1: self._photo[y0:y1]
