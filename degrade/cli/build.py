"""``degrade build``: pairs out of clean photographs."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from degrade.cli.options import (
    PATH,
    SEED,
    explain_errors,
    profile_option,
    refuse_both,
    scheduler_option,
    show_progress,
    textures_option,
    wait_option,
)

if TYPE_CHECKING:
    from degrade.store.manifest import Manifest


_INTERRUPTED = 130


@click.command()
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
@scheduler_option
@wait_option
@click.option(
    "--scratch",
    metavar="DIR",
    type=PATH,
    help="Build shards in DIR, on each worker's own disk, and move those that are whole to OUT.",
)
@click.option("--force", is_flag=True, help="Build anew over a finished or begun build.")
def build(**options: Any) -> None:
    """Build pairs of clean and damaged photographs from SOURCE into the folder OUT.

    SOURCE is a folder of photographs, or an LMDB such as LSUN's. A build that was interrupted is
    finished by the same command. Photographs that can't be used are listed in
    OUT/rejected.jsonl with the reason; if some can't be read, decoded or named at all, the
    build is finished without them and the exit status is 1.

    \b
    Examples:
      degrade build photos/ pairs/ --seed 42 --workers 4
      degrade build lsun/person_train/ pairs/ --seed 42 --size 128 --limit 20000
      degrade build photos/ pairs/ --seed 42 --scheduler tcp://10.0.0.1:8786 --scratch /tmp
    """  # noqa: D301 - click wants the backspace itself
    from degrade.build.options import BuildOptions
    from degrade.build.run import build_pairs
    from degrade.build.workers import keep_freed_memory
    from degrade.store.manifest import WORK_NAME

    refuse_both(options["num_workers"], options["scheduler"])
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
    from degrade.build.work import REJECTED_NAME

    click.echo(
        f"{out}: {manifest.num_train:,} pairs to train on, {manifest.num_val:,} to validate with"
    )
    counts = manifest.num_rejected
    if counts:
        what = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        click.echo(f"left out: {what} (see {out / REJECTED_NAME})")
    num_broken = counts.get("undecodable", 0) + counts.get("unreadable", 0)
    num_odd = counts.get("odd-key", 0)
    faults = [f"{num_broken:,} photographs could not be read or decoded"] if num_broken else []
    faults += [f"{num_odd:,} have keys or names that aren't UTF-8"] if num_odd else []
    if faults:
        raise click.ClickException(f"the build is whole, but {' and '.join(faults)}")
