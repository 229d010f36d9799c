"""What restoring gains over doing nothing under damage of two peers, on large sharp photographs.

    python -m benchmarks.picture.foreign_large PHOTOS... [--model FILE] [--previous FILE]

BOPBTL's and Real-ESRGAN's damage in their published ranges (`foreign.py`), and BOPBTL's with thin
flat white hairs in place of holes (`outlines.py`). `quality.py` does the first two on the small
clean photographs of pairs; here the photographs are large, and keep their own size unless --side
reduces them. They are restored through both passes, as users get them, beside doing nothing, the
classical chain, and OpenCV's top-hat and inpainting alone.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.picture.foreign import (
    Foreign,
    damage_like_bopbtl,
    damage_like_real_esrgan,
    wear_like_bopbtl,
)
from benchmarks.picture.marks import fill_classically
from benchmarks.picture.outlines import draw_hairs, lay_hairs
from benchmarks.shared import options
from benchmarks.shared.heldout import seed_photo
from benchmarks.shared.large import find_photos, read_photo
from benchmarks.shared.machine import write_report
from benchmarks.shared.measured import Item, describe_section, find_judge, measure_section
from benchmarks.shared.report import OURS, begin_run, describe_both, format_report
from benchmarks.shared.restorers import load_restorers, restore_fully

Photo = NDArray[np.uint8]

HAT_FILL, HAIRS = "top-hat fill", "bopbtl with hairs"
_MIN_GAIN_DB = 1.0


def damage_with_hairs(clean: Photo, rng: np.random.Generator) -> Foreign:
    """BOPBTL's damage without holes, and white hairs of 1 to 3 px upon it; they are the marks."""
    worn = wear_like_bopbtl(clean, rng)
    marked = lay_hairs(worn, draw_hairs(clean.shape[0], clean.shape[1], rng), "light")
    return Foreign(marked.damaged, np.where(marked.marks, 255, 0).astype(np.uint8))


LARGE_DAMAGES: dict[str, Callable[[Photo, np.random.Generator], Foreign]] = {
    "bopbtl": damage_like_bopbtl,
    HAIRS: damage_with_hairs,
    "real-esrgan": damage_like_real_esrgan,
}


def iterate_items(
    files: Sequence[Path], damage: str, *, side_px: int | None, seed: int
) -> Iterator[Item]:
    """The photographs under one damage; each has draws of its own."""
    for file in files:
        name, clean = read_photo(file, side_px)
        damaged, marks = LARGE_DAMAGES[damage](clean, seed_photo(seed, damage, name))
        yield Item(name, damaged, clean, marks)


def judge_gains(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bar with its figure, its interval and whether it is met."""
    bars = []
    for name, section in sections.items():
        minus = section["ours_minus"][OURS]
        gain = minus["nothing"]["luma_psnr_db"]
        claim = f"{name}: luma_psnr_db at least {_MIN_GAIN_DB} dB above doing nothing"
        met = gain["value"] >= _MIN_GAIN_DB
        bars.append({"method": OURS, "claim": claim, **gain, "met": met})
        if name == HAIRS:
            worse = minus[HAT_FILL]["error_inside_marks"]
            claim = f"{name}: error_inside_marks no larger than the {HAT_FILL}'s"
            bars.append({"method": OURS, "claim": claim, **worse, "met": worse["value"] <= 0})
    return bars


@click.command()
@options.photos
@options.model
@options.previous
@options.exclude
@options.trained_on
@options.val_frac
@click.option("--side", "side_px", type=click.IntRange(min=64), metavar="PX",
              help="Reduce short sides to this; else photographs keep their size.")  # fmt: skip
@options.limit(60, "Photographs.")
@options.draws(500)
@options.threads
@options.seed("Of the damages and the draws.")
@options.results("foreign-large.json")
def main(
    folders: tuple[Path, ...], model: Path | None, previous: Path | None, exclude: Path | None,
    trained_on: tuple[Path, ...], val_frac: float, side_px: int | None, limit: int, draws: int,
    threads: int, seed: int, results: Path,
) -> None:  # fmt: skip
    """Measure, print tables, keep the figures."""
    import torch
    from tqdm import tqdm

    from restore.engine import default_model_path
    from train.measure.baselines import keep_as_is, restore_classically

    run = begin_run(threads, "torch", "onnxruntime", "numpy")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    model = model or default_model_path()
    files = find_photos(
        folders, val_frac=val_frac, exclude=exclude, limit=limit, trained_on=trained_on
    )
    restorers = load_restorers(model, previous, threads)
    methods = {name: restore_fully(restorer) for name, restorer in restorers.items()}
    methods |= {"nothing": keep_as_is, "classical": restore_classically}
    methods[HAT_FILL] = functools.partial(fill_classically, ink="light")
    judge = find_judge()
    sections: dict[str, Any] = {}
    for damage in LARGE_DAMAGES:
        items = iterate_items(files, damage, side_px=side_px, seed=seed)
        shown = tqdm(items, total=len(files), desc=damage, unit="photo", file=sys.stderr)
        sections[damage] = describe_section(measure_section(shown, methods, judge), draws, seed)
    measured_on = {
        "num_photos": len(files),
        "val_frac": val_frac,
        "side_px": side_px,
        **describe_both(model, previous),
    }
    bars = judge_gains(sections)
    report = run.report(measured_on, sections, bars, num_draws=draws, seed=seed)
    click.echo(format_report(report))
    write_report(results / "foreign-large.json", report)


if __name__ == "__main__":
    main()
