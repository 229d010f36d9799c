"""A network that changes nothing, for tests that lay colours of their own choice."""

from typing import Any

import cv2
import numpy as np

from restore.engine import ModelMetadata
from restore.passes.look import Look, begin_look, finish_look
from restore.passes.source import RowSource


def look_at(network: Any, source: RowSource, **given: Any) -> Look:
    """Look at a photograph whose local pass hasn't run."""
    return finish_look(network, source, begin_look(network, source, **given))


class StillNetwork:
    """Settles and repairs nothing; what it lays is up to those that inherit."""

    alignment = 8
    takes_hints = True
    has_close_look = False
    repairs_neutral = False
    color_px = 256
    device = "cpu"

    def look(self, reduced: np.ndarray) -> np.ndarray:
        """Settle nothing."""
        return np.zeros((12, 1, 1), np.float32)

    def choose_chroma(self, luma: np.ndarray, hints: np.ndarray | None) -> np.ndarray:
        """Chroma (h, w, 2) of luma (h, w): none."""
        return np.zeros((*luma.shape, 2), np.float32)

    def lay_color(
        self,
        luma: np.ndarray,
        hints: np.ndarray | None = None,
        size: tuple[int, int] | None = None,
        *,
        side_px: int | None = None,
    ) -> np.ndarray:
        """See `restore.engine.network.Network.lay_color`."""
        laid = self.choose_chroma(luma, hints)
        return laid if size is None else cv2.resize(laid, size[::-1])

    def repair(self, window: np.ndarray, *_: object) -> tuple[np.ndarray, np.ndarray]:
        """Change nothing."""
        return window, np.zeros(window.shape[:2], np.float32)


class Mender(StillNetwork):
    """Takes all that is white for marks, and greys it."""

    def repair(self, window: np.ndarray, *_: object) -> tuple[np.ndarray, np.ndarray]:
        """Grey instead of white."""
        marks = (window.min(2) > 0.99).astype(np.float32)
        return np.where(marks[..., None] > 0, np.float32(0.5), window), marks


class LumaPainter(Mender):
    """The lighter, the redder: where lines are mended, colours show it."""

    has_close_look = True
    metadata = ModelMetadata("painter")

    def choose_chroma(self, luma: np.ndarray, hints: np.ndarray | None) -> np.ndarray:
        """Red by luma."""
        return np.dstack([0 * luma, 0.3 * luma])
