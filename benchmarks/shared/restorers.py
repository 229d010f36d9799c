"""Our weights and earlier ones, as `restore` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.report import OURS, PREVIOUS

if TYPE_CHECKING:
    from restore import Restorer
    from restore.engine.network import Device
    from train.measure.evaluate import Method

Photo = NDArray[np.uint8]


def load_restorers(
    model: Path, previous: Path | None, num_threads: int, device: Device = "cpu"
) -> dict[str, Restorer]:
    """Load our weights and, where they are given, previous ones.

    Returns:
        Restorers by the names of their methods, ours first.
    """
    from restore import Restorer

    files = {OURS: model} | ({} if previous is None else {PREVIOUS: previous})
    return {
        name: Restorer.load(file, device, num_threads=num_threads) for name, file in files.items()
    }


def restore_fully(restorer: Restorer) -> Method:
    """Restoring through both passes, with everything that `restore` does by itself."""

    def restore(damaged: Photo) -> tuple[Photo, Photo]:
        restoration = restorer.restore(damaged)
        return np.asarray(restoration.restored, np.uint8), restoration.marks

    return restore
