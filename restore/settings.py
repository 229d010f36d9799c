"""What a user wants of a restoration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Literal, get_args

from restore.hints import Hint

_MAX_HINTS_TEXT = 200

MarksMode = Literal["add", "replace", "edit"]


@dataclass(frozen=True, kw_only=True)
class RestoreSettings:
    """What is wanted of a restoration.

    Attributes:
        strength: Of everything below but `regrain`; 0 leaves the photograph as it is.
        denoise: How much of the fine change outside the marks: grain, blur, noise. All of it makes
            skin and cloth smoother than they look today.
        repair: How much of the change inside the marks: scratches, dust, stains, tears.
        tone: How much of the change of brightness and contrast over larger areas.
        color: How much of the change of colour outside the marks.
        colorize: Whether photographs without colours (grey, sepia) are given some.
        regrain: Strength of fresh fine grain, 0..1.
        marks_mode: "add": marks given by the caller count besides those found; "replace": instead,
            and what only the network takes for damage is left alone; "edit": white is added, black
            is left alone, and grey is what the network takes it for.
        hints: Colours that places of the photograph have.
    """

    strength: float = 1.0
    denoise: float = 0.75
    repair: float = 1.0
    tone: float = 1.0
    color: float = 1.0
    colorize: bool = True
    regrain: float = 0.0
    marks_mode: MarksMode = "add"
    hints: tuple[Hint, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: Naming the value.
        """
        for name in ("strength", "denoise", "repair", "tone", "color", "regrain"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if self.marks_mode not in get_args(MarksMode):
            modes = ", ".join(get_args(MarksMode))
            raise ValueError(f"marks_mode must be one of {modes}, got {self.marks_mode!r}")

    @property
    def changes_nothing(self) -> bool:
        """Whether the photograph comes back as it was."""
        aspects = (self.denoise, self.repair, self.tone, self.color)
        return self.regrain == 0 and (self.strength == 0 or not any(aspects))

    def values(self) -> dict[str, str]:
        """Each setting as one word or a few."""
        values = {field.name: str(getattr(self, field.name)) for field in fields(self)}
        hints = " ".join(map(str, self.hints))
        if len(hints) > _MAX_HINTS_TEXT:  # too long for a file's history
            hints = f"{len(self.hints)} of {blake2b(hints.encode(), digest_size=8).hexdigest()}"
        return values | {"hints": hints or "none"}

    def describe(self) -> str:
        """One line for the metadata of what is restored."""
        return ", ".join(f"{name} {value}" for name, value in self.values().items())

    def count_bands(self, num_bands: int) -> int:
        """Bands of the restored photograph: a grey one (1) may come back in colour (3)."""
        gives_color = self.colorize and self.strength * self.color > 0
        return 3 if gives_color else num_bands
