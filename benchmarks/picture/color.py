"""How natural the colours of restorations are, on held-out clean photographs of 256 px.

    python -m benchmarks.picture.color PHOTOS... --previous OLD.zip [--model NEW.zip]

Clean colour photographs are made grey with a random response and noise of up to 2 %, and `restore`
colours them (with denoise, repair and tone at 0, so that colours alone count). They are measured
beside the previous weights, doing nothing, the classical chain of OpenCV, and the floor: the true
chroma on the same grey copy. Then: hints of 1, 5 and 20 true points; photographs whose dyes have
faded; and undamaged ones, of which those with a cast of their own (sunsets, candlelight) stand
apart and are in no test of faded dyes.

A photograph is held out by the hash of its name; --exclude leaves out further names. --save keeps
what was restored, for benchmarks/judged/blind.py.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.picture.casts import average, measure_cast, measure_harm
from benchmarks.picture.color_photos import (
    SIDE_PX,
    CleanPhoto,
    draw_fading,
    draw_grey_copy,
    fade_dyes,
    make_grey,
    read_heldout,
)
from benchmarks.picture.color_report import GREY_COPIES, compare_ratios, judge_colors
from benchmarks.picture.hinted import choose_places, measure_hints, summarise_hints
from benchmarks.shared import options
from benchmarks.shared.album import Album
from benchmarks.shared.heldout import find_heldout, seed_photo
from benchmarks.shared.machine import write_report
from benchmarks.shared.measured import Item, describe_section, find_judge, measure_section, to_json
from benchmarks.shared.report import OURS, PREVIOUS, begin_run, describe_weights, format_report
from benchmarks.shared.restorers import load_restorers
from train.measure.intervals import bootstrap

if TYPE_CHECKING:
    from restore import Restorer
    from restore.hints import Hint
    from train.measure.evaluate import Method

Photo = NDArray[np.uint8]
Shown = TypeVar("Shown")


def copy_grey(photos: Iterable[CleanPhoto], seed: int) -> Iterator[Item]:
    """Grey copies of photographs; no marks."""
    for name, photo, _ in photos:
        grey = make_grey(photo, draw_grey_copy(seed_photo(seed, "grey", name)))
        yield Item(name, grey, photo, np.zeros(photo.shape[:2], np.uint8), is_grey=True)


def use_colors(restorer: Restorer) -> Callable[[Photo, tuple[Hint, ...]], Photo]:
    """Colouring alone, by `restore`."""
    from restore import RestoreSettings

    def color(grey: Photo, hints: tuple[Hint, ...]) -> Photo:
        settings = RestoreSettings(denoise=0, repair=0, tone=0, hints=hints)
        return np.asarray(restorer.restore(grey, settings).restored, np.uint8)

    return color


def use_as_method(restorer: Restorer) -> Method:
    """Colouring alone, without hints, as a method that finds no marks."""
    color = use_colors(restorer)

    def restore(grey: Photo) -> tuple[Photo, Photo]:
        return color(grey, ()), np.zeros(grey.shape[:2], np.uint8)

    return restore


def measure_grey_copies(
    photos: Sequence[CleanPhoto],
    restorers: dict[str, Restorer],
    *,
    num_draws: int,
    seed: int,
    save: Path | None = None,
) -> dict[str, Any]:
    """The section of grey copies, with the ratios that the bars ask for."""
    from train.measure.baselines import keep_as_is, restore_classically

    judge = find_judge()
    methods = {name: use_as_method(restorer) for name, restorer in restorers.items()}
    methods |= {"nothing": keep_as_is, "classical": restore_classically}
    items = copy_grey(photos, seed)
    if save is not None:
        album = Album(save)
        items = album.follow(items)
        methods = {name: album.copy(name, method) for name, method in methods.items()}
    measured = measure_section(_show(items, len(photos), GREY_COPIES), methods, judge)
    section = describe_section(measured, num_draws, seed)
    section["ratios"] = compare_ratios(measured, num_draws, seed)
    return section


def measure_hinted(
    photos: Sequence[CleanPhoto], restorer: Restorer, *, num_draws: int, seed: int
) -> dict[str, Any]:
    """The section of hints."""
    color, rows = use_colors(restorer), []
    items = copy_grey(photos, seed)
    for item in _show(items, len(photos), "hints"):
        places = choose_places(item.clean, seed_photo(seed, "hints", item.source))
        rows.append(measure_hints(color, item.damaged, item.clean, places))
    names = [photo.name for photo in photos]
    return _summarise({OURS: rows}, names, summarise_hints, num_draws, seed)


def measure_faded(
    photos: Sequence[CleanPhoto], restorers: dict[str, Restorer], *, num_draws: int, seed: int
) -> dict[str, Any]:
    """The section of faded dyes, restored in full."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in (*restorers, "nothing")}
    for photo in _show(photos, len(photos), "faded dyes"):
        fading = draw_fading(seed_photo(seed, "fading", photo.name))
        faded = fade_dyes(photo.photo, fading)
        rows["nothing"].append(measure_cast(faded, faded, photo.photo))
        for name, restorer in restorers.items():
            restored = np.asarray(restorer.restore(faded).restored, np.uint8)
            rows[name].append(measure_cast(restored, faded, photo.photo))
    return _summarise(rows, [photo.name for photo in photos], average, num_draws, seed)


