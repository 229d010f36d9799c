"""How good restorations of held-out photographs are, with intervals, beside what else there is.

    python -m benchmarks.quality PAIRS [--model FILE] [--pix2pix FILE] [--limit 200] [--full]

Four sections: the held-out pairs of PAIRS; the same clean photographs under two foreign damages
(benchmarks/foreign.py), which `degrade` did not make; and undamaged. Methods: our network in one
pass, as `train evaluate` runs it, doing nothing, the classical chain of OpenCV, and a pix2pix
U-Net (benchmarks/baselines.py) where one is given; with --full also ours through both passes of
`restore`.

Every metric of `train evaluate` comes with a bootstrap interval of 95 % over source photographs,
and so does our paired difference from each other method. A held-out photograph is one whose source
is in no training pair, which is checked; the hashes of the sources are kept beside the results.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.foreign import DAMAGES
from benchmarks.intervals import Estimates, bootstrap
from benchmarks.machine import RESULTS, describe_machine
from benchmarks.quality_report import (
    OURS,
    OURS_FULL,
    OURS_GREY,
    WITHOUT_COLOURS,
    describe_pairs,
    describe_pix2pix,
    describe_weights,
    format_report,
    judge,
)
from benchmarks.sections import Item, iterate_section

if TYPE_CHECKING:
    from torch import Tensor

    from degrade import PairReader
    from train.measure.evaluate import Method

Photo = NDArray[np.uint8]

# The sliced Wasserstein distance compares sets: it is measured on so many photographs at a time.
_SET_PHOTOS = 16
# Of what can't be measured where there are no marks.
_OF_MARKS = ("error_inside_marks", "marks_f1", "marks_ap")


class Row(NamedTuple):
    """What was measured of one restored photograph.

    Attributes:
        values: By metric, as `train.measure.evaluate` has them.
        scores: (2, 256), its `train.measure.metrics.count_scores`.
    """

    values: dict[str, float]
    scores: Tensor


class Measured(NamedTuple):
    """What was measured of a section; the lists run in parallel.

    Attributes:
        rows: Of each photograph, by method.
        sets: Of each set of photographs, by method.
        sources: Of each photograph.
        is_grey: Of each photograph.
        has_marks: Whether any photograph has marks.
    """

    rows: dict[str, list[Row]]
    sets: dict[str, list[dict[str, float]]]
    sources: list[str]
    is_grey: list[bool]
    has_marks: bool

    def choose_grey(self) -> Measured:
        """The photographs without colours alone; sets mix both and are left out."""
        chosen = [i for i, grey in enumerate(self.is_grey) if grey]
        rows = {method: [r[i] for i in chosen] for method, r in self.rows.items()}
        sources = [self.sources[i] for i in chosen]
        return Measured(rows, {}, sources, [True] * len(chosen), self.has_marks)


def choose_pairs(reader: PairReader, num_photos: int) -> list[int]:
    """Pairs of `num_photos` different sources, spread over all; their variants take turns."""
    sources: dict[str, list[int]] = {}
    for index in range(len(reader)):
        sources.setdefault(reader.recipe(index).key, []).append(index)
    groups = list(sources.values())
    num = min(num_photos, len(groups))
    spread = [groups[i * len(groups) // num] for i in range(num)]
    return [group[i % len(group)] for i, group in enumerate(spread)]


def check_heldout(reader: PairReader, chosen: list[int], training: PairReader) -> list[str]:
    """Hashes of the chosen sources, sorted.

    Raises:
        click.ClickException: If one of them is also trained on.
    """
    keys = {reader.recipe(index).key for index in chosen}
    trained = {training.recipe(index).key for index in range(len(training))}
    if keys & trained:
        raise click.ClickException(f"{reader.path}: {len(keys & trained)} sources are trained on")
    return sorted(hashlib.blake2b(key.encode(), digest_size=16).hexdigest() for key in keys)


def measure_section(items: Iterator[Item], methods: dict[str, Method]) -> Measured:
    """Restore every photograph with every method and measure."""
    from train.measure.evaluate import to_tensor

    rows: dict[str, list[Row]] = {name: [] for name in methods}
    sets: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    waiting: dict[str, list[Tensor]] = {name: [] for name in (*methods, "clean")}
    sources: list[str] = []
    is_grey: list[bool] = []
    has_marks = False
    for item in items:
        has_marks |= bool(item.marks.max() >= 128)
        for name, method in methods.items():
            restored, found = map(to_tensor, method(item.damaged))
            rows[name].append(_measure_photo(item, restored, found))
            waiting[name].append(restored)
        waiting["clean"].append(to_tensor(item.clean))
        sources.append(item.source)
        is_grey.append(item.is_grey)
        if len(waiting["clean"]) == _SET_PHOTOS:
            _measure_sets(waiting, sets)
    if waiting["clean"] and not any(sets.values()):
        _measure_sets(waiting, sets)
    return Measured(rows, sets, sources, is_grey, has_marks)


def _measure_photo(item: Item, restored: Tensor, found: Tensor) -> Row:
    from train.losses.fidelity import MIN_MSE
    from train.measure.evaluate import measure_consistency_error, measure_pair, to_tensor
    from train.measure.metrics import count_scores

    clean, marks = to_tensor(item.clean), to_tensor(item.marks)
    values = measure_pair(restored, found, clean, marks)
    error = (restored - clean).square().mean().clamp(min=MIN_MSE)
    values["psnr_db"] = float(-10 * error.log10())
    if item.damage is not None:
        damaged = to_tensor(item.damaged)
        values["consistency"] = measure_consistency_error(restored, damaged, item.damage)
    return Row(values, count_scores(found, marks))


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
    import torch

    from train.measure.evaluate import summarise as summarise_values
    from train.measure.metrics import summarise_ap

    def summarise(rows: list[Row]) -> dict[str, float]:
        scores = torch.stack([row.scores for row in rows]).sum(0)
        values = summarise_values([row.values for row in rows])
        return values | {"marks_ap": summarise_ap(scores)}

    def average(rows: list[dict[str, float]]) -> dict[str, float]:
        names = rows[0]
        return {name: sum(row[name] for row in rows) / len(rows) for name in names}

    ours = [name for name in (OURS, OURS_FULL) if name in measured.rows]
    values, differences = bootstrap(
        measured.rows, measured.sources, summarise,
        ours=ours, num_draws=num_draws, rng=np.random.default_rng(seed),
    )  # fmt: skip
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
        for table in (*values.values(), *(t for d in differences.values() for t in d.values())):
            for name in _OF_MARKS:
                table.pop(name, None)
    return values, differences


def leave_grey(method: Method) -> Method:
    """The method, but its colours are taken away: only its luma is kept."""
    from train.losses.fidelity import split_luma_chroma
    from train.measure.evaluate import to_photo, to_tensor

    def restore(damaged: Photo) -> tuple[Photo, Photo]:
        photo, marks = method(damaged)
        luma = split_luma_chroma(to_tensor(photo))[0]
        return to_photo(luma.expand(-1, 3, -1, -1))[0], marks

    return restore


def build_methods(model: Path, pix2pix: Path | None, full: bool) -> dict[str, Method]:
    """What is compared, ours first."""
    from restore import Restorer
    from train.measure.baselines import keep_as_is, restore_classically
    from train.measure.evaluate import use_generator
    from train.network.checkpoint import load_generator

    methods: dict[str, Method] = {OURS: use_generator(load_generator(model)[0])}
    if full:
        restorer = Restorer.load(model, "cpu")

        def restore_fully(damaged: Photo) -> tuple[Photo, Photo]:
            restoration = restorer.restore(damaged)
            return np.asarray(restoration.restored, np.uint8), restoration.marks

        methods[OURS_FULL] = restore_fully
    methods |= {"nothing": keep_as_is, "classical": restore_classically}
    if pix2pix is not None:
        from benchmarks.pix2pix import load_unet, use_unet

        methods["pix2pix"] = use_unet(load_unet(pix2pix)[0])
    return methods


def run_sections(
    methods: dict[str, Method],
    reader: PairReader,
    chosen: list[int],
    *,
    sections: tuple[str, ...] = ("default", *DAMAGES, "undamaged"),
    num_draws: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the sections; JSON values by section."""
    from tqdm import tqdm

    results: dict[str, Any] = {}
    for section in sections:
        items = iterate_section(section, reader, chosen, seed)
        progress = tqdm(items, total=len(chosen), desc=section, unit="photo", file=sys.stderr)
        used = methods
        if section == "default":  # where colours are given back
            used = methods | {OURS_GREY: leave_grey(methods[OURS])}
        measured = measure_section(iter(progress), used)
        parts = {section: measured}
        if any(measured.is_grey):
            parts[WITHOUT_COLOURS] = measured.choose_grey()
        for name, part in parts.items():
            print(f"{name}: {num_draws} bootstrap draws", file=sys.stderr)
            values, differences = summarise_section(part, num_draws, seed)
            results[name] = {
                "num_photos": len(part.sources),
                "methods": _to_json(values),
                "ours_minus": {our: _to_json(others) for our, others in differences.items()},
            }
    return results


