"""What the ``degrade`` commands have in common: options, errors in one line, progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from degrade.errors import DegradeError
from degrade.progress import Progress

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


@contextmanager
def show_progress() -> Iterator[Progress]:
    """A bar on stderr, if that is a terminal."""
    from tqdm import tqdm

    with tqdm(smoothing=0.05, disable=not sys.stderr.isatty()) as bar:
        under_way = ""

        def show(task: str, num_done: int, num_all: int) -> None:
            nonlocal under_way
            if bar.disable:
                return
            if task != under_way:
                under_way = task
                bar.reset(num_all or None)
                bar.initial = bar.n = num_done  # of an earlier run: no sign of the speed
                bar.set_description(task)
            bar.update(num_done - bar.n)

        yield show
