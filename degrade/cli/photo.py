"""``degrade photo``: one photograph damaged, from a file to a file."""

from __future__ import annotations

from pathlib import Path

import click

from degrade.cli.options import (
    PATH,
    SEED,
    explain_errors,
    force_option,
    profile_option,
    refuse_overwriting,
    textures_option,
)


@click.command()
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