def _to_json(estimates: Estimates) -> dict[str, Any]:
    return {
        method: {name: asdict(estimate) for name, estimate in table.items()}
        for method, table in estimates.items()
    }


@click.command()
@click.argument("pairs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Our weights; else those of the package.")  # fmt: skip
@click.option("--pix2pix", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Weights of benchmarks/baselines.py.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True,
              metavar="N", help="Source photographs.")  # fmt: skip
@click.option("--full", is_flag=True, help="Also restore through both passes.")
@click.option("--draws", type=click.IntRange(min=2), default=1000, show_default=True,
              metavar="N", help="Of the bootstrap.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, metavar="N")
@click.option("--seed", default=0, show_default=True, help="Of the foreign damages and the draws.")
@click.option("--results", type=click.Path(file_okay=False, path_type=Path),
              default=RESULTS, help="Folder for quality.json.")  # fmt: skip
def main(
    pairs: Path, model: Path | None, pix2pix: Path | None, limit: int, full: bool, draws: int,
    threads: int, seed: int, results: Path,
) -> None:  # fmt: skip
    """Measure, print tables, keep the figures."""
    import torch

    from degrade import PairReader
    from restore.engine import default_model_path

    torch.set_num_threads(threads)
    start_s = time.monotonic()
    model = model or default_model_path()
    machine = describe_machine(threads, "torch", "numpy")
    reader = PairReader(pairs, split="val")
    chosen = choose_pairs(reader, limit)
    if not chosen:
        raise click.ClickException(f"{pairs}: no held-out pairs; build more photographs")
    hashes = check_heldout(reader, chosen, PairReader(pairs, split="train"))
    sections = run_sections(
        build_methods(model, pix2pix, full), reader, chosen, num_draws=draws, seed=seed
    )
    report = {
        "machine": machine,
        "pairs": describe_pairs(reader, len(chosen)),
        "model": describe_weights(model),
        "pix2pix": None if pix2pix is None else describe_pix2pix(pix2pix),
        "bootstrap_draws": draws,
        "seed": seed,
        "sections": sections,
        "bars": [bar for our in (OURS, OURS_FULL)[: 1 + full] for bar in judge(sections, our)],
        "minutes": round((time.monotonic() - start_s) / 60, 1),
    }
    click.echo(format_report(report))
    results.mkdir(parents=True, exist_ok=True)
    (results / "quality.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    listed = {"hash": "BLAKE2b of the source key, 128 bits", "sources": hashes}
    (results / "quality-heldout.json").write_text(
        json.dumps(listed, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
