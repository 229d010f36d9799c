"""Whether restorations show the same person: distances between embeddings of faces.

    python -m benchmarks.picture.likeness [--pairs PAIRS] [--old FOLDER] [--previous FILE]

Two sections. "portraits": on the held-out photographs of PAIRS that show faces, the distance from
the clean face to the damaged one, to its own grey copy, and to the restored one: restored in full
by our weights, by previous ones, and ours with colours left as they are. "old": on a folder of old
photographs, of which no clean one is known, from the original to the restored one, both grey.

Told are the share of faces that came nearer (of those that the damage changed by .1 or more),
medians, the worst face, the share below .6, which is the same person, and the share of faces that
the detector no longer finds; with bootstrap intervals of 95 % over photographs. Needs dlib and its
models, which the extra `bench` brings.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.picture.quality import choose_pairs
from benchmarks.shared import options
from benchmarks.shared.large import find_photos, read_photo
from benchmarks.shared.machine import write_report
from benchmarks.shared.report import (
    OURS,
    begin_run,
    describe_both,
    describe_pairs,
    format_report,
    judge_figure,
)
from benchmarks.shared.restorers import load_restorers
from train.measure.faces import FaceChange, Recognizer, make_grey
from train.measure.likeness import describe_likeness

if TYPE_CHECKING:
    from degrade import PairReader
    from restore import Restorer

Photo = NDArray[np.uint8]
Restore = Callable[[Photo], Photo]

PORTRAITS, OLD = "portraits", "old"
NOTHING, GREY, OURS_LEFT = "nothing", "grey copy", "ours, no new colours"
_MIN_NEARER_FRAC = 0.8
_MAX_MEDIAN = 0.23
_MAX_OLD_WORST = 0.45


def use_restorer(restorer: Restorer, colorize: bool = True) -> Restore:
    """Restoring as users do."""
    from restore import RestoreSettings

    settings = RestoreSettings(colorize=colorize)
    return lambda photo: np.asarray(restorer.restore(photo, settings).restored, np.uint8)


def compare_portraits(
    reader: PairReader, recognizer: Recognizer, methods: dict[str, Restore], limit: int
) -> list[FaceChange]:
    """Faces of up to so many held-out photographs that show any; the others are passed over."""
    from tqdm import tqdm

    faces: list[FaceChange] = []
    num = 0
    with tqdm(total=limit, desc=PORTRAITS, unit="photo", file=sys.stderr) as progress:
        for index in choose_pairs(reader, len(reader)):
            if num == limit:
                break
            pair = reader[index]
            found = recognizer.find_faces(pair.clean)
            if not found:
                continue
            versions = {name: method(pair.damaged) for name, method in methods.items()}
            versions |= {NOTHING: pair.damaged, GREY: make_grey(pair.clean)}
            faces += recognizer.compare(pair.recipe.key, found, versions)
            num += 1
            progress.update()
    return faces


def compare_old(
    files: list[Path], recognizer: Recognizer, methods: dict[str, Restore]
) -> list[FaceChange]:
    """Faces of old photographs, original and restored both grey."""
    from tqdm import tqdm

    faces: list[FaceChange] = []
    for file in tqdm(files, desc=OLD, unit="photo", file=sys.stderr):
        name, photo = read_photo(file)
        found = recognizer.find_faces(make_grey(photo))
        if found:
            versions = {n: make_grey(method(photo)) for n, method in methods.items()}
            faces += recognizer.compare(name, found, versions)
    return faces


def judge_likeness(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bar with its figure, its interval and whether it is met."""
    return [
        *judge_figure(sections, OURS, PORTRAITS, "nearer_frac", least=_MIN_NEARER_FRAC),
        *judge_figure(sections, OURS, PORTRAITS, "median", most=_MAX_MEDIAN),
        *judge_figure(sections, OURS, OLD, "worst", most=_MAX_OLD_WORST),
        *judge_figure(sections, OURS, OLD, "lost_frac", most=0),
    ]


@click.command()
@click.option("--pairs", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A build, whose held-out photographs are restored.")  # fmt: skip
@click.option("--old", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of old photographs.")  # fmt: skip
@options.model
@options.previous
@options.limit(150, "Photographs of each section.")
@options.draws(1000)
@options.threads
@options.seed("Of the draws.")
@options.results("likeness.json")
def main(
    pairs: Path | None, old: Path | None, model: Path | None, previous: Path | None, limit: int,
    draws: int, threads: int, seed: int, results: Path,
) -> None:  # fmt: skip
    """Measure, print tables, keep the figures."""
    if pairs is None and old is None:
        raise click.UsageError("nothing to measure; name --pairs, --old or both")
    from degrade import PairReader
    from restore.engine import default_model_path
    from train.errors import TrainError

    try:
        recognizer = Recognizer()
    except TrainError as error:
        raise click.ClickException(str(error)) from error
    run = begin_run(threads, "dlib-bin", "onnxruntime", "numpy")
    model = model or default_model_path()
    restorers = load_restorers(model, previous, threads)
    methods = {name: use_restorer(restorer) for name, restorer in restorers.items()}
    sections: dict[str, Any] = {}
    reader = None
    if pairs is not None:
        reader = PairReader(pairs, split="val")
        portrait_methods = methods | {OURS_LEFT: use_restorer(restorers[OURS], colorize=False)}
        faces = compare_portraits(reader, recognizer, portrait_methods, limit)
        sections[PORTRAITS] = describe_likeness(
            faces, damaged=NOTHING, ours=[OURS], num_draws=draws, seed=seed
        )
    if old is not None:
        files = find_photos([old], val_frac=1, exclude=None, limit=limit)
        faces = compare_old(files, recognizer, methods)
        sections[OLD] = describe_likeness(faces, ours=[OURS], num_draws=draws, seed=seed)
    empty = [name for name, section in sections.items() if not section["num_faces"]]
    if empty:
        raise click.ClickException(f"{empty[0]}: no faces were found; name other photographs")
    measured_on = {
        "pairs": reader and describe_pairs(reader, sections[PORTRAITS]["num_photos"]),
        **describe_both(model, previous),
    }
    bars = judge_likeness(sections)
    report = run.report(measured_on, sections, bars, num_draws=draws, seed=seed)
    click.echo(format_report(report))
    write_report(results / "likeness.json", report)


if __name__ == "__main__":
    main()