def measure_undamaged(
    photos: Sequence[CleanPhoto], restorers: dict[str, Restorer], *, num_draws: int, seed: int
) -> dict[str, Any]:
    """A section of undamaged photographs, restored in full."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in restorers}
    for photo in _show(photos, len(photos), "undamaged"):
        for name, restorer in restorers.items():
            restored = np.asarray(restorer.restore(photo.photo).restored, np.uint8)
            rows[name].append(measure_harm(restored, photo.photo))
    return _summarise(rows, [photo.name for photo in photos], average, num_draws, seed)


def _summarise(
    rows: dict[str, list[dict[str, float]]],
    names: list[str],
    summarise: Callable[[list[dict[str, float]]], dict[str, float]],
    num_draws: int,
    seed: int,
) -> dict[str, Any]:
    values, differences = bootstrap(
        rows, names, summarise, ours=[OURS], num_draws=num_draws, rng=np.random.default_rng(seed)
    )
    return {
        "num_photos": len(names),
        "methods": to_json(values),
        "ours_minus": {our: to_json(others) for our, others in differences.items() if others},
    }


def _show(items: Iterable[Shown], total: int, label: str) -> Iterator[Shown]:
    """The items, with a bar of progress."""
    from tqdm import tqdm

    yield from tqdm(items, total=total, desc=label, unit="photo", file=sys.stderr)


def describe_photos(photos: Sequence[CleanPhoto], val_frac: float) -> dict[str, Any]:
    """Which photographs were measured: their number and a digest of their names."""
    names = "\n".join(photo.name for photo in photos)
    return {
        "num_photos": len(photos), "side_px": SIDE_PX, "val_frac": val_frac,
        "digest_of_names": hashlib.blake2b(names.encode(), digest_size=16).hexdigest(),
    }  # fmt: skip


@click.command()
@options.photos
@options.model
@options.previous
@options.exclude
@options.trained_on
@options.val_frac
@options.limit(100, "Photographs that are made grey.", least=2)
@click.option("--others", type=click.IntRange(min=0), default=30, show_default=True,
              metavar="N", help="Of these for all other tests; 0: none.")  # fmt: skip
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="Keep the restored grey copies there, a folder for each method.")  # fmt: skip
@options.draws(500)
@options.threads
@options.seed("Of all damage and the draws.")
@options.results("color.json")
def main(
    folders: tuple[Path, ...], model: Path | None, previous: Path | None, exclude: Path | None,
    trained_on: tuple[Path, ...], val_frac: float, limit: int, others: int, save: Path | None,
    draws: int, threads: int, seed: int, results: Path,
) -> None:  # fmt: skip
    """Measure the colours of restored held-out PHOTOS, print tables, keep the figures."""
    import torch

    from restore.engine import default_model_path

    torch.set_num_threads(threads)
    run = begin_run(threads, "torch", "onnxruntime", "numpy")
    model = model or default_model_path()
    restorers = load_restorers(model, previous, threads, device="auto")
    heldout = find_heldout(folders, exclude, val_frac, trained_on)
    photos = list(read_heldout(heldout, limit))
    if not photos:
        raise click.ClickException(f"{folders[0]}: no held-out colour photographs of {SIDE_PX} px")
    chosen = {"num_draws": draws, "seed": seed}
    sections = {GREY_COPIES: measure_grey_copies(photos, restorers, save=save, **chosen)}
    plain = [photo for photo in photos if not photo.has_cast][:others]
    cast = [photo for photo in photos if photo.has_cast][:others]
    if plain and restorers[OURS].network.takes_hints:
        sections["hints"] = measure_hinted(plain, restorers[OURS], **chosen)
    if plain:
        sections["faded dyes"] = measure_faded(plain, restorers, **chosen)
        sections["undamaged"] = measure_undamaged(plain, restorers, **chosen)
    if cast and others:
        sections["undamaged, with a cast"] = measure_undamaged(cast, restorers, **chosen)
    measured_on = {"photos": describe_photos(photos, val_frac), OURS: describe_weights(model)}
    if previous is not None:
        measured_on[PREVIOUS] = describe_weights(previous)
    report = run.report(measured_on, sections, judge_colors(sections), **chosen)
    click.echo(format_report(report))
    write_report(results / "color.json", report)


if __name__ == "__main__":
    main()
