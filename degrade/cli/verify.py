"""``degrade verify``: whether a pair store is what it was."""

from __future__ import annotations

from pathlib import Path

import click

from degrade.cli.options import (
    PATH,
    explain_errors,
    refuse_both,
    scheduler_option,
    show_progress,
    textures_option,
    wait_option,
)


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
@scheduler_option
@wait_option
def verify(
    pairs: Path,
    source: Path | None,
    num_rerender: int,
    textures: Path | None,
    num_workers: int,
    scheduler: str | None,
    wait_seconds: float,
) -> None:
    """Check PAIRS, a build or one of its shards, against its digests.

    Every sample is read and decoded. Bad ones are listed on stdout, and the exit status is 1.

    \b
    Examples:
      degrade verify pairs/
      degrade verify pairs/ --source photos/ --rerender 100
      degrade verify pairs/ --scheduler tcp://10.0.0.1:8786
    """  # noqa: D301 - click wants the backspace itself
    from degrade.inspect.verify import verify_pairs

    if (source is None) != (num_rerender == 0):
        raise click.UsageError("--source and --rerender go together.")
    refuse_both(num_workers, scheduler)
    with explain_errors(), show_progress() as progress:
        report = verify_pairs(
            pairs,
            source=source,
            num_rerender=num_rerender,
            textures=textures,
            num_workers=num_workers,
            scheduler=scheduler,
            wait_seconds=wait_seconds,
            progress=progress,
        )
    for fault in report.faults:
        click.echo(fault)
    seen = f"{report.num_pairs:,} pairs in {report.num_shards:,} shards"
    if report.faults:
        raise click.ClickException(f"{pairs}: {len(report.faults):,} faults in {seen}")
    anew = f", {report.num_rerendered:,} rendered anew" if report.num_rerendered else ""
    click.echo(f"{pairs}: whole: {seen}{anew}")
