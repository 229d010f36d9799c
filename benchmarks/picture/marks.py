"""How well marks are found and filled at native resolution, and what is called a mark but is none.

    python -m benchmarks.picture.marks PHOTOS... --outlines FOLDER [--grey] [--model FILE]
        [--previous FILE]

Over large sharp held-out photographs we lay outlines of real damage (light and dark, sharp and
soft, opaque and half-transparent) and thin opaque hairs, white and black (`outlines.py`); the same
photographs are also looked at without marks. `restore` repairs alone (denoise, tone and colour at
0, so that only what it does about marks counts). Beside it: previous weights, doing nothing, and
OpenCV's classical fill, which is told whether the marks are light or dark: top-hat or black-hat, a
threshold, and Telea's inpainting.

Recall and precision have a tolerance of 2 px. Errors are of luma, in 1/255, in all visible marks,
apart in those that were found and those that were missed, and elsewhere. These come with bootstrap
intervals of 95 % over photographs. Recall by width and contrast of the marks, and precision by
those of what was found, come with the number of their pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.picture.marks_report import HAIRS, OUTLINES, UNMARKED, format_marks, judge_marks
from benchmarks.picture.outlines import (
    CONDITIONS,
    HAIR_INKS,
    Marked,
    Mask,
    draw_hairs,
    draw_laying,
    lay_hairs,
    lay_outline,
    read_outlines,
)
from benchmarks.shared import options
from benchmarks.shared.heldout import seed_photo
from benchmarks.shared.large import LargePhoto, find_photos, read_photo
from benchmarks.shared.machine import write_report
from benchmarks.shared.measured import leave_out, to_json
from benchmarks.shared.report import OURS, begin_run, describe_both
from benchmarks.shared.restorers import load_restorers
from train.measure.intervals import bootstrap
from train.measure.marks import (
    ALL,
    MIN_OPACITY,
    Errors,
    MarkCounts,
    add_slices,
    count_slices,
    describe_slices,
    split_errors,
)

if TYPE_CHECKING:
    from restore import Restorer

Photo = NDArray[np.uint8]
# From a photograph and the ink of its marks to the restored one and the marks found.
Method = Callable[[Photo, str], tuple[Photo, Mask]]

# What can't be told where there are no marks.
OF_MARKS = (
    "precision", "recall", "f1", "inside_error", "inside_found_error", "inside_missed_error",
)  # fmt: skip
_HAT_PX = 9
_HAT_CONTRAST = 40
_INPAINT_RADIUS_PX = 3


class Task(NamedTuple):
    """One photograph to repair.

    Attributes:
        section: In which section it counts.
        conditions: Further sections in which it counts.
        name: Of the photograph.
        clean: (H, W, 3).
        marked: With marks.
        ink: "light" or "dark".
    """

    section: str
    conditions: tuple[str, ...]
    name: str
    clean: Photo
    marked: Marked
    ink: str


class Row(NamedTuple):
    """What was measured of one repaired photograph: sums over its pixels.

    Attributes:
        slices: Of visible marks and of what was found.
        errors: Inside visible marks.
        elsewhere: Sum of errors elsewhere.
        num_elsewhere: Over how many pixels.
    """

    slices: dict[str, MarkCounts]
    errors: Errors
    elsewhere: float
    num_elsewhere: float


def fill_classically(damaged: Photo, ink: str) -> tuple[Photo, Mask]:
    """Find thin marks of one ink by a top-hat or black-hat, and fill them by fast marching.

    Source:
        Meyer 1978 (cv2.MORPH_TOPHAT); Telea 2004 (cv2.inpaint).
    """
    luma = cv2.cvtColor(damaged, cv2.COLOR_RGB2GRAY)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_HAT_PX, _HAT_PX))
    way = cv2.MORPH_TOPHAT if ink == "light" else cv2.MORPH_BLACKHAT
    hat = cv2.morphologyEx(luma, way, disc)
    marks = cv2.threshold(hat, _HAT_CONTRAST, 255, cv2.THRESH_BINARY)[1]
    wider = cv2.dilate(marks, np.ones((3, 3), np.uint8))
    filled = cv2.inpaint(damaged, wider, _INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.uint8), np.asarray(marks, np.uint8)


def keep_as_is(damaged: Photo, ink: str) -> tuple[Photo, Mask]:
    """Do nothing, and find no marks."""
    return damaged, np.zeros(damaged.shape[:2], np.uint8)


def use_repair(restorer: Restorer) -> Method:
    """Repairing alone, by `restore`."""
    from restore import RestoreSettings

    settings = RestoreSettings(denoise=0, tone=0, color=0)

    def repair(damaged: Photo, ink: str) -> tuple[Photo, Mask]:
        restoration = restorer.restore(damaged, settings)
        return np.asarray(restoration.restored, np.uint8), restoration.marks

    return repair


def iterate_tasks(
    photo: LargePhoto, outlines: Sequence[Mask], number: int, *, each: int, seed: int
) -> Iterator[Task]:
    """All that is done with one photograph; conditions take turns over photographs.

    Args:
        photo: The clean one.
        outlines: All there are.
        number: Of the photograph, which chooses its conditions.
        each: Under how many conditions outlines are laid over it.
        seed: Of all draws.
    """
    clean = photo.photo
    for turn in range(each):
        condition = CONDITIONS[(number * each + turn) % len(CONDITIONS)]
        rng = seed_photo(seed, f"outlines {turn}", photo.name)
        marked = lay_outline(clean, outlines, draw_laying(condition, len(outlines), rng))
        parts = tuple(f"{OUTLINES}, {word}" for word in condition)
        yield Task(OUTLINES, parts, photo.name, clean, marked, condition[0])
    hairs = draw_hairs(clean.shape[0], clean.shape[1], seed_photo(seed, "hairs", photo.name))
    for ink in HAIR_INKS:
        yield Task(HAIRS[ink], (), photo.name, clean, lay_hairs(clean, hairs, ink), ink)
    nowhere = np.zeros(clean.shape[:2], bool)
    yield Task(UNMARKED, (), photo.name, clean, Marked(clean, nowhere, nowhere), "light")


def measure_task(task: Task, method: Method) -> Row:
    """Repair one photograph, and measure."""
    damaged, marks, visible = task.marked
    restored, found = method(damaged, task.ink)
    places = found >= MIN_OPACITY
    luma, true_luma = (
        cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for photo in (restored, task.clean)
    )
    error = np.abs(luma - true_luma)
    slices = count_slices(damaged, places, marks, visible=visible)
    errors = split_errors(error, visible, places)
    return Row(slices, errors, float(error[~marks].sum()), float((~marks).sum()))


def summarise_rows(rows: Sequence[Row]) -> dict[str, float]:
    """Shares and mean errors over the pixels of several photographs; see `OF_MARKS`."""
    slices = add_slices(row.slices for row in rows)
    found, num_found, missed, num_missed = np.sum([row.errors for row in rows], axis=0).tolist()
    num_elsewhere = sum(row.num_elsewhere for row in rows)
    values = {"elsewhere_error": sum(row.elsewhere for row in rows) / max(num_elsewhere, 1)}
    num_pixels = num_elsewhere + num_found + num_missed
    values["called_marks_percent"] = 100 * slices[ALL].found / max(num_pixels, 1)
    return values | {
        "precision": slices[ALL].precision,
        "recall": slices[ALL].recall,
        "f1": slices[ALL].f1,
        "inside_error": (found + missed) / max(num_found + num_missed, 1),
        "inside_found_error": found / max(num_found, 1),
        "inside_missed_error": missed / max(num_missed, 1),
    }


def make_grey(large: LargePhoto) -> LargePhoto:
    """A photograph of its luma alone, as most old ones are: without colours marks hide better."""
    luma = cv2.cvtColor(large.photo, cv2.COLOR_RGB2GRAY)
    return large._replace(photo=np.asarray(cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB), np.uint8))


def measure_photos(
    files: Sequence[Path],
    outlines: Sequence[Mask],
    methods: dict[str, Method],
    *,
    each: int = 2,
    num_draws: int = 1000,
    seed: int = 0,
    grey: bool = False,
) -> dict[str, Any]:
    """Measure all photographs, or grey copies of them; JSON values by section."""
    from tqdm import tqdm

    rows: dict[str, dict[str, list[Row]]] = {}
    names: dict[str, list[str]] = {}
    for number, file in enumerate(tqdm(files, unit="photo", file=sys.stderr)):
        photo = read_photo(file)
        photo = make_grey(photo) if grey else photo
        for task in iterate_tasks(photo, outlines, number, each=each, seed=seed):
            sections = (task.section, *task.conditions)
            for section in sections:
                names.setdefault(section, []).append(task.name)
            for method_name, method in methods.items():
                row = measure_task(task, method)
                for section in sections:
                    rows.setdefault(section, {}).setdefault(method_name, []).append(row)
    results: dict[str, Any] = {}
    for section, by_method in rows.items():
        values, differences = bootstrap(
            by_method, names[section], summarise_rows,
            ours=[OURS], num_draws=num_draws, rng=np.random.default_rng(seed),
        )  # fmt: skip
        if section == UNMARKED:
            leave_out(OF_MARKS, values, differences)
        results[section] = {
            "num_photos": len(set(names[section])),
            "methods": to_json(values),
            "ours_minus": {our: to_json(others) for our, others in differences.items()},
            "slices": {
                method: describe_slices(add_slices(row.slices for row in method_rows))
                for method, method_rows in by_method.items()
            },
        }
    return results


@click.command()
@options.photos
@click.option("--outlines", required=True,
              type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of outlines of real damage, white on black.")  # fmt: skip
@options.model
@options.previous
@options.exclude
@options.trained_on
@options.val_frac
@options.limit(60, "Photographs.")
@click.option("--each", type=click.IntRange(1, len(CONDITIONS)), default=2, show_default=True,
              metavar="N", help="Outlines laid over each photograph, one by one.")  # fmt: skip
@click.option("--grey", is_flag=True, help="Of grey copies of the photographs.")
@options.draws(500)
@options.threads
@options.seed("Of the marks and the draws.")
@options.results("marks.json")
def main(
    folders: tuple[Path, ...], outlines: Path, model: Path | None, previous: Path | None,
    exclude: Path | None, trained_on: tuple[Path, ...], val_frac: float, limit: int, each: int,
    grey: bool, draws: int, threads: int, seed: int, results: Path,
) -> None:  # fmt: skip
    """Measure, print tables, keep the figures."""
    from restore.engine import default_model_path

    run = begin_run(threads, "onnxruntime", "numpy", "opencv-python-headless")
    cv2.setNumThreads(threads)
    model = model or default_model_path()
    files = find_photos(
        folders, val_frac=val_frac, exclude=exclude, limit=limit, trained_on=trained_on
    )
    restorers = load_restorers(model, previous, threads)
    methods = {name: use_repair(restorer) for name, restorer in restorers.items()}
    methods |= {"nothing": keep_as_is, "classical": fill_classically}
    sections = measure_photos(
        files, read_outlines(outlines), methods, each=each, num_draws=draws, seed=seed, grey=grey
    )
    measured_on = {
        "num_photos": len(files),
        "val_frac": val_frac,
        "grey": grey,
        **describe_both(model, previous),
    }
    bars = judge_marks(sections, OURS)
    report = run.report(measured_on, sections, bars, num_draws=draws, seed=seed)
    click.echo(format_marks(report))
    write_report(results / ("marks-grey.json" if grey else "marks.json"), report)


if __name__ == "__main__":
    main()
