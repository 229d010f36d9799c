"""From a pair's recipe to the tensors that damage its photograph again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade import PairReader
from degrade.damage.curve import curve_knots
from degrade.damage.dyes import dye_knots
from degrade.damage.lens import Lens, disc_rows, motion_offsets
from degrade.damage.marks.layers import MarkLayer
from degrade.damage.render import Fields, render_fields
from degrade.errors import TextureError
from degrade.recipe import Recipe
from degrade.textures import Textures
from train.damage.stages import Damage
from train.data.builds import Builds
from train.errors import DataError

Field = NDArray[np.float32]


def find_textures(reader: PairReader) -> Textures | None:
    """The textures that a build's damage can be repeated with; None if it was made with others."""
    textures = Textures.load()
    return textures if textures.repeats(reader.manifest.texture_digest) else None


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


def _is_silver(recipe: Recipe) -> bool:
    """Whether a recipe leaves one channel: silver has one curve and no dyes."""
    return recipe.emulsion is not None and len(set(recipe.emulsion.matrix)) == 1


def _measure_values(recipe: Recipe, ratio: float) -> dict[str, Any]:
    """The fields of a damage that aren't planes, as far as the recipe has them."""
    values: dict[str, Any] = {}
    if recipe.emulsion is not None:
        values["matrix"] = recipe.emulsion.matrix
    if recipe.lens is not None:
        values["sigma_px"] = recipe.lens.sigma_px * ratio
    grey = _is_silver(recipe)
    if recipe.dyes is not None and not grey:
        values["dye_knots"] = [dye_knots(recipe.dyes, c) for c in range(3)]
    if recipe.curve is not None:
        channels = (0, 0, 0) if grey else (0, 1, 2)
        values["knots"] = [curve_knots(recipe.curve, c) for c in channels]
    if recipe.vignette is not None:
        values["fall_off_white"] = float(recipe.vignette.white)
    if recipe.grain is not None:
        product = recipe.grain.law == "multiplicative"
        values["grain_product" if product else "grain_strength"] = recipe.grain.strength_frac
    if recipe.halftone is not None:
        values["screen_hardness"] = recipe.halftone.hardness
    if recipe.tone is not None:
        values["tone"] = (recipe.tone.shadow, recipe.tone.middle, recipe.tone.highlight)
    if recipe.uneven_tone is not None and recipe.uneven_tone.tone is not None and grey:
        second = recipe.uneven_tone.tone
        values["second_tone"] = (second.shadow, second.middle, second.highlight)
    if recipe.frame is not None:
        values["paper"] = recipe.frame.paper
        values["backdrop"] = recipe.frame.backdrop
    if recipe.ageing is not None:
        values["fade"] = recipe.ageing.fade_frac
        values["fade_colour"] = recipe.ageing.fade_colour
        values["stain"] = recipe.ageing.stain_frac
        values["stain_colour"] = recipe.ageing.stain_colour
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _cut_planes(fields: Fields, cut: Callable[[Field], Field]) -> dict[str, Field]:
    """The planes of a damage, as far as there are any.

    Args:
        fields: From `render_fields`.
        cut: Makes the (h, w) part that is wanted of each (H, W).

    Returns:
        (1, h, w) or (3, h, w) by name.
    """
    single: dict[str, Field | None] = {
        "dye_loss": fields.dyes, "fall_off": fields.vignette,
        "second_share": fields.uneven_tone, "age": fields.ageing,
    }  # fmt: skip
    if fields.frame is not None:
        single["picture"] = fields.frame.picture
        single["print_area"] = fields.frame.print_area
    planes = {name: cut(field)[None] for name, field in single.items() if field is not None}
    for name, field in (("grain", fields.grain), ("screen", fields.screen)):
        if field is not None:
            channels = field.reshape(-1, *field.shape[-2:])
            planes[name] = np.stack([cut(channel) for channel in channels])
    if fields.marks:
        planes |= lay_marks(fields.marks, cut)
    return planes


def lay_marks(layers: Sequence[MarkLayer], cut: Callable[[Field], Field]) -> dict[str, Field]:
    """Several layers of marks as one: opacity, ink, and the lower bound of lightening marks."""
    clear = np.ones_like(layers[0].opacity)  # what the layers above let through
    shares: list[Field] = []
    inks: list[Sequence[float]] = []
    bounds: list[Field] = []
    for layer in reversed(layers):
        if layer.blend == "lighten":
            # (max(x, L))(1 − a) + a c = max(x (1 − a) + a c, L (1 − a) + a c), a c from above it.
            above = sum(share * _column(ink) for share, ink in zip(shares, inks, strict=True))
            bounds.append(above + clear * layer.opacity * _column(layer.ink))
            continue
        shares.append(clear * layer.opacity)
        inks.append(layer.ink)
        clear = clear - shares[-1]
    planes = {}
    if shares:
        # Ink is linear in the layers' shares, so these are cut rather than the three colours.
        parts = np.stack([cut(share) for share in shares])
        planes["opacity"] = parts.sum(axis=0)[None]
        planes["ink"] = np.tensordot(np.array(inks, np.float32).T, parts, 1)
    if bounds:
        bound = np.max(bounds, axis=0)
        planes["brighter"] = np.stack([cut(channel) for channel in bound])
    return planes


