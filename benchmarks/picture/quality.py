"""How good restorations of held-out photographs are, with intervals, beside what else there is.

    python -m benchmarks.picture.quality PAIRS [--model FILE] [--previous FILE] [--full]

Four sections: the held-out pairs of PAIRS; the same clean photographs under two foreign damages
(`foreign.py`), which `degrade` did not make; and undamaged. Methods: our network in one pass, as
`train evaluate` runs it, previous weights of ours and a pix2pix U-Net
(benchmarks/rivals/baselines.py) where they are given, doing nothing, the classical chain of OpenCV,
and the floor, which is the true chroma on the damaged luma; with --full also ours through both
passes of `restore`.

Every metric of `train evaluate` comes with a bootstrap interval of 95 % over source photographs,
and so does our paired difference from each other method. A held-out photograph is one whose source
is in no training pair, which is checked; the hashes of the sources are kept beside the results.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.picture.foreign import DAMAGES
from benchmarks.picture.quality_report import WITHOUT_COLOURS, judge
from benchmarks.shared import options
from benchmarks.shared.heldout import seed_photo
from benchmarks.shared.machine import write_report
from benchmarks.shared.measured import Item, describe_section, find_judge, measure_section
from benchmarks.shared.report import (
    OURS,
    OURS_FULL,
    OURS_GREY,
    PREVIOUS,
    begin_run,
    describe_both,
    describe_pairs,
    describe_pix2pix,
    format_report,
)
from benchmarks.shared.restorers import restore_fully

if TYPE_CHECKING:
    from degrade import PairReader
    from train.measure.evaluate import Method

Photo = NDArray[np.uint8]


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


def iterate_section(
    section: str, reader: PairReader, chosen: list[int], seed: int
) -> Iterator[Item]:
    """The photographs of one section: "default", "undamaged" or a name of `DAMAGES`."""
    from train.damage.twin import damage_of, find_textures

    textures = find_textures(reader)
    if section == "default" and textures is None:
        print(f"{reader.path}: built with other textures: no consistency", file=sys.stderr)
    for index in chosen:
        pair = reader[index]
        key = pair.recipe.key
        if section == "default":
            emulsion = pair.recipe.emulsion
            is_grey = emulsion is not None and len(set(emulsion.matrix)) == 1
            damage = damage_of(pair.recipe, textures, *pair.marks.shape) if textures else None
            yield Item(key, pair.damaged, pair.clean, pair.marks, is_grey, damage)
        elif section == "undamaged":
            yield Item(key, pair.clean, pair.clean, np.zeros_like(pair.marks))
        else:
            damaged, marks = DAMAGES[section](pair.clean, seed_photo(seed, section, key))
            yield Item(key, damaged, pair.clean, marks)


def leave_grey(method: Method) -> Method:
    """The method, but its colours are taken away: only its luma is kept."""
    from train.losses.fidelity import split_luma_chroma
    from train.measure.evaluate import to_photo, to_tensor

    def restore(damaged: Photo) -> tuple[Photo, Photo]:
        photo, marks = method(damaged)
        luma = split_luma_chroma(to_tensor(photo))[0]
        return to_photo(luma.expand(-1, 3, -1, -1))[0], marks

    return restore


def build_methods(
    model: Path, previous: Path | None, pix2pix: Path | None, full: bool
) -> dict[str, Method]:
    """What is compared, ours first."""
    from restore import Restorer
    from train.measure.baselines import keep_as_is, restore_classically
    from train.measure.evaluate import use_generator
    from train.network.checkpoint import load_generator

    methods: dict[str, Method] = {OURS: use_generator(load_generator(model)[0])}
    if full:
        methods[OURS_FULL] = restore_fully(Restorer.load(model, "cpu"))
    if previous is not None:
        methods[PREVIOUS] = use_generator(load_generator(previous)[0])
    methods |= {"nothing": keep_as_is, "classical": restore_classically}
    if pix2pix is not None:
        from benchmarks.shared.pix2pix import load_unet, use_unet

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

    judge = find_judge()
    results: dict[str, Any] = {}
    for section in sections:
        items = iterate_section(section, reader, chosen, seed)
        progress = tqdm(items, total=len(chosen), desc=section, unit="photo", file=sys.stderr)
        used = methods
        if section == "default":  # where colours are given back
            used = methods | {OURS_GREY: leave_grey(methods[OURS])}
        measured = measure_section(progress, used, judge)
        parts = {section: measured}
        if any(measured.is_grey):
            parts[WITHOUT_COLOURS] = measured.choose_grey()
        for name, part in parts.items():
            print(f"{name}: {num_draws} bootstrap draws", file=sys.stderr)
            results[name] = describe_section(part, num_draws, seed)
    return results


@click.command()
@options.pairs
@options.model
@options.previous
@click.option("--pix2pix", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Weights of benchmarks/rivals/baselines.py.")  # fmt: skip
@options.limit(200, "Source photographs.")
@click.option("--full", is_flag=True, help="Also restore through both passes.")
@options.draws(500)
@options.threads
@options.seed("Of the foreign damages and the draws.")
@options.results("quality.json")
def main(
    pairs: Path, model: Path | None, previous: Path | None, pix2pix: Path | None, limit: int,
    full: bool, draws: int, threads: int, seed: int, results: Path,
) -> None:  # fmt: skip
    """Measure, print tables, keep the figures."""
    import torch

    from degrade import PairReader
    from restore.engine import default_model_path

    torch.set_num_threads(threads)
    run = begin_run(threads, "torch", "numpy")
    model = model or default_model_path()
    reader = PairReader(pairs, split="val")
    chosen = choose_pairs(reader, limit)
    if not chosen:
        raise click.ClickException(f"{pairs}: no held-out pairs; build more photographs")
    hashes = check_heldout(reader, chosen, PairReader(pairs, split="train"))
    sections = run_sections(
        build_methods(model, previous, pix2pix, full), reader, chosen, num_draws=draws, seed=seed
    )
    measured_on = {
        "pairs": describe_pairs(reader, len(chosen)),
        **describe_both(model, previous),
        "pix2pix": None if pix2pix is None else describe_pix2pix(pix2pix),
    }
    bars = [bar for our in (OURS, OURS_FULL)[: 1 + full] for bar in judge(sections, our)]
    report = run.report(measured_on, sections, bars, num_draws=draws, seed=seed)
    click.echo(format_report(report))
    write_report(results / "quality.json", report)
    listed = {"hash": "BLAKE2b of the source key, 128 bits", "sources": hashes}
    (results / "quality-heldout.json").write_text(
        json.dumps(listed, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
