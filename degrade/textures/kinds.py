"""The kinds of marks: one row a kind. A new kind is a row here and a painter.

A row says how the textures of a kind are painted, and how they lie upon a print.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from degrade.arrays import Mask
from degrade.schema import Rgb
from degrade.textures.painters import sheets, sprites, wear

Painter = Callable[[np.random.Generator, float], Mask]
"""Paints a texture of a given density from a generator: an opacity, (H, W)."""

_BROWN: tuple[Rgb, Rgb] = ((0.36, 0.24, 0.12), (0.72, 0.58, 0.36))
_RUST: tuple[Rgb, Rgb] = ((0.45, 0.28, 0.12), (0.70, 0.50, 0.28))
_AMBER: tuple[Rgb, Rgb] = ((0.70, 0.56, 0.30), (0.92, 0.84, 0.62))


class MarkKind(NamedTuple):
    """One kind of mark.

    Attributes:
        paint: Its painter.
        densities: The density of each of its textures in a pack.
        place: Where it lies. A sheet lies everywhere. A sprite lies anywhere, runs across the
            print, tears it from an edge, lies along an edge, or takes a corner.
        ink: What colour it has: a colour between two, that of the bare paper, or that of all
            light or all dark marks of the photograph.
        height: Which marks it covers: those of smaller height. Marks of equal height are sorted
            by ink. Stains, water marks and tape lie lowest; dust, dirt, hair, fibres and
            scratches follow; then foxing, fingerprints and creases; what was lost lies on top.
        flatness: Height over width of a sprite that lies anywhere, before it is stretched.
        runs_down: Whether a sheet mostly keeps its direction, as film runs through a camera.
    """

    paint: Painter
    densities: tuple[float, ...]
    place: Literal["everywhere", "anywhere", "across", "from edge", "along edge", "in corner"]
    ink: tuple[Rgb, Rgb] | Literal["paper", "light or dark"]
    height: int
    flatness: float = 1.0
    runs_down: bool = False

    @property
    def layout(self) -> str:
        """Either "sheet" (covers the photograph, repeats) or "sprite" (placed once)."""
        return "sheet" if self.place == "everywhere" else "sprite"

    @property
    def at_edge(self) -> bool:
        """Whether it belongs to an edge or a corner of the print."""
        return self.place in ("from edge", "along edge", "in corner")


KINDS: dict[str, MarkKind] = {
    "dust": MarkKind(
        sheets.paint_dust, (0.4, 0.7, 1.0, 1.0, 2.0, 3.5), "everywhere", "light or dark", 3
    ),
    "dirt": MarkKind(
        sheets.paint_dirt, (0.5, 1.0, 1.0, 1.5, 2.5, 4.0), "everywhere", "light or dark", 4
    ),
    "hair": MarkKind(
        sheets.paint_hair, (0.4, 0.7, 1.0, 1.0, 1.6, 2.5), "everywhere", "light or dark", 5
    ),
    "fibre": MarkKind(sheets.paint_fibre, (0.4, 0.7, 1.0, 1.6), "everywhere", "light or dark", 6),
    "scratch": MarkKind(
        sheets.paint_scratch,
        (4.0, 4.0, 8.0, 8.0, 12.0, 16.0, 24.0, 40.0),
        "everywhere",
        "light or dark",
        7,
        runs_down=True,
    ),
    "foxing": MarkKind(sheets.paint_foxing, (0.3, 0.6, 1.0, 1.6), "everywhere", _RUST, 8),
    "stain": MarkKind(
        sprites.paint_stain, (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6), "anywhere", _BROWN, 0
    ),
    "watermark": MarkKind(
        sprites.paint_watermark, (0.3, 0.6, 0.9, 1.2, 1.5, 1.8), "anywhere", _BROWN, 1
    ),
    "fingerprint": MarkKind(
        sprites.paint_fingerprint, (0.6, 0.9, 1.2, 1.5), "anywhere", "light or dark", 9
    ),
    "crease": MarkKind(
        sprites.paint_crease,
        (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.0, 1.2, 1.4, 1.6),
        "across",
        "paper",
        10,
    ),
    "crack": MarkKind(
        sprites.paint_crack,
        (0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.5),
        "across",
        "paper",
        11,
    ),
    "peel": MarkKind(
        sprites.paint_peel,
        (0.0, 0.1, 0.3, 0.5, 0.7, 1.0, 1.0, 1.4, 1.8, 2.4, 3.0, 3.0),
        "anywhere",
        "paper",
        11,
    ),
    "tear": MarkKind(sprites.paint_tear, (0.2, 0.4, 0.6, 0.9, 1.2, 1.5), "from edge", "paper", 11),
    "corner": MarkKind(
        sprites.paint_corner, (0.3, 0.5, 0.7, 0.9, 1.1, 1.3), "in corner", "paper", 11
    ),
    "chip": MarkKind(sprites.paint_chip, (0.2, 0.4, 0.6, 0.8, 1.1, 1.5), "along edge", "paper", 11),
    "tape": MarkKind(sprites.paint_tape, (0.5, 1.0, 1.5), "anywhere", _AMBER, 2, flatness=0.4),
    "strand": MarkKind(
        wear.paint_strand,
        (0.5, 0.75, 0.75, 1.0, 1.0, 1.25, 1.5, 2.0),
        "anywhere",
        "light or dark",
        6,
    ),
    "fold": MarkKind(
        wear.paint_fold, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7), "across", "paper", 10
    ),
    "wear": MarkKind(
        wear.paint_worn_edge, (0.3, 0.5, 0.7, 0.9, 1.1, 1.3), "along edge", "paper", 11
    ),
    "flake": MarkKind(
        wear.paint_flake,
        (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1.1, 1.3, 1.6),
        "anywhere",
        "paper",
        11,
    ),
}
"""Every kind of mark, in the order in which packs hold their textures."""