def _column(colour: Sequence[float]) -> Field:
    return np.array(colour, np.float32)[:, None, None]


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
    parts = _measure_values(recipe, ratio) | _cut_planes(fields, lambda field: field)
    damage = Damage.none(1, height, width)
    for name, value in parts.items():
        getattr(damage, name)[0] = torch.tensor(value)
    kernel = None if recipe.lens is None else lens_kernel(recipe.lens, ratio)
    return damage if kernel is None else replace(damage, kernels={0: kernel})


@dataclass(frozen=True)
class PackedDamage:
    """The damage of a batch as it travels: arrays, and only of what was done at all.

    Attributes:
        num: Photographs.
        size_px: Their side.
        parts: By field of `Damage`: the places in the batch (K,) that have it, and its value
            there (K, ...).
        kernels: As in `Damage`.
    """

    num: int
    size_px: int
    parts: dict[str, tuple[NDArray[np.int64], NDArray[np.floating[Any]]]]
    kernels: dict[int, NDArray[np.float32]]

    def unpack(self, device: torch.device | str = "cpu") -> Damage:
        """The damage on a device."""
        damage = Damage.none(self.num, self.size_px, self.size_px, device)
        for name, (places, values) in self.parts.items():
            field: Tensor = getattr(damage, name)
            filled = torch.from_numpy(values).to(device).float()
            field[torch.from_numpy(places).to(device)] = filled.expand(-1, *field.shape[1:])
        kernels = {i: torch.from_numpy(kernel).to(device) for i, kernel in self.kernels.items()}
        return replace(damage, kernels=kernels)


class Damages:
    """What was done to the pairs of a build, for photographs made of them."""

    def __init__(self, builds: Builds) -> None:
        """Find the textures.

        Raises:
            DataError: If a build was made with others.
        """
        self.builds = builds
        self.textures = Textures.load()
        for reader in builds.readers:
            if not self.textures.repeats(reader.manifest.texture_digest):
                raise DataError(
                    f"{reader.path}: built with other textures than this version's, so that its "
                    "damage can't be repeated; build the pairs again, or train --without "
                    "consistency"
                )

    def load(
        self, pair_index: NDArray[np.int64], geometry: NDArray[np.int64], size_px: int
    ) -> PackedDamage:
        """The damage of a batch, followed through crop, resize and mirroring.

        Lengths shrink with the photograph, and so does the grain's strength, as its field is
        averaged.

        Args:
            pair_index: (N,) indices of pairs.
            geometry: (N, 5), see `train.data.pairs.Sample`.
            size_px: Side of the photographs.

        Raises:
            DataError: If the textures lack one.
        """
        found: dict[str, list[tuple[int, Field]]] = {}
        kernels: dict[int, NDArray[np.float32]] = {}
        boxes = zip(pair_index.tolist(), geometry.tolist(), strict=True)
        for place, (index, (left, top, right, bottom, mirrored)) in enumerate(boxes):
            recipe = self.builds.recipe(index)
            try:
                fields = render_fields(recipe, self.textures)
            except TextureError as error:
                raise DataError(f"{self.builds.name(index)}: {error}") from error
            ratio = size_px / (right - left)
            box = slice(top, bottom), slice(left, right)
            cut = partial(_cut, box=box, size_px=size_px, mirrored=bool(mirrored))
            parts = _measure_values(recipe, ratio) | _cut_planes(fields, cut)
            for name, value in parts.items():
                found.setdefault(name, []).append((place, value))
            kernel = None if recipe.lens is None else lens_kernel(recipe.lens, ratio)
            if kernel is not None:
                kernels[place] = (kernel.flip(-1) if mirrored else kernel).numpy()
        return PackedDamage(
            len(pair_index), size_px, {n: _stack(v) for n, v in found.items()}, kernels
        )


def _cut(field: Field, box: tuple[slice, slice], size_px: int, mirrored: bool) -> Field:
    part = field[box]
    if part.shape != (size_px, size_px):
        resized = cv2.resize(part, (size_px, size_px), interpolation=cv2.INTER_AREA)
        part = np.asarray(resized, np.float32)
    return part[:, ::-1] if mirrored else part


def _stack(values: list[tuple[int, Field]]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places and values; a plane of one channel gets three where others have three."""
    places, fields = zip(*values, strict=True)
    shape = np.broadcast_shapes(*(field.shape for field in fields))
    return np.array(places), np.stack([np.broadcast_to(field, shape) for field in fields])
