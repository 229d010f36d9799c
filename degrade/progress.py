"""Long work tells how far it is by yielding steps; whoever wants to know follows it.

A function that takes long is a generator: it yields a `Step` now and then and returns its result.
`follow` runs one to its end.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import NamedTuple, TypeVar

_Result = TypeVar("_Result")


class Step(NamedTuple):
    """How far a piece of work is."""

    task: str
    """What is being done: rendering, verifying and so on."""
    num_done: int
    num_all: int
    """0 where it is unknown."""
    unit: str = "photo"
    """What is counted."""
    note: str = ""
    """What else is worth knowing while it lasts, such as how many workers there are."""
    line: str = ""
    """A line to be said once, such as that a worker was lost."""


Progress = Callable[[Step], None]
"""Told of each step."""


def follow(work: Generator[Step, None, _Result], progress: Progress | None = None) -> _Result:
    """Run work to its end.

    Args:
        work: Yields its steps.
        progress: Told of each step. If it raises, the work is closed first.

    Returns:
        What the work returned.
    """
    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: _Result = end.value
                return result
            if progress is not None:
                progress(step)
