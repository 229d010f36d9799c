"""What the ``degrade`` commands have in common: options, errors in one line, progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from degrade.errors import DegradeError
from degrade.progress import Progress, Step

PATH = click.Path(path_type=Path)
SEED = click.IntRange(min=0)
profile_option = click.option(
    "--profile",
    metavar="NAME|FILE",
    default="family-album",
    show_default=True,
    help="Damage profile: one of 'degrade profiles', or a TOML file.",
)
textures_option = click.option(
    "--textures",
    metavar="DIR",
    type=PATH,
    help="Texture pack to draw marks and grain from.  [default: the one that ships]",
)
force_option = click.option("--force", is_flag=True, help="Overwrite what is there.")


scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS|FILE|local[:N]",
    help="Use the workers of a Dask cluster, such as tcp://HOST:8786, instead of processes.",
)
wait_option = click.option(
    "--wait",
    "wait_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=3600,
    show_default=True,
    help="How long to wait while the cluster has no workers.",
)


@contextmanager
def explain_errors() -> Iterator[None]:
    """Turn this package's errors into one line and exit status 1."""
    try:
        yield
    except DegradeError as error:
        raise click.ClickException(str(error)) from error


def refuse_overwriting(path: Path, force: bool) -> None:
    """Stop with one line if a file is there already and may not be overwritten."""
    if path.is_dir():
        raise click.ClickException(f"{path}: a folder; name a file")
    if path.exists() and not force:
        raise click.ClickException(f"{path}: already exists; --force overwrites it")


def refuse_both(num_workers: int, scheduler: str | None) -> None:
    """Stop if both processes and a cluster are asked for."""
    if scheduler is not None and num_workers != 1:
        raise click.UsageError(
            "--workers counts processes of this machine; a cluster has workers of its own."
        )


@contextmanager
def show_progress() -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal; lines in any case."""
    from tqdm import tqdm

    with tqdm(smoothing=0.05, disable=not sys.stderr.isatty()) as bar:
        under_way = ""

        def show(step: Step) -> None:
            nonlocal under_way
            if step.line:
                bar.clear()
                click.echo(step.line, err=True)
            if bar.disable:
                return
            if step.task != under_way:
                under_way = step.task
                bar.unit = f" {step.unit}s"
                bar.reset(step.num_all or None)
                bar.initial = bar.n = step.num_done  # of an earlier run: no sign of the speed
                bar.set_description(step.task)
            bar.set_postfix_str(step.note, refresh=False)
            bar.update(step.num_done - bar.n)

        yield show
