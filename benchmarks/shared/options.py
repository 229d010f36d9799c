"""Options that several benchmarks have, each said once.

Used as decorators: `@options.model`, `@options.draws(500)`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from benchmarks.shared.heldout import VAL_FRAC
from benchmarks.shared.machine import RESULTS

_Option = Callable[[Any], Any]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

photos = click.argument("folders", nargs=-1, required=True, metavar="PHOTOS...", type=_FOLDER)
pairs = click.argument("pairs", type=_FOLDER)
model = click.option("--model", type=_FILE, help="Our weights; else those of the package.")
previous = click.option("--previous", type=_FILE, help="Earlier weights of ours.")
exclude = click.option("--exclude", type=_FILE, help="Text of names to leave out, one a line.")
trained_on = click.option(
    "--trained-on", multiple=True, metavar="PAIRS", type=_FOLDER,
    help="Leave out what the weights learned from: the training part of a build. Repeatable.",
)  # fmt: skip
val_frac = click.option(
    "--val-frac", type=click.FloatRange(0, 1), default=VAL_FRAC, show_default=True, metavar="SHARE",
    help="Of the photographs that is held out.",
)  # fmt: skip
threads = click.option(
    "--threads", type=click.IntRange(min=1), default=2, show_default=True, metavar="N"
)


def limit(num: int, text: str, *, least: int = 1) -> _Option:
    """How many photographs are measured, `num` by default; `text` says of which kind."""
    return click.option("--limit", type=click.IntRange(min=least), default=num, show_default=True,
                        metavar="N", help=text)  # fmt: skip


def draws(num: int) -> _Option:
    """How often the bootstrap draws, `num` times by default."""
    return click.option("--draws", type=click.IntRange(min=2), default=num, show_default=True,
                        metavar="N", help="Of the bootstrap.")  # fmt: skip


def seed(text: str) -> _Option:
    """The seed; `text` says of what."""
    return click.option("--seed", default=0, show_default=True, help=text)


def results(name: str) -> _Option:
    """In which folder the file `name` of figures is kept."""
    return click.option("--results", type=click.Path(file_okay=False, path_type=Path),
                        default=RESULTS, help=f"Folder for {name}.")  # fmt: skip
