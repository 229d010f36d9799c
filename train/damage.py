"""From a pair's recipe to the tensors that damage its photograph again."""

from collections.abc import Sequence
from dataclasses import fields as dataclass_fields

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade import PairReader
from degrade.film import curve_knots
from degrade.optics import disc_rows, motion_offsets
from degrade.recipe import Lens, Recipe
from degrade.render import render_fields
from degrade.textures import Textures
from restore.redamage import Damage

Field = NDArray[np.float32]


def find_textures(reader: PairReader) -> Textures | None:
    """The textures that a build's damage can be repeated with; None if it was made with others."""
    textures = Textures.load()
    return textures if reader.manifest.texture_digest == textures.digest else None


def lens_kernel(lens: Lens, ratio: float = 1.0) -> Tensor | None:
    """Defocus and motion of a lens as one (k, k) kernel; None where there is neither."""
    kernel = np.ones((1, 1), np.float64)
    parts = []
    if lens.defocus_radius_px * ratio >= 1:
        rows = disc_rows(lens.defocus_radius_px * ratio)
        reach = max(dy for dy, _ in rows)
        disc = np.zeros((2 * reach + 1, 2 * reach + 1))
        for dy, half in rows:
            disc[reach + dy, reach - half : reach + half + 1] = 1
        parts.append(disc)
    if lens.motion_length_px * ratio >= 1:
        offsets = motion_offsets(lens.motion_length_px * ratio, lens.motion_angle_deg)
        reach = max(max(abs(dx), abs(dy)) for dx, dy in offsets)
        line = np.zeros((2 * reach + 1, 2 * reach + 1))
        for dx, dy in offsets:
            line[reach + dy, reach + dx] = 1
        parts.append(line)
    if not parts:
        return None
    for part in parts:
        half = part.shape[0] // 2
        kernel = np.asarray(
            cv2.filter2D(
                np.pad(kernel, half),
                -1,
                (part / part.sum())[::-1, ::-1],
                borderType=cv2.BORDER_CONSTANT,
            ),
            np.float64,
        )
    return torch.from_numpy(np.ascontiguousarray(kernel, np.float32))


def _planes(field: Field, channels: int) -> Tensor:
    tensor = torch.from_numpy(np.array(field, np.float32))
    return tensor.expand(channels, *tensor.shape[-2:]) if tensor.ndim == 2 else tensor


def damage_of(recipe: Recipe, textures: Textures, height: int = 0, width: int = 0) -> Damage:
    """The damage of one recipe, as a batch of one.

    Args:
        recipe: What was done.
        textures: The pack that it names.
        height: Rows; the recipe's own by default.
        width: Columns; likewise.

    Raises:
        TextureError: If the pack lacks a texture.
    """
    height, width = height or recipe.height_px, width or recipe.width_px
    ratio = min(height / recipe.height_px, width / recipe.width_px)
    fields = render_fields(recipe, textures, height, width)
    clean = Damage.none(1, height, width)
    values: dict[str, Tensor | dict[int, Tensor]] = {
        f.name: getattr(clean, f.name) for f in dataclass_fields(clean)
    }

    def put(name: str, tensor: Tensor) -> None:
        values[name] = tensor.to(torch.float32)[None]

    if recipe.emulsion is not None:
        put("matrix", torch.tensor(recipe.emulsion.matrix))
    if recipe.lens is not None:
        put("sigma_px", torch.tensor(recipe.lens.sigma_px * ratio))
        kernel = lens_kernel(recipe.lens, ratio)
        if kernel is not None:
            values["kernels"] = {0: kernel}
    if recipe.curve is not None:
        grey = recipe.emulsion is not None and len(set(recipe.emulsion.matrix)) == 1
        channels = (0, 0, 0) if grey else (0, 1, 2)
        put("knots", torch.tensor([curve_knots(recipe.curve, c) for c in channels]))
    if recipe.vignette is not None and fields.vignette is not None:
        put("fall_off", _planes(fields.vignette, 1))
        put("fall_off_white", torch.tensor(float(recipe.vignette.white)))
    if recipe.grain is not None and fields.grain is not None:
        put("grain", _planes(fields.grain, 3))
        product = recipe.grain.law == "multiplicative"
        put("grain_product" if product else "grain_strength",
            torch.tensor(recipe.grain.strength_frac))  # fmt: skip
    if recipe.halftone is not None and fields.screen is not None:
        put("screen", _planes(fields.screen, 1))
        put("screen_hardness", torch.tensor(recipe.halftone.hardness))
    if recipe.tone is not None:
        tone = recipe.tone
        put("tone", torch.tensor([tone.shadow, tone.middle, tone.highlight]))
    if recipe.frame is not None and fields.frame is not None:
        put("picture", _planes(fields.frame.picture, 1))
        put("print_area", _planes(fields.frame.print_area, 1))
        put("paper", torch.tensor(recipe.frame.paper))
        put("backdrop", torch.tensor(recipe.frame.backdrop))
    if recipe.ageing is not None and fields.ageing is not None:
        put("age", _planes(fields.ageing, 1))
        put("fade", torch.tensor(recipe.ageing.fade_frac))
        put("fade_colour", torch.tensor(recipe.ageing.fade_colour))
        put("stain", torch.tensor(recipe.ageing.stain_frac))
        put("stain_colour", torch.tensor(recipe.ageing.stain_colour))
    clear = torch.ones(1, height, width)
    ink, brighter = torch.zeros(3, height, width), torch.zeros(3, height, width)
    for layer in fields.marks:
        alpha = torch.from_numpy(layer.opacity)[None]
        laid = alpha * torch.tensor(layer.ink)[:, None, None]
        if layer.blend == "lighten":
            brighter = torch.maximum(brighter, laid)
        else:
            # (max(x, L))(1 − a) + a c = max(x (1 − a) + a c, L (1 − a) + a c).
            clear, ink = clear * (1 - alpha), ink * (1 - alpha) + laid
            brighter = brighter * (1 - alpha) + laid
    put("opacity", 1 - clear)
    put("ink", ink)
    put("brighter", brighter)
    return Damage(**values)  # type: ignore[arg-type]  # one value per field, by construction


def collate_damage(damages: Sequence[Damage]) -> Damage:
    """Unite damages of the same size into one batch."""
    values: dict[str, Tensor | dict[int, Tensor]] = {}
    for f in dataclass_fields(Damage):
        if f.name != "kernels":
            values[f.name] = torch.cat([getattr(damage, f.name) for damage in damages])
    kernels, start = {}, 0
    for damage in damages:
        for i, kernel in damage.kernels.items():
            kernels[start + i] = kernel
        start += damage.matrix.shape[0]
    values["kernels"] = kernels
    return Damage(**values)  # type: ignore[arg-type]  # one value per field, by construction
