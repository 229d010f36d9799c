"""What a restoration tells while it runs: it yields these beside its results."""

from __future__ import annotations

from typing import NamedTuple


class Notice(NamedTuple):
    """A line for the user.

    Attributes:
        text: One sentence.
    """

    text: str


class Progress(NamedTuple):
    """How far a photograph is.

    Attributes:
        done_frac: Share of the photograph that is restored, 0..1.
    """

    done_frac: float
