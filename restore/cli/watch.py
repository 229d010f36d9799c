"""The command `restore watch`."""

from __future__ import annotations

from pathlib import Path

import click

from restore.cli.options import (
    make_settings,
    print_any_name,
    settings_options,
    weights_options,
    writing_options,
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results.  [default: beside the photographs]",
)
@click.option("--recursive", is_flag=True, help="Watch folders inside FOLDER, too.")
@click.option(
    "--rescan",
    "rescan_s",
    type=click.FloatRange(0.2, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Look into the folder so often even if no change is reported, as on network shares.",
)
@click.option(
    "--settle",
    "settle_s",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="A file that didn't grow for so long is taken for complete.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per photograph.")
@weights_options
@settings_options
@writing_options
def watch(
    folder: Path,
    output: Path | None,
    recursive: bool,
    rescan_s: float,
    settle_s: float,
    as_json: bool,
    model: Path | None,
    device: str,
    strength: float,
    denoise: float,
    repair: float,
    old_repair: float | None,
    tone: float,
    color: float,
    no_colorize: bool,
    regrain: float,
    tile_px: int,
    quality: int | None,
    no_provenance: bool,
) -> None:
    """Restore what comes into a folder.

    \b
    restore watch scans                results beside the scans
    restore watch scans -o restored --no-colorize

    Photographs that are there already and aren't restored yet are restored first. Each is restored
    once, also across restarts. Ctrl-C ends it.
    """  # noqa: D301  # \b is click's mark for text to leave as it is
    from importlib.util import find_spec

    if not find_spec("watchfiles"):
        raise click.ClickException('watching needs a further package: pip install ".[web]"')
    from restore.errors import RestoreError

    print_any_name()
    settings = make_settings(
        strength=strength,
        denoise=denoise,
        repair=repair if old_repair is None else old_repair,
        tone=tone,
        color=color,
        no_colorize=no_colorize,
        regrain=regrain,
    )
    try:
        from restore.album.watch import Plan, watch_folder
        from restore.restorer import Restorer

        restorer = Restorer.load(model, device, tile_px=tile_px)  # type: ignore[arg-type]  # click checked it
        plan = Plan(
            folder=folder,
            output=output,
            recursive=recursive,
            rescan_s=rescan_s,
            settle_s=settle_s,
            add_provenance=not no_provenance,
            quality=quality,
        )
        watch_folder(restorer, plan, settings, as_json=as_json)
    except RestoreError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
