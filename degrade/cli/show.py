"""``degrade show``: a look at samples of a pair store."""

from __future__ import annotations

from pathlib import Path

import click

from degrade.cli.options import PATH, explain_errors, force_option, refuse_overwriting


@click.command()
@click.argument("pairs", type=PATH)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option(
    "-o", "--out", type=PATH, help="A sheet (.png, .jpg, .webp), or a new folder for the parts."
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
@force_option
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
    """  # noqa: D301 - click wants the backspace itself
    from degrade.inspect import show as showing
    from degrade.pairs import PairReader

    is_sheet = out is not None and out.suffix.lower() in showing.SHEET_SUFFIXES
    if out is not None and is_sheet:
        refuse_overwriting(out, force)
    elif out is not None and out.suffix:
        raise click.BadParameter(f"{out}: neither a sheet nor a folder", param_hint="-o")
    elif out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise click.ClickException(f"{out}: already exists; name a new folder")
    with explain_errors():
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
