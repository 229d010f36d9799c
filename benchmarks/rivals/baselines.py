"""Train the U-Net of pix2pix on the pairs of a store, and measure it beside ours.

    python -m benchmarks.rivals.baselines PAIRS --minutes 60 [--out runs/pix2pix] [--size 256]

The network, its critic, their losses and optimisers are the paper's (benchmarks/shared/pix2pix.py),
trained in a plain PyTorch loop on the same pairs, read and cropped as ours are
(`train.data.pairs.StagePairs`), at the paper's batch of one unless told otherwise. Forward passes
are in bfloat16 as ours are, which on a CPU gives the peer more steps a minute.

Ctrl-C saves and ends; --resume goes on where the training stopped, with the time that is left.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.shared import options
from benchmarks.shared.machine import describe_machine

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.shared.pix2pix import Pix2Pix
    from train.data.pairs import StagePairs

STATE_NAME, WEIGHTS_NAME, EVALUATION_NAME = "state.pt", "pix2pix.safetensors", "evaluation.json"
_SAVE_S = 300.0
_PRINT_S = 15.0


def iterate_batches(
    pairs: StagePairs, batch: int, first_step: int, num_workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Damaged and clean (N, 3, H, W) in [0, 1] from a step of the endless sequence on."""
    from torch.utils.data import DataLoader

    from train.data.batches import stack_samples, to_batch
    from train.data.pairs import Sample

    loader: DataLoader[Sample] = DataLoader(
        pairs,  # type: ignore[arg-type]  # has what a Dataset has
        batch_size=batch,
        sampler=itertools.count(first_step * batch),
        num_workers=num_workers,
        collate_fn=stack_samples,
        worker_init_fn=_begin_worker,
    )
    for columns in loader:
        read = to_batch(columns)
        yield read.damaged, read.clean


def _begin_worker(number: int) -> None:
    import cv2

    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer decides when to end


class Progress:
    """Saves now and then, prints the losses, and notices Ctrl-C."""

    def __init__(self, training: Pix2Pix, folder: Path, seconds: float) -> None:
        self.training = training
        self.folder = folder
        self.seconds = seconds
        self.stopped = False
        self._saved_s = self._printed_s = time.monotonic()

    def stop(self, *_: object) -> None:
        """Handle a signal: the step under way is finished first."""
        self.stopped = True

    def note_step(self, losses: dict[str, float]) -> None:
        """Save and print when it is time.

        Raises:
            KeyboardInterrupt: If a signal came; the state is saved.
        """
        now_s = time.monotonic()
        if self.stopped or now_s - self._saved_s >= _SAVE_S:
            self.save()
            self._saved_s = now_s
        if self.stopped:
            raise KeyboardInterrupt
        if now_s - self._printed_s >= _PRINT_S:
            values = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            minutes = f"{self.training.spent_s / 60:.1f} of {self.seconds / 60:.1f} minutes"
            print(f"{minutes}, step {self.training.step}: {values}", file=sys.stderr)
            self._printed_s = now_s

    def save(self) -> None:
        """Write the state aside, then rename."""
        import torch

        aside = self.folder / f".{STATE_NAME}.{os.getpid()}"
        torch.save(self.training.get_state(), aside)
        os.replace(aside, self.folder / STATE_NAME)


def evaluate(
    model: Path, weights: Path, pairs: Path, limit: int, draws: int, threads: int
) -> dict[str, Any]:
    """Measure ours, doing nothing, the classical chain and the U-Net on held-out pairs."""
    from benchmarks.picture.quality import build_methods, check_heldout, choose_pairs, run_sections
    from benchmarks.shared.report import describe_pairs, describe_pix2pix, describe_weights
    from degrade import PairReader

    reader = PairReader(pairs, split="val")
    chosen = choose_pairs(reader, limit)
    if not chosen:
        raise click.ClickException(f"{pairs}: no held-out pairs; build more photographs")
    check_heldout(reader, chosen, PairReader(pairs, split="train"))
    return {
        "machine": describe_machine(threads, "torch", "numpy"),
        "pairs": describe_pairs(reader, len(chosen)),
        "model": describe_weights(model),
        "pix2pix": describe_pix2pix(weights),
        "sections": run_sections(
            build_methods(model, None, weights, False), reader, chosen,
            sections=("default",), num_draws=draws,
        ),
    }  # fmt: skip


