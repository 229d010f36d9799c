"""Damage consistency: the restored photograph, damaged again by its own recipe, is the input.

The re-damaged output carries the very grain and marks of the input, so the loss cannot be won by
leaving them in, and where the damage hides the photograph (under opaque marks, in clipped tones) it
asks for nothing.
"""

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from degrade import PairReader
from degrade.errors import TextureError
from restore.redamage import Damage, redamage
from train.damage import collate_damage, damage_of, find_textures, lens_kernel
from train.errors import DataError
from train.fastai_names import Callback
from train.losses import FidelityLoss, charbonnier

_FIELDS = (
    "fall_off", "grain", "screen", "picture", "print_area", "age", "opacity", "ink", "brighter",
)  # fmt: skip


def crop_damage(damage: Damage, geometry: list[int], size_px: int) -> Damage:
    """Follow a photograph through its crop, resize and mirroring.

    Args:
        damage: Of one whole pair.
        geometry: Left, top, right, bottom of the crop in px, and 1 if it is mirrored.
        size_px: Side to which the crop is resized.

    Returns:
        A damage of size_px × size_px. Lengths shrink with the photograph, and so does the grain's
        strength, as its field is averaged; kernels are left to the caller, who knows the recipe.
    """
    left, top, right, bottom, mirrored = geometry
    changed: dict[str, Tensor] = {}
    for name in _FIELDS:
        field: Tensor = getattr(damage, name)[:, :, top:bottom, left:right]
        if field.shape[-2:] != (size_px, size_px):
            field = F.interpolate(field, size=(size_px, size_px), mode="area")
        changed[name] = field.flip(-1) if mirrored else field
    scale = size_px / max(right - left, 1)
    return replace(damage, **changed, sigma_px=damage.sigma_px * scale, kernels={})


def measure_consistency(restored: Tensor, damaged: Tensor, damage: Damage) -> Tensor:
    """Mean Charbonnier distance of the output, damaged again, from the input.

    Args:
        restored: (N, 3, H, W) RGB; clipped to [0, 1].
        damaged: (N, 3, H, W), the input.
        damage: Of the same batch.
    """
    return charbonnier(redamage(restored.clamp(0, 1), damage) - damaged).mean()


class Consistency(Callback):  # type: ignore[misc]  # fastai ships no types
    """Adds the damage consistency of each batch to the generator's loss."""

    order = 8
    run_valid = False

    def __init__(self, reader: PairReader) -> None:
        self.reader = reader
        textures = find_textures(reader)
        if textures is None:
            raise DataError(
                f"{reader.path}: built with other textures than this version's, so that its damage "
                "can't be repeated; build the pairs again, or train --without consistency"
            )
        self.textures = textures

    def load_damage(self, pair_index: Tensor, geometry: Tensor, size_px: int) -> Damage:
        """The damage of a batch.

        Args:
            pair_index: (N,) indices of pairs.
            geometry: (N, 5), see `train.data.Sample`.
            size_px: Side of the photographs of the batch.
        """
        damages = []
        for index, place in zip(pair_index.tolist(), geometry.tolist(), strict=True):
            recipe = self.reader.recipe(index)
            try:
                whole = damage_of(recipe, self.textures)
            except TextureError as error:
                raise DataError(f"{self.reader.path}: {error}") from error
            damage = crop_damage(whole, place, size_px)
            if recipe.lens is not None and whole.kernels:
                kernel = lens_kernel(recipe.lens, size_px / max(place[2] - place[0], 1))
                if kernel is not None:
                    kernels = {0: kernel.flip(-1) if place[4] else kernel}
                    damage = replace(damage, kernels=kernels)
            damages.append(damage)
        return collate_damage(damages)

    def after_loss(self) -> None:
        """Add the term."""
        loss: FidelityLoss = self.loss_func
        restored, damaged = self.pred[0], self.x
        _, _, pair_index, geometry, _ = self.y
        damage = self.load_damage(pair_index, geometry, damaged.shape[-1]).to(damaged.device)
        value = measure_consistency(restored, damaged, damage)
        self.learn.loss_grad += loss.weigh("consistency", value)
        self.learn.loss = self.loss_grad.detach().clone()
