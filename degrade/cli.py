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


@main.command()
@click.argument("photo", type=_PATH)
@click.option("-o", "--out", type=_PATH, required=True, help="Damaged photograph: JPEG, PNG, TIFF.")
@click.option("--seed", type=_SEED, help="Seed of every draw; not needed with --recipe.")
@_profile_option
@_textures_option
@click.option(
    "--size",
    "size_px",
    metavar="PX",
    type=click.IntRange(16, 16384),
    help="Short side of the result.  [default: the photograph's own, or the recipe's]",
)
@click.option("--recipe", "recipe_path", metavar="FILE", type=_PATH, help="Repeat this recipe.")
@click.option(
    "--save-recipe", "saved_path", metavar="FILE", type=_PATH, help="Write the recipe used."
)
@click.option(
    "--skip", metavar="STAGE", multiple=True, help="Leave out a stage; may be given repeatedly."
)
@_force_option
def photo(
    photo: Path,
    out: Path,
    seed: int | None,
    profile: str,
    textures: Path | None,
    size_px: int | None,
    recipe_path: Path | None,
    saved_path: Path | None,
    skip: tuple[str, ...],
    force: bool,
) -> None:
    """Damage one photograph, PHOTO.

    The same photograph, name, seed, profile and size give the same result.

    \b
    Examples:
      degrade photo holiday.jpg -o old.jpg --seed 7 --profile cabinet-card
      degrade photo holiday.jpg -o old.png --seed 7 --skip marks --save-recipe old.json
      degrade photo holiday.jpg -o again.png --recipe old.json
    """
    from degrade import single
    from degrade.manifest import write_aside
    from degrade.profile import load_profile
    from degrade.recipe import encode_recipe
    from degrade.render import STAGES
    from degrade.textures import Textures

    if (seed is None) == (recipe_path is None):
        raise click.UsageError("Give either --seed or --recipe.")
    for stage in skip:
        if stage not in STAGES:
            raise click.BadParameter(f"{stage!r} is not one of {', '.join(STAGES)}", param_hint="--skip")
    known = (*single.JPEG_SUFFIXES, *single.LOSSLESS_SUFFIXES)
    if out.suffix.lower() not in known:
        raise click.BadParameter(f"{out}: its suffix is none of {' '.join(known)}", param_hint="-o")
    for path in (out, saved_path):
        if path is not None:
            _refuse(path, force)
    with _errors():
        clean = single.read_photo(photo)
        pack = Textures.load(textures)
        if recipe_path is not None:
            recipe = single.read_recipe(recipe_path)
        else:
            assert seed is not None
            recipe = single.draw_whole(
                clean, photo.name, load_profile(profile), pack, seed, size_px
            )
        left_out = frozenset(skip)
        rendered = single.damage_photo(clean, recipe, pack, size_px=size_px, skip=left_out)
        single.write_photo(out, rendered.damaged, recipe, left_out)
        if saved_path is not None:
            write_aside(saved_path, encode_recipe(recipe) + b"\n")
    click.echo(out)


@main.command()
@click.argument("pairs", type=_PATH)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option(
    "-o", "--out", type=_PATH, help="A sheet (.png, .jpg, .webp), or a new folder for the parts."
)
@click.option(
    "--num",
    "num_samples",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=24,
    show_default=True,
    help="How many samples, evenly spread, if no KEY is given.",
)
@click.option(
    "--columns", metavar="N", type=click.IntRange(1, 100), help="Pairs in a row of the sheet."
)
@click.option("--split", type=click.Choice(["train", "val"]), help="Look at this split only.")
@_force_option
def show(
    pairs: Path,
    keys: tuple[str, ...],
    out: Path | None,
    num_samples: int,
    columns: int | None,
    split: str | None,
    force: bool,
) -> None:
    """Show samples of PAIRS: a build, or one of its shards.

    KEY is the number of a sample or the key of its source photograph. A sheet shows clean,
    damaged and marks side by side; a folder gets the parts as files. Without -o, the recipes
    of the KEYs are printed as JSON, or some samples listed.

    \b
    Examples:
      degrade show pairs/ -o sheet.png
      degrade show pairs/ 42
      degrade show pairs/train-00000.lmdb 42 -o parts/
    """
    from degrade import show as showing
    from degrade.shards import PairReader

    is_sheet = out is not None and out.suffix.lower() in showing.SHEET_SUFFIXES
    if out is not None and is_sheet:
        _refuse(out, force)
    elif out is not None and out.suffix:
        raise click.BadParameter(f"{out}: neither a sheet nor a folder", param_hint="-o")
    elif out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise click.ClickException(f"{out}: already exists; name a new folder")
    with _errors():
        reader = PairReader(pairs, split)
        chosen = showing.choose_samples(reader, keys, num_samples)
        if out is None:
            if keys:
                click.echo(showing.format_recipes(reader, chosen))
            else:
                click.echo("\n".join(showing.list_samples(reader, chosen)))
            return
        if is_sheet:
            showing.write_sheet(reader, chosen, out, columns)
        else:
            showing.write_parts(reader, chosen, out)
    click.echo(out)


@main.command()
@click.argument("pairs", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_textures_option
def stats(pairs: Path, as_json: bool, textures: Path | None) -> None:
    """Count and describe PAIRS: a build, or one of its shards.

    Prints counts, sizes, the spread of every parameter of the recipes, and what the marks of
    each kind cover.
    """
    import msgspec

    from degrade.stats import describe_pairs, format_stats

    with _errors():
        found = describe_pairs(pairs, textures)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        click.echo(format_stats(found))


@main.command()
@click.argument("pairs", type=_PATH)
@click.option("--source", type=_PATH, help="Clean photographs that PAIRS were built from.")
@click.option(
    "--rerender",
    "num_rerender",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Make N samples again from the source and compare every byte.",
)
@_textures_option
@click.option(
    "--workers",
    "num_workers",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Shards read at a time.",
)
def verify(
    pairs: Path, source: Path | None, num_rerender: int, textures: Path | None, num_workers: int
) -> None:
    """Check PAIRS, a build or one of its shards, against its digests.

    Every sample is read and decoded. Bad ones are listed on stdout, and the exit status is 1.

    \b
    Examples:
      degrade verify pairs/
      degrade verify pairs/ --source photos/ --rerender 100
    """
    from degrade.verify import verify_pairs

    if (source is None) != (num_rerender == 0):
        raise click.UsageError("--source and --rerender go together.")
    with _errors(), _show_progress() as progress:
        report = verify_pairs(
            pairs,
            source=source,
            num_rerender=num_rerender,
            textures=textures,
            num_workers=num_workers,
            progress=progress,
        )
    for fault in report.faults:
        click.echo(fault)
    seen = f"{report.num_pairs:,} pairs in {report.num_shards:,} shards"
    if report.faults:
        raise click.ClickException(f"{pairs}: {len(report.faults):,} faults in {seen}")
    anew = f", {report.num_rerendered:,} rendered anew" if report.num_rerendered else ""
    click.echo(f"{pairs}: whole: {seen}{anew}")
