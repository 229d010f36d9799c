"""Restorations that a benchmark keeps as pictures, a folder for each method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.measured import Item

if TYPE_CHECKING:
    from train.measure.evaluate import Method

Photo = NDArray[np.uint8]


class Album:
    """Keeps the restorations of a section while it is measured."""

    def __init__(self, folder: Path) -> None:
        """Begin with none."""
        self._folder = folder
        self._name = ""

    def follow(self, items: Iterable[Item]) -> Iterator[Item]:
        """Keep each photograph before, in truth, and with true chroma; know which is restored."""
        from train.measure.baselines import lay_true_chroma

        for item in items:
            self._name = item.source
            self._keep("grey", item.damaged)
            self._keep("truth", item.clean)
            self._keep("floor", lay_true_chroma(item.damaged, item.clean))
            yield item

    def copy(self, name: str, method: Method) -> Method:
        """The method; what it restores is kept."""

        def restore(damaged: Photo) -> tuple[Photo, Photo]:
            restored, marks = method(damaged)
            self._keep(name, restored)
            return restored, marks

        return restore

    def _keep(self, name: str, photo: Photo) -> None:
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        file = self._folder / name / f"{self._name}.png"
        file.write_bytes(cv2.imencode(".png", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))[1].tobytes())
