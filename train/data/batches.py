"""Samples united into batches: as bytes while they travel, as fractions where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.damage.twin import PackedDamage
from train.data.pairs import Sample


class Columns(NamedTuple):
    """The fields of several samples, each stacked.

    Attributes:
        damaged: (N, S, S, 3) uint8 RGB.
        clean: (N, S, S, 3) uint8 RGB.
        marks: (N, S, S) uint8.
        pair_index: (N,) int64, see `train.data.pairs.Sample`.
        geometry: (N, 5) int64.
        broken: (N,) int64.
    """

    damaged: Tensor
    clean: Tensor
    marks: Tensor
    pair_index: Tensor
    geometry: Tensor
    broken: Tensor


class Batch(NamedTuple):
    """A batch on the device where it is trained on.

    Attributes:
        damaged: (N, 3, S, S) float32 RGB in [0, 1], channels-last.
        clean: (N, 3, S, S) likewise.
        marks: (N, 1, S, S) float32 in [0, 1].
        pair_index: (N,) int64, see `train.data.pairs.Sample`.
        geometry: (N, 5) int64.
        damage: What was done to the photographs, where the loader was asked for it.
        broken: (N,) int64.
    """

    damaged: Tensor
    clean: Tensor
    marks: Tensor
    pair_index: Tensor
    geometry: Tensor
    damage: PackedDamage | None
    broken: Tensor


def stack_samples(samples: Sequence[Sample]) -> Columns:
    """Unite samples; the photographs stay uint8."""
    return Columns(*(torch.from_numpy(np.stack(c)) for c in zip(*samples, strict=True)))


def to_batch(
    columns: Columns, device: torch.device | None = None, damage: PackedDamage | None = None
) -> Batch:
    """Stacked uint8 samples to float tensors on a device, by default where they are."""
    return Batch(
        damaged=_to_fractions(columns.damaged.to(device).permute(0, 3, 1, 2)),
        clean=_to_fractions(columns.clean.to(device).permute(0, 3, 1, 2)),
        marks=_to_fractions(columns.marks.to(device)[:, None]),
        pair_index=columns.pair_index.to(device),
        geometry=columns.geometry.to(device),
        damage=damage,
        broken=columns.broken.to(device),
    )


def _to_fractions(photos: Tensor) -> Tensor:
    return photos.float().div_(255)
