"""Measure the photographs of one section, restored by several methods, and draw intervals.

Sections and methods differ from benchmark to benchmark; what is measured is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.report import OURS, OURS_FULL
from train.measure.intervals import Estimates, bootstrap, bootstrap_sets

if TYPE_CHECKING:
    from torch import Tensor

    from train.damage.stages import Damage
    from train.measure.classifier import Judge
    from train.measure.evaluate import Method
    from train.measure.impressions import CleanPhoto
    from train.measure.sets import MeasuredPhoto

Photo = NDArray[np.uint8]

FLOOR = "floor"
# The sliced Wasserstein distance compares sets: it is measured on so many photographs at a time.
_SET_PHOTOS = 16
# Of what can't be measured where there are no marks.
_OF_MARKS = (
    "error_inside_marks", "error_inside_found", "error_inside_missed", "marks_f1", "marks_ap",
    "marks_recall", "marks_precision", "marks_gain", "marks_loss",
)  # fmt: skip


class Item(NamedTuple):
    """One photograph to restore.

    Attributes:
        source: Key of its source photograph.
        damaged: (H, W, 3) RGB.
        clean: (H, W, 3) RGB.
        marks: (H, W) opacity of the marks.
        is_grey: Whether `degrade` took its colours away.
        damage: To damage its restoration again, where that is known.
    """

    source: str
    damaged: Photo
    clean: Photo
    marks: Photo
    is_grey: bool = False
    damage: Damage | None = None


class Measured(NamedTuple):
    """What was measured of a section; the lists run in parallel.

    Attributes:
        photos: Of each photograph, by method.
        sets: Of each set of photographs, by method.
        sources: Of each photograph.
        is_grey: Of each photograph.
        has_marks: Whether any photograph has marks.
    """

    photos: dict[str, list[MeasuredPhoto]]
    sets: dict[str, list[dict[str, float]]]
    sources: list[str]
    is_grey: list[bool]
    has_marks: bool

    def choose_grey(self) -> Measured:
        """The photographs without colours alone; sets mix both and are left out."""
        chosen = [i for i, grey in enumerate(self.is_grey) if grey]
        photos = {method: [p[i] for i in chosen] for method, p in self.photos.items()}
        sources = [self.sources[i] for i in chosen]
        return Measured(photos, {}, sources, [True] * len(chosen), self.has_marks)


def find_judge() -> Judge | None:
    """The classifier that judges, or None and a line on stderr that says why not."""
    from train.errors import TrainError
    from train.measure.classifier import Judge

    try:
        return Judge()
    except TrainError as error:
        print(error, file=sys.stderr)
        return None


def measure_section(
    items: Iterable[Item], methods: dict[str, Method], judge: Judge | None = None
) -> Measured:
    """Restore every photograph with every method and measure; also the floor, without restoring.

    Args:
        items: The photographs.
        methods: What restores them, by name.
        judge: Who looks at them; None leaves out what needs a classifier.
    """
    from train.measure.baselines import lay_true_chroma
    from train.measure.evaluate import to_tensor
    from train.measure.impressions import CleanPhoto

    names = [*methods, FLOOR]
    photos: dict[str, list[MeasuredPhoto]] = {name: [] for name in names}
    sets: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    waiting: dict[str, list[Tensor]] = {name: [] for name in (*names, "clean")}
    sources: list[str] = []
    is_grey: list[bool] = []
    has_marks = False
    for item in items:
        has_marks |= bool(item.marks.max() >= 128)
        clean = CleanPhoto(to_tensor(item.clean), judge)
        restorations = {name: method(item.damaged) for name, method in methods.items()}
        floor = lay_true_chroma(item.damaged, item.clean)
        restorations[FLOOR] = (floor, np.zeros_like(item.marks))
        for name, (restored, found) in restorations.items():
            photos[name].append(_measure_photo(item, to_tensor(restored), to_tensor(found), clean))
            waiting[name].append(to_tensor(restored))
        waiting["clean"].append(clean.photo)
        sources.append(item.source)
        is_grey.append(item.is_grey)
        if len(waiting["clean"]) == _SET_PHOTOS:
            _measure_sets(waiting, sets)
    if waiting["clean"] and not any(sets.values()):
        _measure_sets(waiting, sets)
    return Measured(photos, sets, sources, is_grey, has_marks)


def _measure_photo(item: Item, restored: Tensor, found: Tensor, clean: CleanPhoto) -> MeasuredPhoto:
    from train.losses.fidelity import MIN_MSE
    from train.measure.evaluate import to_tensor
    from train.measure.pair import measure_consistency_error
    from train.measure.sets import measure_photo

    damaged = to_tensor(item.damaged)
    measured = measure_photo(damaged, restored, found, clean, to_tensor(item.marks))
    error = (restored - clean.photo).square().mean().clamp(min=MIN_MSE)
    measured.values["psnr_db"] = float(-10 * error.log10())
    if item.damage is not None:
        measured.values["consistency"] = measure_consistency_error(restored, damaged, item.damage)
    return measured


def _measure_sets(
    waiting: dict[str, list[Tensor]], sets: dict[str, list[dict[str, float]]]
) -> None:
    """Measure one set and empty it."""
    import torch

    from train.measure.metrics import measure_swd

    side = min(min(photo.shape[-2:]) for photo in waiting["clean"]) // 16 * 16

    def join(photos: list[Tensor]) -> Tensor:
        cut = []
        for photo in photos:
            top, left = ((length - side) // 2 for length in photo.shape[-2:])
            cut.append(photo[..., top : top + side, left : left + side])
        return torch.cat(cut)

    clean = join(waiting["clean"])
    for name, rows in sets.items():
        rows.append({"swd": measure_swd(join(waiting[name]), clean)})
    for photos in waiting.values():
        photos.clear()


def summarise_section(
    measured: Measured, num_draws: int, seed: int
) -> tuple[Estimates, dict[str, Estimates]]:
    """Estimates by method and metric, and our paired differences from every other method."""
    from train.measure.sets import MeasuredSet

    def average(rows: list[dict[str, float]]) -> dict[str, float]:
        names = rows[0]
        return {name: sum(row[name] for row in rows) / len(rows) for name in names}

    ours = [name for name in (OURS, OURS_FULL) if name in measured.photos]
    summaries = {name: MeasuredSet(photos).summarise for name, photos in measured.photos.items()}
    values, differences = bootstrap_sets(
        summaries, measured.sources, ours=ours, num_draws=num_draws, rng=np.random.default_rng(seed)
    )
    if measured.sets:
        numbers = [str(i) for i in range(len(measured.sets[OURS]))]
        set_values, set_differences = bootstrap(
            measured.sets, numbers, average,
            ours=ours, num_draws=num_draws, rng=np.random.default_rng(seed),
        )  # fmt: skip
        for method, estimates in set_values.items():
            values[method] |= estimates
        for our, others in set_differences.items():
            for method, estimates in others.items():
                differences[our][method] |= estimates
    if not measured.has_marks:
        leave_out(_OF_MARKS, values, differences)
    return values, differences


def leave_out(names: Iterable[str], values: Estimates, differences: dict[str, Estimates]) -> None:
    """Take metrics out of estimates, and out of what ours differ by."""
    for estimates in (values, *differences.values()):
        for table in estimates.values():
            for name in names:
                table.pop(name, None)


def describe_section(measured: Measured, num_draws: int, seed: int) -> dict[str, Any]:
    """A summarised section as JSON values."""
    values, differences = summarise_section(measured, num_draws, seed)
    return {
        "num_photos": len(measured.sources),
        "methods": to_json(values),
        "ours_minus": {our: to_json(others) for our, others in differences.items()},
    }


def to_json(estimates: Estimates) -> dict[str, Any]:
    """Estimates as JSON values."""
    return {
        method: {name: asdict(estimate) for name, estimate in table.items()}
        for method, table in estimates.items()
    }
