"""Damages of several photographs as one batch."""

from collections.abc import Sequence
from dataclasses import fields

import torch
from torch import Tensor

from train.damage.stages import Damage


def collate_damage(damages: Sequence[Damage]) -> Damage:
    """Unite damages of the same size into one batch."""
    values: dict[str, Tensor | dict[int, Tensor]] = {}
    for f in fields(Damage):
        if f.name != "kernels":
            values[f.name] = torch.cat([getattr(damage, f.name) for damage in damages])
    kernels, start = {}, 0
    for damage in damages:
        for i, kernel in damage.kernels.items():
            kernels[start + i] = kernel
        start += damage.matrix.shape[0]
    values["kernels"] = kernels
    return Damage(**values)  # type: ignore[arg-type]  # one value per field, by construction
