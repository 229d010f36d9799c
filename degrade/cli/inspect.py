"""The ``degrade`` commands that look into a pair store: show, stats, verify."""

from __future__ import annotations

from pathlib import Path

import click

from degrade.cli.options import (
    PATH,
    explain_errors,
    force_option,
    refuse_overwriting,
    show_progress,
    textures_option,
)


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
    from degrade.store.shards import PairReader

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


@click.command()
@click.argument("pairs", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@textures_option
def stats(pairs: Path, as_json: bool, textures: Path | None) -> None:
    """Count and describe PAIRS: a build, or one of its shards.

    Prints counts, sizes, the spread of every parameter of the recipes, and what the marks of
    each kind cover.
    """
    import msgspec

    from degrade.inspect.stats import describe_pairs, format_stats

    with explain_errors():
        found = describe_pairs(pairs, textures)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        click.echo(format_stats(found))


@click.command()
@click.argument("pairs", type=PATH)
@click.option("--source", type=PATH, help="Clean photographs that PAIRS were built from.")
@click.option(
    "--rerender",
    "num_rerender",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Make N samples again from the source and compare every byte.",
)
@textures_option
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
    """  # noqa: D301 - click wants the backspace itself
    from degrade.inspect.verify import verify_pairs

    if (source is None) != (num_rerender == 0):
        raise click.UsageError("--source and --rerender go together.")
    with explain_errors(), show_progress() as progress:
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
