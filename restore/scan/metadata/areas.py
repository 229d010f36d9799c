"""Face regions and other areas of a photograph, turned as its pixels are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Turning:
    """From a photograph as stored to the upright one.

    Attributes:
        orientation: EXIF's, 1..8.
        width: Stored, px.
        height: Likewise.
    """

    orientation: int
    width: int
    height: int

    @property
    def swaps(self) -> bool:
        """Whether width and height change places."""
        return self.orientation >= 5

    @property
    def size(self) -> tuple[int, int]:
        """Upright width and height, px."""
        return (self.height, self.width) if self.swaps else (self.width, self.height)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A place, in parts of width and height."""
        if self.swaps:
            x, y = y, x
        if self.orientation in (2, 3, 6, 7):
            x = 1 - x
        if self.orientation in (3, 4, 7, 8):
            y = 1 - y
        return x, y

    def extent(self, width: float, height: float) -> tuple[float, float]:
        """A width and height, in parts of the photograph's."""
        return (height, width) if self.swaps else (width, height)

    def corner(self, x: float, y: float, w: float, h: float) -> tuple[float, float]:
        """The upper left corner of a box whose upper left corner is given."""
        ends = self.point(x, y), self.point(x + w, y + h)
        return min(ends[0][0], ends[1][0]), min(ends[0][1], ends[1][1])


_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
# An element with all inside it, or empty.
_AREA = r"<([\w-]+:(?:Area|DLYArea|ALGArea))\b[^<>]*(?:/>|>.*?(?:/>\s*</\1>|</\1>))"
_BOUNDARY = r"<([\w-]+:RegionBoundary)\b[^<>]*(?:/>|>.*?</\1>)"


def turn_areas(text: str, turning: Turning) -> str:
    """Turn the areas of an XMP packet: MWG's, Microsoft's, IPTC's and ACDSee's regions."""
    dimensions = re.search(r"AppliedToDimensions\b.*?(?:/>|</)[^>]*>", text, re.DOTALL)
    if dimensions and turning.swaps and turning.width != turning.height:
        found = [_find(text[dimensions.start() :][:600], f"stDim:{n}") for n in "wh"]
        sides = [float(f.group(2)) for f in found if f]
        if len(sides) == 2 and (sides[0] > sides[1]) == (turning.size[0] > turning.size[1]):
            return text  # said of the upright photograph
    text = re.sub(_AREA, lambda m: _turn_centred(m.group(0), turning), text, flags=re.DOTALL)
    text = re.sub(_BOUNDARY, lambda m: _turn_boundary(m.group(0), turning), text, flags=re.DOTALL)
    text = re.sub(
        rf"(MPReg:Rectangle(?:=[\"']|>)\s*)({_NUMBER}(?:\s*,\s*{_NUMBER}){{3}})",
        lambda m: m.group(1) + _turn_rectangle(m.group(2), turning),
        text,
    )
    if turning.swaps:
        text = re.sub(
            r"<([\w-]+:AppliedToDimensions)\b[^<>]*(?:/>|>.*?</\1>)",
            lambda m: _swap(m.group(0), "stDim:w", "stDim:h"),
            text,
            flags=re.DOTALL,
        )
    return text


def turn_subject(values: tuple[int, ...], turning: Turning) -> tuple[int, ...]:
    """EXIF's subject area (centre, then diameter or width and height) or location, px."""
    if len(values) < 2:
        return values
    x, y = turning.point(values[0] / turning.width, values[1] / turning.height)
    width, height = turning.size
    rest = values[2:4] if len(values) != 4 or not turning.swaps else (values[3], values[2])
    place = (min(max(round(x * width), 0), width), min(max(round(y * height), 0), height))
    return (*place, *rest)


def _find(text: str, name: str) -> re.Match[str] | None:
    return re.search(rf"({name}(?:\s*=\s*[\"']|>)\s*)({_NUMBER})", text)


def _set(text: str, name: str, value: float) -> str:
    return re.sub(
        rf"({name}(?:\s*=\s*[\"']|>)\s*)({_NUMBER})",
        lambda m: m.group(1) + f"{value:.9g}",
        text,
        count=1,
    )


def _swap(text: str, first: str, second: str) -> str:
    a, b = _find(text, first), _find(text, second)
    if a and b:
        text = _set(text, first, float(b.group(2)))
        text = _set(text, second, float(a.group(2)))
    return text


def _turn_centred(text: str, turning: Turning) -> str:
    """An area by its centre, and width and height where it has them."""
    values = [_find(text, rf"[\w-]*stArea:{name}") for name in "xywh"]
    x, y, w, h = (float(v.group(2)) if v else None for v in values)
    if x is None or y is None:
        return text
    pixels = re.search(r"stArea:unit(?:\s*=\s*[\"']|>)\s*pixel", text)
    width, height = (turning.width, turning.height) if pixels else (1, 1)
    new_width, new_height = turning.size if pixels else (1, 1)
    x, y = turning.point(x / width, y / height)
    text = _set(text, r"[\w-]*stArea:x", x * new_width)
    text = _set(text, r"[\w-]*stArea:y", y * new_height)
    if w is not None and h is not None:
        w, h = turning.extent(w / width, h / height)
        text = _set(text, r"[\w-]*stArea:w", w * new_width)
        text = _set(text, r"[\w-]*stArea:h", h * new_height)
    return text


def _turn_boundary(text: str, turning: Turning) -> str:
    """A region of IPTC: a box by its corner, a circle by its centre, or a polygon."""
    pixels = re.search(r":rbUnit(?:\s*=\s*[\"']|>)\s*pixel", text)
    width, height = (turning.width, turning.height) if pixels else (1, 1)
    new_width, new_height = turning.size if pixels else (1, 1)
    w, h = _find(text, ":rbW"), _find(text, ":rbH")
    box = (float(w.group(2)) / width, float(h.group(2)) / height) if w and h else (0.0, 0.0)
    xs = [float(m.group(2)) for m in _all(text, ":rbX")]
    ys = [float(m.group(2)) for m in _all(text, ":rbY")]
    if len(xs) != len(ys):
        return text
    turned = [turning.corner(x / width, y / height, *box) for x, y in zip(xs, ys, strict=True)]
    text = _set_all(text, ":rbX", [x * new_width for x, _ in turned])
    text = _set_all(text, ":rbY", [y * new_height for _, y in turned])
    if w and h:
        box = turning.extent(*box)
        text = _set(text, ":rbW", box[0] * new_width)
        text = _set(text, ":rbH", box[1] * new_height)
    return text


def _all(text: str, name: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"({name}(?:\s*=\s*[\"']|>)\s*)({_NUMBER})", text)


def _set_all(text: str, name: str, values: list[float]) -> str:
    left = iter(values)
    return re.sub(
        rf"({name}(?:\s*=\s*[\"']|>)\s*)({_NUMBER})",
        lambda m: m.group(1) + f"{next(left):.9g}",
        text,
    )


def _turn_rectangle(text: str, turning: Turning) -> str:
    x, y, w, h = (float(value) for value in text.split(","))
    left, top = turning.corner(x, y, w, h)
    return ", ".join(f"{value:.9g}" for value in (left, top, *turning.extent(w, h)))
