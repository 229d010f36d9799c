"""What each part of the trainer is worth: runs of equal time with one part left out of each.

    python -m benchmarks.rivals.ablations PAIRS --out FOLDER [--minutes 20] [--arm full]

Every arm trains from random weights with `ablation.toml`, in one process of one thread. Without the
adversarial stages their time goes to the others. The pix2pix U-Net is that of `baselines.py`, for
the same minutes. Arms may be trained apart, one per core (`--arm`); called again without it, the
script measures all on the same held-out photographs as benchmarks/picture/quality.py does, and
keeps benchmarks/results/ablations.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.shared import options
from benchmarks.shared.machine import call_module, describe_machine

_PRESET = Path(__file__).with_name("ablation.toml")

ARMS: dict[str, tuple[str, ...]] = {
    "full": (),
    "no-consistency": ("--without", "consistency"),
    "no-adversarial": (),  # its preset has no such stages
    "no-marks": ("--without", "marks"),
    "pix2pix": (),
}


def write_preset(arm: str, folder: Path) -> Path:
    """The preset of an arm: the common one, or that without the critic's stages."""
    text = _PRESET.read_text(encoding="utf-8")
    if arm == "no-adversarial":
        text = text[: text.index('[[stages]]\nkind = "critic"')]
    path = folder / f"{arm}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def train_arm(arm: str, pairs: Path, folder: Path, minutes: float) -> None:
    """Train one arm in a process of its own; an interrupted one goes on."""
    out = folder / arm
    words: list[object]
    if arm == "pix2pix":
        module = "benchmarks.rivals.baselines"
        words = [pairs, "--minutes", minutes, "--out", out, "--threads", 1, "--limit", 0]
        if (out / "state.pt").exists():
            words.append("--resume")
    elif (out / "state.pt").exists():
        module, words = "train", ["run", "--resume", out]
    else:
        preset = write_preset(arm, folder)
        words = ["run", pairs, "--out", out, "--minutes", minutes, "--preset", preset, *ARMS[arm]]
        module = "train"
    call_module(module, *words, OMP_NUM_THREADS="1")


def measure_arms(arms: list[str], pairs: Path, folder: Path, limit: int) -> dict[str, Any]:
    """The section of the default profile, with the first arm's differences from the others."""
    from benchmarks.picture.quality import choose_pairs, run_sections
    from benchmarks.shared.pix2pix import load_unet, use_unet
    from benchmarks.shared.report import OURS
    from degrade import PairReader
    from train.measure.baselines import keep_as_is
    from train.measure.evaluate import use_generator
    from train.network.checkpoint import load_generator

    methods = {}
    for arm in arms:
        if arm == "pix2pix":
            methods[arm] = use_unet(load_unet(folder / arm / "pix2pix.safetensors")[0])
        else:
            generator, _ = load_generator(folder / arm / "checkpoint.safetensors")
            methods[OURS if arm == "full" else arm] = use_generator(generator)
    methods["nothing"] = keep_as_is
    reader = PairReader(pairs, split="val")
    sections = run_sections(methods, reader, choose_pairs(reader, limit), sections=("default",))
    section: dict[str, Any] = sections["default"]
    return section


@click.command()
@options.pairs
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
              metavar="FOLDER", help="Where the arms are trained.")  # fmt: skip
@click.option("--minutes", default=20.0, show_default=True, metavar="M", help="For each arm.")
@click.option("--arm", "arms", multiple=True, type=click.Choice(list(ARMS)),
              help="Train only this one, and measure nothing.")  # fmt: skip
@click.option("--limit", default=200, show_default=True, metavar="N",
              help="Held-out photographs to measure on.")  # fmt: skip
@options.results("ablations.json")
def main(
    pairs: Path, out: Path, minutes: float, arms: tuple[str, ...], limit: int, results: Path
) -> None:
    """Train the arms on PAIRS; then measure all that are whole, and print the table."""
    from benchmarks.shared.report import format_section

    out.mkdir(parents=True, exist_ok=True)
    for arm in arms or tuple(ARMS):
        if not is_whole(arm, out):
            train_arm(arm, pairs, out, minutes)
            (out / f"{arm}.done").touch()
    if arms:
        return
    section = measure_arms(list(ARMS), pairs, out, limit)
    machine = describe_machine(1, "torch", "numpy")
    result = {"machine": machine, "minutes": minutes, "section": section}
    results.mkdir(parents=True, exist_ok=True)
    (results / "ablations.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(format_section("default", section))


def is_whole(arm: str, folder: Path) -> bool:
    """Whether an arm's training has come to its end."""
    return (folder / f"{arm}.done").exists()


if __name__ == "__main__":
    main()
