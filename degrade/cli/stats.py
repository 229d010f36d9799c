"""``degrade stats``: what a pair store holds, in figures."""

from __future__ import annotations

from pathlib import Path

import click

from degrade.cli.options import PATH, explain_errors, textures_option


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
