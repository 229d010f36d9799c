"""Hints of colour that the user gives: at this place of the photograph, this colour."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_HINTS = 1000
_MAX_FILE_BYTES = 1 << 24
_TEXT = re.compile(
    r"\s*(?P<x>\d+(?:\.\d+)?)(?P<x_unit>%?)\s*,\s*(?P<y>\d+(?:\.\d+)?)(?P<y_unit>%?)\s*=\s*"
    r"#(?P<color>[0-9a-fA-F]{6})\s*"
)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
# A hint covers a disc; strokes of a picture become one hint per cell. Both by the short side.
_RADIUS_FRAC, _CELL_FRAC = 0.012, 0.02


@dataclass(frozen=True)
class Hint:
    """A colour at a place.

    Attributes:
        x_px: Columns from the left edge of the upright photograph, or percent of its width.
        y_px: Rows from its upper edge, or percent of its height.
        color: sRGB, 0..255.
        in_percent: Whether the place is given in percent.
    """

    x_px: float
    y_px: float
    color: tuple[int, int, int]
    in_percent: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no place or no colour.

        Raises:
            ValueError: Saying what is wrong.
        """
        limit = 100 if self.in_percent else 1e6
        if not (0 <= self.x_px <= limit and 0 <= self.y_px <= limit):
            raise ValueError(f"a hint at {self.x_px}, {self.y_px} lies outside any photograph")
        if len(self.color) != 3 or not all(0 <= v <= 255 for v in self.color):
            raise ValueError(f"{self.color} is no colour")

    def __str__(self) -> str:
        unit = "%" if self.in_percent else ""
        return f"{self.x_px:g}{unit},{self.y_px:g}{unit}={self.hex_color}"

    @property
    def hex_color(self) -> str:
        """As in `#7a4b2c`."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)

    def to_percent(self, width: int, height: int) -> Hint:
        """The same place of a photograph of any other size."""
        if self.in_percent:
            return self
        x, y = 100 * self.x_px / width, 100 * self.y_px / height
        return Hint(min(x, 100.0), min(y, 100.0), self.color, in_percent=True)


def parse_hint(text: str) -> Hint:
    """Understand `X,Y=#7a4b2c`, in pixels or, with `%` after both, in percent.

    Raises:
        ValueError: If it is none.
    """
    match = _TEXT.fullmatch(text)
    if match is None or match["x_unit"] != match["y_unit"]:
        raise ValueError(f"{text!r} is no hint; write X,Y=#7a4b2c, or X%,Y%=#7a4b2c")
    in_percent = match["x_unit"] == "%"
    return Hint(float(match["x"]), float(match["y"]), parse_color("#" + match["color"]), in_percent)


def parse_color(text: str) -> tuple[int, int, int]:
    """Understand `#7a4b2c`.

    Raises:
        ValueError: If it is none.
    """
    if not _COLOR.fullmatch(text):
        raise ValueError(f"{text!r} is no colour; write #7a4b2c")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def hints_to_json(hints: Sequence[Hint]) -> str:
    """A file of hints, as text."""
    values = [
        {"x": hint.x_px, "y": hint.y_px, "unit": "%" if hint.in_percent else "px"}
        | {"color": hint.hex_color}
        for hint in hints
    ]
    return json.dumps({"hints": values}, indent=1) + "\n"


def hints_from_json(text: str | bytes) -> tuple[Hint, ...]:
    """Read what `hints_to_json` writes.

    Raises:
        ValueError: If it is something else.
    """
    try:
        values: list[dict[str, Any]] = json.loads(text)["hints"]
        if len(values) > MAX_HINTS:
            raise ValueError(f"{len(values)} hints; {MAX_HINTS} are allowed")
        return tuple(
            Hint(
                float(value["x"]),
                float(value["y"]),
                parse_color(value["color"]),
                {"px": False, "%": True}[value.get("unit", "px")],
            )
            for value in values
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no hints: expected what the page saves") from error


def read_hints(path: Path) -> tuple[Hint, ...]:
    """Read a file of hints: JSON, or a picture that is painted with the colours.

    In a picture, of any size, what isn't transparent is a hint.

    Raises:
        RestoreError: If it can't be read or is something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RestoreError(f"{path}: can't be read ({error.strerror})") from error
    if len(content) > _MAX_FILE_BYTES:
        raise RestoreError(f"{path}: too large for a file of hints")
    try:
        if content.lstrip()[:1] == b"{":
            return hints_from_json(content)
        return _read_strokes(path)
    except ValueError as error:
        raise RestoreError(f"{path}: {error}") from error


