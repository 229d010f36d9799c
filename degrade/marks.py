"""Physical damage: layers of opacity and ink, from the textures that a recipe names.

Neighbouring marks of one ink are united before they meet the photograph, so that a print
with twenty marks costs hardly more than one with two.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.placing import blend_over, sheet_window, sprite_patch
from degrade.recipe import Mark, Rgb
from degrade.textures import Textures, turn

Field = NDArray[np.float32]
Mask = NDArray[np.uint8]


class MarkLayer(NamedTuple):
    """Marks of one ink: (H, W) opacity in [0, 1], the ink's RGB, and how they blend."""

    opacity: Field
    ink: Rgb
    blend: str


def _add_mark(canvas: Mask, mark: Mark, textures: Textures, ratio: float) -> None:
    """Unite one mark with a layer's (H, W) opacity, in place: the more opaque of the two."""
    height, width = canvas.shape
    if mark.box is None:
        odd = mark.quarter_turns % 2 == 1
        mask = sheet_window(
            textures, mark.texture, mark.x_px, mark.y_px, mark.scale * ratio,
            width if odd else height, height if odd else width, varied=True,
        )  # fmt: skip
        patch = turn(mask, mark.quarter_turns, mark.flip)
        part = canvas
    else:
        left, top, right, bottom = mark.box
        box_px = (
            round(left * width), round(top * height), round(right * width), round(bottom * height),
        )  # fmt: skip
        placed = sprite_patch(
            textures, mark.texture, box_px, mark.quarter_turns, mark.flip, height, width
        )
        if placed is None:
            return
        patch, rows, columns = placed
        part = canvas[rows, columns]
    patch = np.asarray(cv2.convertScaleAbs(patch, alpha=mark.opacity_frac), np.uint8)
    np.maximum(part, patch, out=part)


def mark_layers(
    marks: Sequence[Mark], textures: Textures, height: int, width: int, ratio: float = 1.0
) -> list[MarkLayer]:
    """What lies upon the print, from the lowest layer to the highest.

    Args:
        marks: Of a recipe, in order.
        textures: The pack that it names.
        height: Rows of the photograph.
        width: Its columns.
        ratio: Px of this photograph per px of the recipe.

    Raises:
        TextureError: If the pack lacks a texture.
    """
    layers: list[MarkLayer] = []
    for (ink, blend), group in groupby(marks, key=lambda mark: (mark.ink, mark.blend)):
        canvas = np.zeros((height, width), np.uint8)
        for mark in group:
            _add_mark(canvas, mark, textures, ratio)
        opacity = canvas.astype(np.float32)
        opacity *= np.float32(1 / 255)
        layers.append(MarkLayer(opacity, ink, blend))
    return layers


def apply_marks(photo: Field, layers: Sequence[MarkLayer]) -> Field:
    """Lay the marks upon a photograph, in place.

    Args:
        photo: (3, H, W) in [0, 1]; changed and returned.
        layers: From `mark_layers`.

    Returns:
        (3, H, W) in [0, 1].
    """
    for layer in layers:
        if layer.blend == "over":
            blend_over(photo, layer.opacity, layer.ink)
            continue
        for plane, value in zip(photo, layer.ink, strict=True):
            np.maximum(plane, layer.opacity * np.float32(value), out=plane)
    return photo


def united_opacity(layers: Sequence[MarkLayer]) -> Field:
    """(H, W) opacity of at least one layer of marks, all together: 1 − (1 − a)(1 − b) and so on."""
    if len(layers) == 1:
        return layers[0].opacity
    clear = np.float32(1) - layers[0].opacity
    for layer in layers[1:]:
        clear *= np.float32(1) - layer.opacity
    return np.subtract(np.float32(1), clear, out=clear)