@click.command()
@options.pairs
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), required=True,
              metavar="M", help="Of training, in all.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path),
              default=Path("runs/pix2pix"), show_default=True, help="Folder.")  # fmt: skip
@click.option("--size", type=click.Choice(["32", "64", "128", "256", "512"]), default="256",
              show_default=True, metavar="PX", help="Side of the crops.")  # fmt: skip
@click.option("--width", type=click.IntRange(min=1), default=64, show_default=True, metavar="N",
              help="Channels of the first layer; the paper has 64.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option("--precision", type=click.Choice(["bf16", "fp32"]), default="bf16",
              show_default=True, help="Of the forward pass.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, metavar="N",
              help="Processes that read.")  # fmt: skip
@options.threads
@click.option("--seed", default=0, show_default=True)
@click.option("--resume", is_flag=True, help="Go on with the training in the folder.")
@click.option("--force", is_flag=True, help="Begin anew where there is a training.")
@click.option("--model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Our weights to compare with; else those of the package.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), default=200, show_default=True,
              metavar="N", help="Held-out photographs to measure on; 0 measures not.")  # fmt: skip
@options.draws(1000)
def main(
    pairs: Path, minutes: float, out: Path, size: str, width: int, batch: int, precision: str,
    workers: int, threads: int, seed: int, resume: bool, force: bool, model: Path | None,
    limit: int, draws: int,
) -> None:  # fmt: skip
    """Train, save the weights, compare."""
    state, weights = out / STATE_NAME, out / WEIGHTS_NAME
    if resume and not state.exists():
        raise click.ClickException(f"{out}: no training to go on with")
    if not resume and not force and (state.exists() or weights.exists()):
        raise click.ClickException(f"{out}: holds a training; --resume it or begin with --force")
    from train.machine import keep_memory

    keep_memory()
    import torch

    from benchmarks.shared.pix2pix import Pix2Pix, UNetConfig, save_unet
    from restore.engine.model_file import default_model_path
    from train.config.stages import StageConfig
    from train.data.builds import Builds
    from train.data.pairs import StagePairs
    from train.parallel import pick_device

    torch.set_num_threads(threads)
    device = pick_device()
    stage = StageConfig(
        kind="adversarial", size_px=int(size), batch=batch, steps=1, time_frac=1, lr=2e-4
    )
    builds = Builds(pairs, "train")
    (reader,) = builds.readers
    stage_pairs = StagePairs(builds, stage, seed, 0)
    training = Pix2Pix(UNetConfig(width, int(size)), device, precision, seed)
    if resume:
        training.set_state(torch.load(state, map_location=device, weights_only=True))
    out.mkdir(parents=True, exist_ok=True)
    progress = Progress(training, out, 60 * minutes)
    handlers = {s: signal.signal(s, progress.stop) for s in (signal.SIGINT, signal.SIGTERM)}
    batches = iterate_batches(stage_pairs, batch, training.step, workers)
    try:
        for losses in training.train(batches, 60 * minutes):
            progress.note_step(losses)
    except KeyboardInterrupt:
        raise click.ClickException(
            f"stopped at step {training.step}; the state is in {state}, go on with --resume"
        ) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    progress.save()
    notes = {
        "minutes": round(training.spent_s / 60, 2), "steps": training.step, "batch": batch,
        "precision": precision, "threads": threads, "seed": seed, "device": device.type,
        "pairs": reader.manifest.digest, "num_train": len(reader),
    }  # fmt: skip
    save_unet(weights, training.generator, notes)
    click.echo(f"{weights}: {training.step} steps in {training.spent_s / 60:.1f} minutes")
    if limit:
        from benchmarks.shared.report import format_section

        results = evaluate(model or default_model_path(), weights, pairs, limit, draws, threads)
        (out / EVALUATION_NAME).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        for name, section in results["sections"].items():
            click.echo(f"\n{format_section(name, section)}")


if __name__ == "__main__":
    main()