def write_hints(hints: Sequence[Hint], path: Path, *, width: int, height: int) -> None:
    """Write hints as JSON, or as a picture if the name ends in .png.

    Args:
        hints: Of one photograph.
        path: To write.
        width: Of the photograph, px.
        height: Likewise.

    Raises:
        RestoreError: If it can't be written.
    """
    try:
        if path.suffix.lower() != ".png":
            path.write_text(hints_to_json(hints), encoding="utf-8")
            return
        from restore.scan.pictures import write_picture

        write_picture(path, _paint_colors(hints, height, width)[..., [2, 1, 0, 3]])
    except OSError as error:
        raise RestoreError(f"{path}: can't be written ({error.strerror})") from error


def paint_hints(
    hints: Sequence[Hint], height: int, width: int, *, of: tuple[int, int]
) -> NDArray[np.float32]:
    """Hints as a network sees them.

    Args:
        hints: Of one photograph.
        height: Of the map, px.
        width: Likewise.
        of: Height and width of the photograph, px.

    Returns:
        (height, width, 3): Cb and Cr in [-0.5, 0.5], and 1 where there is a hint, else 0.
    """
    import numpy as np

    from restore.ycc import to_ycc

    placed = [hint.to_percent(of[1], of[0]) for hint in hints]
    painted = _paint_colors(placed, height, width)
    given = painted[..., 3:] > 0
    colors = np.asarray(painted[..., :3] / 255, np.float32)
    chroma = to_ycc(colors)[..., 1:]
    return np.concatenate([chroma * given, given], axis=-1).astype(np.float32)


def _paint_colors(hints: Sequence[Hint], height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 4) RGB and opacity: a disc for each hint."""
    import cv2
    import numpy as np

    painted = np.zeros((height, width, 4), np.uint8)
    radius = max(1, round(_RADIUS_FRAC * min(height, width)))
    for hint in hints:
        place = hint.to_percent(width, height)
        x = min(int(place.x_px / 100 * width), width - 1)
        y = min(int(place.y_px / 100 * height), height - 1)
        cv2.circle(painted, (x, y), radius, (*hint.color, 255), thickness=-1)
    return painted


def _read_strokes(path: Path) -> tuple[Hint, ...]:
    """One hint for each cell of a painted picture that has colour in it."""
    import numpy as np

    from restore.scan.photo import Photo
    from restore.scan.profiles import scale_to_unit

    with Photo(path) as photo:
        if not photo.has_alpha or photo.num_bands != 3:
            raise ValueError("no hints: a painted picture needs colours and transparency")
        samples = photo.open_rows()(0, photo.height)
    color, opaque = scale_to_unit(samples[..., :3]), scale_to_unit(samples[..., 3]) > 0.5
    cell = max(1, round(_CELL_FRAC * min(opaque.shape)))
    y, x = np.nonzero(opaque)
    num_across = -(-opaque.shape[1] // cell)
    cells, inverse = np.unique((y // cell) * num_across + x // cell, return_inverse=True)
    if len(cells) > MAX_HINTS:
        raise ValueError(f"{len(cells)} places are painted; {MAX_HINTS} are allowed")
    hints = []
    for i in range(len(cells)):
        inside = inverse == i
        # The pixel nearest to the middle: the mean of a bent stroke may lie beside it.
        off = (x[inside] - x[inside].mean()) ** 2 + (y[inside] - y[inside].mean()) ** 2
        nearest = int(off.argmin())
        place = (x[inside][nearest] + 0.5, y[inside][nearest] + 0.5)
        red, green, blue = (int(v) for v in np.rint(255 * color[y[inside], x[inside]].mean(axis=0)))
        height, width = opaque.shape
        hint = Hint(float(place[0]), float(place[1]), (red, green, blue))
        hints.append(hint.to_percent(width, height))
    return tuple(hints)
