"""The `train` command; torch and fastai are imported only when a command runs."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from degrade.errors import DegradeError
from restore.errors import RestoreError
from train import __version__
from train.config import LOSS_NAMES, list_presets, load_preset
from train.errors import ConfigError, TrainError

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _explain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the packages' own errors into one line and exit status 1."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except (TrainError, RestoreError, DegradeError) as error:
            raise click.ClickException(str(error)) from error

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    r"""Train the network that restores photographs.

    \b
    Examples:
      train run pairs/ --out run/ --preset cpu --minutes 90
      train run --resume run/
      train evaluate run/model.safetensors pairs/
      train export run/ -o portrait.safetensors
    """
    from train.machine import keep_memory

    keep_memory()


@main.command()
@click.argument("pairs", type=_FOLDER, required=False)
@click.option("--out", type=_FOLDER, help="Folder of the run: log, sheets, weights.")
@click.option(
    "--preset",
    default="quick",
    show_default=True,
    metavar="NAME|FILE",
    help=f"What to do: {', '.join(list_presets())}, or a TOML file.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1),
    metavar="M",
    help="End in this time, with all stages and schedules complete; else the preset's steps.",
)
@click.option("--init", type=_FILE, help="Weights file to start from.")
@click.option("--resume", type=_FOLDER, metavar="RUN", help="Continue an interrupted run.")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(LOSS_NAMES),
    help="Leave a loss term out; may be repeated.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the preset's seed.")
@click.option("--force", is_flag=True, help="Replace the run in --out.")
@_explain_errors
def run(
    pairs: Path | None,
    out: Path | None,
    preset: str,
    minutes: float | None,
    init: Path | None,
    resume: Path | None,
    without: tuple[str, ...],
    seed: int | None,
    force: bool,
) -> None:
    r"""Train on PAIRS, a folder written by degrade build.

    \b
    Examples:
      train run pairs/ --out run/
      train run pairs/ --out run/ --preset cpu --minutes 90 --init old.safetensors
      train run --resume run/
    """
    if resume is not None:
        if out is not None or init is not None or without or seed is not None or minutes:
            raise click.UsageError("--resume takes no other options: the run goes on as it began")
        from train.stages import resume_run

        training = resume_run(resume, pairs)
    else:
        if pairs is None:
            raise click.UsageError("missing argument PAIRS")
        if out is None:
            raise click.UsageError("missing option --out")
        try:
            config = load_preset(preset).without(*without)
        except ConfigError as error:
            raise click.BadParameter(str(error), param_hint="--preset") from error
        if seed is not None:
            config = msgspec.structs.replace(config, seed=seed)
        if out.exists() and any(out.iterdir()) and not force:
            raise click.ClickException(f"{out}: not empty; --resume it, or replace it with --force")
        from train.stages import Run

        if force:
            _remove_run(out)
        training = Run(out, pairs, config, minutes=minutes, init=init)
    scores = training.train()
    click.echo(json.dumps({"weights": str(training.folder / "model.safetensors"), **scores}))


def _remove_run(folder: Path) -> None:
    """Remove what a run writes, and nothing else."""
    for name in ("sheets", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in ("*.csv", "*.json", "*.safetensors", "state.pt"):
        for path in folder.glob(pattern):
            path.unlink()
