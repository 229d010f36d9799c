"""The ``degrade`` command."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import degrade
from degrade.errors import DegradeError

if TYPE_CHECKING:
    from degrade.manifest import Manifest

_Command = TypeVar("_Command", bound=Callable[..., Any])
_INTERRUPTED = 130

_PATH = click.Path(path_type=Path)
_SEED = click.IntRange(min=0)
_profile_option = click.option(
    "--profile",
    metavar="NAME|FILE",
    default="family-album",
    show_default=True,
    help="Damage profile: one of 'degrade profiles', or a TOML file.",
)
_textures_option = click.option(
    "--textures",
    metavar="DIR",
    type=_PATH,
    help="Texture pack to draw marks and grain from.  [default: the one that ships]",
)
_force_option = click.option("--force", is_flag=True, help="Overwrite what is there.")


@contextmanager
def _errors() -> Iterator[None]:
    """Turn this package's errors into one line and exit status 1."""
    try:
        yield
    except DegradeError as error:
        raise click.ClickException(str(error)) from error


def _refuse(path: Path, force: bool) -> None:
    if path.is_dir():
        raise click.ClickException(f"{path}: a folder; name a file")
    if path.exists() and not force:
        raise click.ClickException(f"{path}: already exists; --force overwrites it")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(degrade.__version__, package_name="degrade")
def main() -> None:
    """Damage clean photographs the way time does, to train on.

    \b
    Examples:
      degrade build photos/ pairs/ --seed 42
      degrade show pairs/ -o sheet.png
      degrade photo holiday.jpg -o old.jpg --seed 7
    """


@main.command()
@click.argument("source", type=_PATH)
@click.argument("out", type=_PATH)
@click.option("--seed", type=_SEED, required=True, help="Seed of every draw.")
@click.option(
    "--size",
    "size_px",
    metavar="PX",
    type=click.IntRange(16, 4096),
    default=256,
    show_default=True,
    help="Short side of the samples; smaller photographs are left out.",
)
@_profile_option
@_textures_option
@click.option(
    "--crop",
    type=click.Choice(["square", "whole"]),
    default="square",
    show_default=True,
    help="Cut a square out of each photograph, or keep its whole.",
)
@click.option(
    "--variants",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Different damages of each photograph.",
)
@click.option(
    "--val-frac",
    metavar="FRAC",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Share of the photographs kept for validation, chosen by the hash of their keys.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help="Look at N photographs only, spread evenly over the source.",
)
@click.option(
    "--list",
    "list_file",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Use only the photographs named in FILE, one a line: paths in SOURCE, or LMDB keys.",
)
@click.option("--keep-grey", is_flag=True, help="Keep photographs that are grey or nearly so.")
@click.option(
    "--shard-size",
    metavar="N",
    type=click.IntRange(min=1),
    help="Pairs in a shard.  [default: 64 to 1024, for about 16 shards or more]",
)
@click.option(
    "--workers",
    "num_workers",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes to render with; the result is the same for any number.",
)
@click.option("--force", is_flag=True, help="Build anew over a finished or begun build.")
def build(**options: Any) -> None:
    """Build pairs of clean and damaged photographs from SOURCE into the folder OUT.

    SOURCE is a folder of photographs, or an LMDB such as LSUN's. A build that was interrupted is
    finished by the same command. Photographs that can't be used are listed in
    OUT/rejected.jsonl with the reason; if some can't be read or decoded at all, the build
    is finished without them and the exit status is 1.

    \b
    Examples:
      degrade build photos/ pairs/ --seed 42 --workers 4
      degrade build lsun/person_train/ pairs/ --seed 42 --size 128 --limit 20000
    """
    from degrade.build import WORK_NAME, BuildOptions, build_pairs

    chosen = BuildOptions(**options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _errors(), _show_progress() as progress:
            manifest = build_pairs(chosen, progress)
    except KeyboardInterrupt:
        note = "; the same command goes on from here" if (chosen.out / WORK_NAME).exists() else ""
        click.echo(f"Stopped{note}.", err=True)
        sys.exit(_INTERRUPTED)
    _report_build(chosen.out, manifest)


def _report_build(out: Path, manifest: Manifest) -> None:
    from degrade.build import REJECTED_NAME

    click.echo(
        f"{out}: {manifest.num_train:,} pairs to train on, {manifest.num_val:,} to validate with"
    )
    counts = manifest.num_rejected
    if counts:
        what = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        click.echo(f"left out: {what} (see {out / REJECTED_NAME})")
    num_broken = counts.get("undecodable", 0) + counts.get("unreadable", 0)
    if num_broken:
        raise click.ClickException(
            f"the build is whole, but {num_broken:,} photographs could not be read or decoded"
        )


@contextmanager
def _show_progress() -> Iterator[Callable[[str, int, int], None]]:
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


@main.command()
@click.argument("name", required=False)
def profiles(name: str | None) -> None:
    """List the damage profiles, or print the one called NAME."""
    from degrade.profile import list_profiles, profile_text

    with _errors():
        if name is not None:
            click.echo(profile_text(name), nl=False)
            return
        found = list_profiles()
    width = max(map(len, found))
    for known, description in found.items():
        click.echo(f"{known:<{width}}  {description}")


@main.command()
@click.argument("out", type=_PATH)
@click.option("--seed", type=_SEED, required=True, help="Seed of every draw.")
@_force_option
def textures(out: Path, seed: int, force: bool) -> None:
    """Draw a pack of grain and mask textures into the folder OUT.

    The same seed gives the same bytes.
    """
    from degrade.commands import draw_textures

    with _errors(), _show_progress() as progress:
        draw_textures(out, seed, force, lambda done, total: progress("drawing", done, total))
    click.echo(f"{out}: drawn")
