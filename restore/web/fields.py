"""Settings as a browser or `curl` sends them: fields named as the command's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from restore.hints import Hint
from restore.settings import MarksMode, RestoreSettings

_FRACTIONS = ("strength", "denoise", "repair", "tone", "color", "regrain")
_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on", ""), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class FieldError(ValueError):
    """A field isn't understood."""


@dataclass(frozen=True)
class Wanted:
    """What a request asks for.

    Attributes:
        settings: Of the restoration.
        output: Name of a file whose suffix decides the format, or such a suffix without its dot;
            None: as the command would choose.
        add_provenance: Whether the metadata say how the file came to be.
        quality: Of JPEG, WebP and AVIF.
    """

    settings: RestoreSettings
    output: str | None = None
    add_provenance: bool = True
    quality: int | None = None

    def name_output(self, stem: str) -> str | None:
        """The file's name for a photograph of a stem."""
        if self.output is None or "." in self.output:
            return self.output
        return f"{stem}.restored.{self.output}"


def read_fields(
    fields: Mapping[str, str], *, hints: tuple[Hint, ...] = (), marks_mode: MarksMode | None = None
) -> Wanted:
    """Understand a request's fields.

    Args:
        fields: Names (without the dashes in front) and values.
        hints: Of the request's file.
        marks_mode: Given by the page, which knows what its marks are.

    Raises:
        FieldError: Naming the field.
    """
    values = {name.replace("_", "-").removeprefix("--"): value for name, value in fields.items()}
    fractions = {name: _fraction(name, values.pop(name)) for name in _FRACTIONS if name in values}
    mode = values.pop("marks-mode", "add")
    if mode not in get_args(MarksMode):
        raise FieldError(f"marks-mode: {mode!r} is none of {', '.join(get_args(MarksMode))}")
    no_colorize = _flag("no-colorize", values.pop("no-colorize", "0"))
    no_provenance = _flag("no-provenance", values.pop("no-provenance", "0"))
    output, quality = values.pop("output", None), values.pop("quality", None)
    if values:
        raise FieldError(f"{min(values)}: there is no such setting")
    settings = RestoreSettings(
        **fractions,
        colorize=not no_colorize,
        marks_mode=marks_mode or mode,  # type: ignore[arg-type]  # checked above
        hints=hints,
    )
    return Wanted(settings, output or None, not no_provenance, _quality(quality))


def _fraction(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise FieldError(f"{name}: {text[:40]!r} is not a number") from None
    if not 0 <= value <= 1:
        raise FieldError(f"{name}: {text[:40]} is not in the range 0..1")
    return value


def _flag(name: str, text: str) -> bool:
    if text.lower() not in _FLAGS:
        raise FieldError(f"{name}: {text[:40]!r} is neither 1 nor 0")
    return _FLAGS[text.lower()]


def _quality(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= 100:
        raise FieldError(f"quality: {text[:40]!r} is not a whole number in 1..100")
    return int(text)
