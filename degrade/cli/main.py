"""The ``degrade`` command."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import degrade
from degrade.cli.inspect import show, stats, verify
from degrade.cli.options import (
    PATH,
    SEED,
    explain_errors,
    force_option,
    profile_option,
    refuse_overwriting,
    show_progress,
    textures_option,
)

if TYPE_CHECKING:
    from degrade.store.manifest import Manifest

_INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(degrade.__version__, package_name="degrade")
def main() -> None:
    """Damage clean photographs the way time does, to train on.

    \b
    Examples:
      degrade build photos/ pairs/ --seed 42
      degrade show pairs/ -o sheet.png
      degrade photo holiday.jpg -o old.jpg --seed 7
    """  # noqa: D301 - click wants the backspace itself


@main.command()
@click.argument("source", type=PATH)
@click.argument("out", type=PATH)
@click.option("--seed", type=SEED, required=True, help="Seed of every draw.")
@click.option(
    "--size",
    "size_px",
    metavar="PX",
    type=click.IntRange(16, 4096),
    default=256,
    show_default=True,
    help="Short side of the samples; smaller photographs are left out.",
)
@profile_option
@textures_option
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
    """  # noqa: D301 - click wants the backspace itself
    from degrade.build.renderer import keep_freed_memory
    from degrade.build.run import WORK_NAME, BuildOptions, build_pairs

    chosen = BuildOptions(**options)
    keep_freed_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with explain_errors(), show_progress() as progress:
            manifest = build_pairs(chosen, progress)
    except KeyboardInterrupt:
        note = "; the same command goes on from here" if (chosen.out / WORK_NAME).exists() else ""
        click.echo(f"Stopped{note}.", err=True)
        sys.exit(_INTERRUPTED)
    _report_build(chosen.out, manifest)


def _report_build(out: Path, manifest: Manifest) -> None:
    from degrade.build.run import REJECTED_NAME

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


@main.command()
@click.argument("name", required=False)
def profiles(name: str | None) -> None:
    """List the damage profiles, or print the one called NAME."""
    from degrade.profile import list_profiles, profile_text

    with explain_errors():
        if name is not None:
            click.echo(profile_text(name), nl=False)
            return
        found = list_profiles()
    width = max(map(len, found))
    for known, description in found.items():
        click.echo(f"{known:<{width}}  {description}")


@main.command()
@click.argument("out", type=PATH)
@click.option("--seed", type=SEED, required=True, help="Seed of every draw.")
@force_option
def textures(out: Path, seed: int, force: bool) -> None:
    """Paint a pack of grain and mask textures into the folder OUT.

    The same seed gives the same bytes.
    """
    from degrade.textures.paint import make_textures

    if out.exists() and not force:
        raise click.ClickException(f"{out}: already exists; --force paints it anew")
    if out.exists() and not ((out / "manifest.json").is_file() and (out / "masks").is_dir()):
        raise click.ClickException(f"{out}: no texture pack; name another folder")
    with explain_errors(), show_progress() as progress:
        make_textures(out, seed, force=force, progress=progress)
    click.echo(f"{out}: painted")


@main.command()
@click.argument("photo", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, help="Damaged photograph: JPEG, PNG, TIFF.")
@click.option("--seed", type=SEED, help="Seed of every draw; not needed with --recipe.")
@profile_option
@textures_option
@click.option(
    "--size",
    "size_px",
    metavar="PX",
    type=click.IntRange(16, 16384),
    help="Short side of the result.  [default: the photograph's own, or the recipe's]",
)
@click.option("--recipe", "recipe_path", metavar="FILE", type=PATH, help="Repeat this recipe.")
@click.option(
    "--save-recipe", "saved_path", metavar="FILE", type=PATH, help="Write the recipe used."
)
@click.option(
    "--skip", metavar="STAGE", multiple=True, help="Leave out a stage; may be given repeatedly."
)
@force_option
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
    """  # noqa: D301 - click wants the backspace itself
    from degrade.build import single
    from degrade.damage.render import STAGES
    from degrade.profile import load_profile
    from degrade.recipe import encode_recipe
    from degrade.store.whole import write_whole
    from degrade.textures.pack import Textures

    if (seed is None) == (recipe_path is None):
        raise click.UsageError("Give either --seed or --recipe.")
    for stage in skip:
        if stage not in STAGES:
            raise click.BadParameter(
                f"{stage!r} is not one of {', '.join(STAGES)}", param_hint="--skip"
            )
    known = (*single.JPEG_SUFFIXES, *single.LOSSLESS_SUFFIXES)
    if out.suffix.lower() not in known:
        raise click.BadParameter(f"{out}: its suffix is none of {' '.join(known)}", param_hint="-o")
    for path in (out, saved_path):
        if path is not None:
            refuse_overwriting(path, force)
    with explain_errors():
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
            write_whole(saved_path, [encode_recipe(recipe), b"\n"])
    click.echo(out)


for _command in (show, stats, verify):
    main.add_command(_command)
