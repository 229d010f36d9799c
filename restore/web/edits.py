"""What a user painted and hinted on one photograph: every step, so that each can be undone."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.hints import MAX_HINTS, Hint, parse_color
from restore.scan.pictures import read_grey_picture

MAX_STEPS, MAX_POINTS = 4000, 400_000
ADDED, LEFT, ERASED = 255, 128, 0
"""What a file of edited marks holds: damage, what the network takes it for, no damage."""


class BadEdits(ValueError):
    """What was sent is no history of edits."""


@dataclass(frozen=True)
class Stroke:
    """A line of the brush; places and widths are pixels of the upright photograph."""

    mode: Literal["add", "erase"]
    size_px: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Clear:
    """Every mark painted or loaded so far is forgotten."""


@dataclass(frozen=True)
class Base:
    """A file of marks was loaded, the so-manieth of this photograph."""

    number: int


@dataclass(frozen=True)
class Hints:
    """The hints are these from now on."""

    hints: tuple[Hint, ...]


Step = Stroke | Clear | Base | Hints


@dataclass(frozen=True)
class Edits:
    """Steps that count, and steps that were undone.

    Attributes:
        steps: In their order.
        undone: The last undone last.
    """

    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()

    @property
    def hints(self) -> tuple[Hint, ...]:
        """Those that count."""
        lists = [step.hints for step in self.steps if isinstance(step, Hints)]
        return lists[-1] if lists else ()

    @property
    def marking(self) -> tuple[Stroke | Base, ...]:
        """Steps that the marks consist of; equal ones give equal marks."""
        kept: list[Stroke | Base] = []
        for step in self.steps:
            if isinstance(step, Clear):
                kept = []
            elif isinstance(step, Base):
                kept = [step]
            elif isinstance(step, Stroke):
                kept.append(step)
        return tuple(kept)


def read_edits(text: bytes) -> Edits:
    """Understand what the page sends.

    Raises:
        BadEdits: If it is something else.
    """
    try:
        document = json.loads(text)
        steps = tuple(map(_read_step, document["steps"]))
        undone = tuple(map(_read_step, document.get("undone", [])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        line = " ".join(str(error).split())[:120]
        raise BadEdits(f"no history of edits: {line}") from error
    num_points = sum(len(s.points) for s in (*steps, *undone) if isinstance(s, Stroke))
    if len(steps) + len(undone) > MAX_STEPS or num_points > MAX_POINTS:
        raise BadEdits("too many strokes; save the marks, clear them, and load what was saved")
    return Edits(steps, undone)


def write_edits(edits: Edits) -> dict[str, Any]:
    """What `read_edits` reads, as JSON values."""
    return {
        "steps": list(map(_write_step, edits.steps)),
        "undone": list(map(_write_step, edits.undone)),
    }


def paint_marks(
    edits: Edits, height: int, width: int, folder: Path, *, of: tuple[int, int]
) -> NDArray[np.uint8] | None:
    """Marks as `RestoreSettings.marks_mode` "edit" wants them.

    Args:
        edits: Of a photograph.
        height: Of the map, px.
        width: Likewise.
        folder: Where the photograph's loaded marks lie.
        of: Height and width of the photograph, px.

    Returns:
        (height, width); None if the user said nothing about marks.
    """
    steps = edits.marking
    if not steps:
        return None
    marks = np.full((height, width), LEFT, np.uint8)
    scale_x, scale_y = width / of[1], height / of[0]
    for step in steps:
        if isinstance(step, Base):
            marks = _fit_base(base_path(folder, step.number), height, width)
        else:
            value = ADDED if step.mode == "add" else ERASED
            _draw(marks, step, scale_x, scale_y, value)
    return marks


def base_path(folder: Path, number: int) -> Path:
    """Where a loaded file of marks lies."""
    return folder / f"marks-{number}.png"


def normalise_marks(marks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A file of marks, edited or found, as edited marks: found ones only add."""
    values = np.unique(marks)
    if set(values.tolist()) <= {ADDED, LEFT, ERASED} and LEFT in values:
        return marks
    return np.where(marks >= LEFT, ADDED, LEFT).astype(np.uint8)


def _fit_base(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    marks = read_grey_picture(path)
    if marks is None:
        return np.full((height, width), LEFT, np.uint8)
    if marks.shape == (height, width):
        return marks
    # What is said of any of the pixels that become one counts; damage before no damage.
    fitted = np.full((height, width), LEFT, np.uint8)
    for value in (ERASED, ADDED):
        share = (marks == value).astype(np.float32)
        how = cv2.INTER_AREA if marks.shape[0] > height else cv2.INTER_NEAREST
        fitted[cv2.resize(share, (width, height), interpolation=how) > 0.05] = value
    return fitted


def _draw(
    marks: NDArray[np.uint8], stroke: Stroke, scale_x: float, scale_y: float, value: int
) -> None:
    """Draw a stroke, in place: exact squares of one pixel, else round pens."""
    points = [(math.floor(x * scale_x), math.floor(y * scale_y)) for x, y in stroke.points]
    width = max(1, round(stroke.size_px * min(scale_x, scale_y)))
    if len(points) == 1:
        points *= 2
    if width == 1:
        for start, end in itertools.pairwise(points):
            cv2.line(marks, start, end, value, 1)
        return
    # Pens of any width, odd or even, to a sixteenth of a pixel.
    shift, one = 4, 16
    for x, y in points:
        centre = (x * one + (0 if width % 2 else -one // 2), y * one + (0 if width % 2 else -8))
        cv2.circle(marks, centre, width * one // 2 - one // 4, value, -1, cv2.LINE_8, shift)
    for start, end in itertools.pairwise(points):
        if start != end:
            cv2.line(marks, start, end, value, width)


def _read_step(value: dict[str, Any]) -> Step:
    match value["kind"]:
        case "stroke":
            if value["mode"] not in ("add", "erase"):
                raise ValueError("a stroke adds or erases")
            points = tuple((_number(x), _number(y)) for x, y in value["points"])
            size_px = _number(value["size_px"])
            if not points or not 0 < size_px <= 10_000:
                raise ValueError("a stroke without places, or of no width")
            return Stroke(value["mode"], size_px, points)
        case "clear":
            return Clear()
        case "base":
            number = value["number"]
            if type(number) is not int or not 0 <= number < 10_000:
                raise ValueError("no such marks")
            return Base(number)
        case "hints":
            if len(value["hints"]) > MAX_HINTS:
                raise ValueError(f"more than {MAX_HINTS} hints")
            return Hints(
                tuple(
                    Hint(float(h["x_px"]), float(h["y_px"]), parse_color(h["color"]))
                    for h in value["hints"]
                )
            )
    raise ValueError("no such step")


def _write_step(step: Step) -> dict[str, Any]:
    match step:
        case Stroke(mode, size_px, points):
            listed = [list(point) for point in points]
            return {"kind": "stroke", "mode": mode, "size_px": size_px, "points": listed}
        case Clear():
            return {"kind": "clear"}
        case Base(number):
            return {"kind": "base", "number": number}
        case Hints(hints):
            listed_hints = [
                {"x_px": hint.x_px, "y_px": hint.y_px, "color": hint.hex_color} for hint in hints
            ]
            return {"kind": "hints", "hints": listed_hints}


def _number(value: Any) -> float:
    number = float(value)
    if not -1e6 < number < 1e6:
        raise ValueError("a place outside any photograph")
    return number
