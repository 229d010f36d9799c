"""Physical damage: layers of opacity and ink, from the textures that a recipe names.

Neighbouring marks of one ink are united before they meet the photograph, so that a print
with twenty marks costs hardly more than one with two.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import cv2
import numpy as np

from degrade.arrays import Field, Mask, blend_over, to_bytes
from degrade.damage.marks.records import Mark, Rim
from degrade.schema import Rgb
from degrade.textures.pack import Textures, turn
from degrade.textures.placing import sheet_window, sprite_patch

VISIBLE_FRAC = 8 / 255
"""A mark counts in full where it changes green or blue of the print by this much; red alone doesn't
count, which a mark on a strong cyan or red may change."""


class MarkLayer(NamedTuple):
    """Marks of one ink: (H, W) opacity in 1/255, the ink's RGB, and how they blend."""

    mask: Mask
    ink: Rgb
    blend: str

    @property
    def opacity(self) -> Field:
        """(H, W) in [0, 1]."""
        return scale_opacity(self.mask)


def scale_opacity(mask: Mask) -> Field:
    """0 … 255 to [0, 1], same shape."""
    return mask * np.float32(1 / 255)


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


def _cast_shadow(canvas: Mask, rim: Rim, ratio: float) -> Mask:
    """The opacity of the shadow beside marks whose opacity is given, (H, W) → (H, W)."""
    height, width = canvas.shape
    right, down = round(rim.x_px * ratio), round(rim.y_px * ratio)
    across, along = max(abs(right), 1), max(abs(down), 1)
    padded = cv2.copyMakeBorder(canvas, along, along, across, across, cv2.BORDER_REPLICATE)
    moved = padded[along - down :, across - right :][:height, :width]
    sigma_px = max(rim.width_px * ratio, 0.3)
    side = 2 * max(1, math.ceil(3 * sigma_px)) + 1
    side = min(side, 2 * (min(height, width) - 1) + 1)
    soft = cv2.GaussianBlur(moved, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    # A line as narrow as its shadow is soft keeps half of it.
    soft = cv2.convertScaleAbs(soft, alpha=2 * rim.opacity_frac)
    cap = np.uint8(round(255 * rim.opacity_frac))
    return np.asarray(cv2.subtract(np.minimum(soft, cap), canvas), np.uint8)


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
    groups = groupby(marks, key=lambda mark: (mark.ink, mark.blend, mark.rim))
    for (ink, blend, rim), group in groups:
        canvas = np.zeros((height, width), np.uint8)
        for mark in group:
            _add_mark(canvas, mark, textures, ratio)
        if isinstance(rim, Rim):
            layers.append(MarkLayer(_cast_shadow(canvas, rim, ratio), rim.ink, "over"))
        layers.append(MarkLayer(canvas, ink, blend))
    return layers


def apply_marks(photo: Field, layers: Sequence[MarkLayer]) -> Mask:
    """Lay the marks upon a print, in place, and find those that can be seen.

    Only the points under a mark are touched: mostly a twentieth of the print.

    Args:
        photo: (3, H, W) in [0, 1], contiguous; changed.
        layers: From `mark_layers`.

    Returns:
        (H, W) opacity of the marks that can be seen, in 1/255.
    """
    height, width = photo.shape[1:]
    seen = np.zeros(height * width, np.uint8)
    united = np.zeros((height, width), np.uint8)
    for layer in layers:
        np.maximum(united, layer.mask, out=united)
    places = np.flatnonzero(united != 0)
    if not len(places):
        return seen.reshape(height, width)
    planes = photo.reshape(3, -1)
    before = planes.take(places, axis=1)
    after = before.copy()
    opacities = [scale_opacity(layer.mask.take(places)) for layer in layers]
    for layer, opacity in zip(layers, opacities, strict=True):
        if layer.blend == "over":
            blend_over(after, opacity, layer.ink)
            continue
        for plane, value in zip(after, layer.ink, strict=True):
            np.maximum(plane, opacity * np.float32(value), out=plane)
    for plane, values in zip(planes, after, strict=True):
        plane[places] = values
    # Green and blue tell, as they always did: what was built stays as it is.
    change = np.abs(after[1:] - before[1:]).max(axis=0)
    change *= np.float32(1 / VISIBLE_FRAC)
    np.minimum(change, np.float32(1), out=change)
    change *= united_opacity(opacities)
    seen[places] = to_bytes(change[None])[0]
    return seen.reshape(height, width)


def united_opacity(opacities: Sequence[Field]) -> Field:
    """Opacity of at least one layer of marks, all together: 1 − (1 − a)(1 − b) and so on."""
    if len(opacities) == 1:
        return opacities[0]
    clear = np.float32(1) - opacities[0]
    for opacity in opacities[1:]:
        clear *= np.float32(1) - opacity
    return np.subtract(np.float32(1), clear, out=clear)
