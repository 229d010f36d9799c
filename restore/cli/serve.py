"""The command `restore serve`."""

from __future__ import annotations

from pathlib import Path

import click

from restore.cli.options import weights_options

_EXTRA = 'the page needs further packages: pip install ".[web]"'


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Of the page's address; 0 takes any that is free.",
)
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@click.option("--recursive", is_flag=True, help="Show the photographs of folders in FOLDER, too.")
@click.option(
    "--max-upload-mb",
    type=click.IntRange(1, 100_000),
    default=512,
    show_default=True,
    metavar="MB",
    help="Largest file that is taken.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(0.001, 2000),
    default=500,
    show_default=True,
    metavar="MP",
    help="Largest photograph that is taken, read from its header.",
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    metavar="N",
    help="Photographs that may wait for their turn.",
)
@weights_options
def serve(
    folder: Path | None,
    port: int,
    no_browser: bool,
    recursive: bool,
    max_upload_mb: int,
    max_megapixels: float,
    max_waiting: int,
    model: Path | None,
    device: str,
) -> None:
    """Open a page in the browser to restore photographs.

    \b
    restore serve                  photographs are dropped on the page
    restore serve album            and those of a folder are shown

    With FOLDER the page shows its photographs and writes results beside them, as the command line
    does; no original is ever overwritten. Only this machine is served, and nothing leaves it.
    Ctrl-C ends the server.
    """  # noqa: D301  # \b is click's mark for text to leave as it is
    from importlib.util import find_spec

    if not all(find_spec(name) for name in ("starlette", "uvicorn", "python_multipart")):
        raise click.ClickException(_EXTRA)
    from restore.errors import RestoreError

    try:
        from restore.restorer import Restorer
        from restore.web.app import Limits
        from restore.web.server import run_server

        restorer = Restorer.load(model, device)  # type: ignore[arg-type]  # click checked it
        run_server(
            restorer,
            album=folder,
            recursive=recursive,
            port=port,
            limits=Limits(max_upload_mb, max_megapixels, max_waiting),
            say=click.echo,
            open_browser=not no_browser,
        )
    except KeyboardInterrupt:  # the usual end
        click.echo("stopped", err=True)
    except RestoreError as error:
        raise click.ClickException(str(error)) from error
