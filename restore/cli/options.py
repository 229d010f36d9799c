"""Options that the command `restore` shares with `restore serve` and `restore watch`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from restore.errors import RestoreError

if TYPE_CHECKING:
    from restore.hints import Hint
    from restore.settings import RestoreSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FRACTION = click.FloatRange(0, 1)
_EXISTING = click.Path(path_type=Path, exists=True)


def _aspect(name: str, text: str, default: float = 1.0) -> Callable[[Any], Any]:
    return click.option(
        name, type=_FRACTION, default=default, show_default=True, metavar="0..1", help=text
    )


_WORDS = {
    "serve": ("restore.cli.serve", "Open a page in the browser to restore photographs."),
    "watch": ("restore.cli.watch", "Restore what comes into a folder."),
}


class WordsFirst(click.Command):
    """A command whose first word may be that of another; everywhere else it is a file's name."""

    words = tuple(_WORDS)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command that the first word names, or this one."""
        import sys

        words = list(sys.argv[1:] if args is None else args)
        if words and words[0] in _WORDS:
            name = extra.get("prog_name") or "restore"
            return self.get_word(words[0]).main(
                words[1:], *rest, **{**extra, "prog_name": f"{name} {words[0]}"}
            )
        return super().main(args, *rest, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what it needs may not be there."""
        try:
            return super().invoke(ctx)
        except RestoreError as error:
            raise click.ClickException(str(error)) from error

    def get_word(self, word: str) -> click.Command:
        """The command of a first word."""
        command: click.Command = getattr(import_module(_WORDS[word][0]), word)
        return command

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, and the words."""
        super().format_options(context, formatter)
        with formatter.section("Commands, as the first word (./serve is a photograph)"):
            formatter.write_dl([(word, text) for word, (_, text) in _WORDS.items()])


def print_any_name() -> None:
    """Let stdout take every name, whatever its encoding."""
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return
    if sys.platform == "win32" and not sys.stdout.isatty():  # a file or a pipe: else the code page
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    else:  # as the bytes that they are
        sys.stdout.reconfigure(errors="surrogateescape")


def make_settings(
    *, no_colorize: bool, marks_mode: str = "add", hints: tuple[Hint, ...] = (), **strengths: float
) -> RestoreSettings:
    """Settings of what the options said; click has checked them."""
    from restore.settings import RestoreSettings

    return RestoreSettings(
        **strengths,
        colorize=not no_colorize,
        marks_mode=marks_mode,  # type: ignore[arg-type]  # click checked it
        hints=hints,
    )


def weights_options(command: _Command) -> _Command:
    """Which weights, and where they run."""
    return _add(
        command,
        [
            click.option(
                "--model",
                type=_EXISTING,
                help="File of weights (.zip).  [default: those of the package]",
            ),
            click.option(
                "--device",
                type=click.Choice(["auto", "cpu", "cuda", "coreml", "directml", "mps"]),
                default="auto",
                show_default=True,
                help="Where to compute; other than cpu needs another build of onnxruntime.",
            ),
        ],
    )


def settings_options(command: _Command) -> _Command:
    """What is wanted of the restoration."""
    return _add(
        command,
        [
            _aspect("--strength", "How much of the whole restoration."),
            _aspect("--denoise", "How much of the change of grain, blur and noise.", 0.75),
            _aspect("--repair", "How much of the repair of scratches, dust, stains and tears."),
            click.option("--damage", "old_repair", type=_FRACTION, hidden=True),
            _aspect("--tone", "How much of the change of brightness and contrast."),
            _aspect("--color", "How much of the change of colour."),
            click.option(
                "--no-colorize", is_flag=True, help="Give no colours to a photograph without any."
            ),
            click.option(
                "--regrain",
                type=_FRACTION,
                default=0.0,
                show_default=True,
                metavar="0..1",
                help="Strength of fresh fine grain, so that faces aren't wax.",
            ),
        ],
    )


def writing_options(command: _Command) -> _Command:
    """How it is computed and written."""
    return _add(
        command,
        [
            click.option(
                "--tile",
                "tile_px",
                type=click.IntRange(64, 8192),
                default=1024,
                show_default=True,
                metavar="PX",
                help="Side of the tiles; smaller needs less memory.",
            ),
            click.option(
                "--quality",
                type=click.IntRange(1, 100),
                metavar="1..100",
                help="Of JPEG, WebP and AVIF.  [default: 95, for AVIF 90]",
            ),
            click.option(
                "--no-provenance",
                is_flag=True,
                help="Don't say in the metadata that the file was restored.",
            ),
        ],
    )


def _add(command: _Command, options: list[Callable[[_Command], _Command]]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command
