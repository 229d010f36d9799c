"""What `train evaluate` tells beside its table: marks by kind, width and contrast, and likeness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.damage.marks.layers import mark_layers
from degrade.pairs import Pair
from degrade.textures import Textures
from train.measure.faces import FaceChange, find_recognizer, make_grey
from train.measure.likeness import describe_likeness, format_likeness
from train.measure.marks import (
    FAINT_OPACITY,
    MIN_OPACITY,
    MarkCounts,
    Places,
    add_slices,
    count_slices,
    describe_slices,
    format_slices,
)

Photo = NDArray[np.uint8]

DAMAGED, GREY = "damaged", "grey copy"


class Details:
    """Gathers them pair by pair.

    Attributes:
        notes: Sentences on what is left out.
    """

    def __init__(self, textures: Textures | None, *, likeness: bool) -> None:
        """Begin with no pairs.

        Args:
            textures: To tell marks of several kinds apart; None leaves the kinds out.
            likeness: Whether faces are compared, where the packages for it are installed.
        """
        self.notes: list[str] = []
        self._textures = textures
        self._recognizer = None
        if likeness:
            self._recognizer, self.notes = find_recognizer()
        self._faces: list[FaceChange] = []
        self._slices: dict[str, list[dict[str, MarkCounts]]] = {}

    def add_pair(self, pair: Pair, versions: Mapping[str, tuple[Photo, Photo]]) -> None:
        """Look at the restorations of a pair.

        Args:
            pair: That was restored.
            versions: By method, the restored photograph (H, W, 3) and the marks found (H, W).
        """
        marks, visible = pair.marks >= FAINT_OPACITY, pair.marks >= MIN_OPACITY
        kinds = self._find_kinds(pair)
        for name, (_, found) in versions.items():
            places = found >= MIN_OPACITY
            counts = count_slices(pair.damaged, places, marks, visible=visible, kinds=kinds)
            self._slices.setdefault(name, []).append(counts)
        if self._recognizer is not None:
            photos = {DAMAGED: pair.damaged, GREY: make_grey(pair.clean)}
            photos |= {name: restored for name, (restored, _) in versions.items()}
            faces = self._recognizer.find_faces(pair.clean)
            self._faces += self._recognizer.compare(pair.recipe.key, faces, photos)

    def summarise(self, num_draws: int) -> dict[str, Any]:
        """JSON values: `marks` (slices by method) and, where faces were compared, `likeness`."""
        results: dict[str, Any] = {
            "marks": {
                method: describe_slices(add_slices(photos))
                for method, photos in self._slices.items()
            }
        }
        if self._recognizer is not None:
            results["likeness"] = describe_likeness(
                self._faces, damaged=DAMAGED, num_draws=num_draws
            )
        return results

    def _find_kinds(self, pair: Pair) -> dict[str, Places]:
        """Where each kind is the most opaque of all marks."""
        if self._textures is None or not pair.recipe.marks:
            return {}
        marks, opacities = pair.recipe.marks, []
        kinds = sorted({mark.kind for mark in marks})
        height, width = pair.marks.shape
        ratio = min(height / pair.recipe.height_px, width / pair.recipe.width_px)
        for kind in kinds:
            chosen = [mark for mark in marks if mark.kind == kind]
            layers = mark_layers(chosen, self._textures, height, width, ratio)
            opacities.append(np.max([layer.mask for layer in layers], axis=0))
        strongest = np.argmax(opacities, axis=0)
        return {kind: strongest == i for i, kind in enumerate(kinds)}


def format_details(results: dict[str, Any]) -> str:
    """The network's marks by slice, and likeness, as plain tables."""
    lines = ["marks of the network", format_slices(results["marks"]["network"])]
    if "likeness" in results:
        lines += ["", "likeness, distances from the clean photograph"]
        lines.append(format_likeness(results["likeness"]))
    return "\n".join(lines)
