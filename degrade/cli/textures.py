"""``degrade textures``: a pack painted from a seed."""

from pathlib import Path

import click

from degrade.cli.options import PATH, SEED, explain_errors, force_option, show_progress


@click.command()
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
