"""Samples united into batches: as bytes while they travel, as fractions where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.damage.twin import PackedDamage
from train.data.hints import NUM_LEVELS
from train.data.pairs import Sample
from train.network.generator import Look


class Columns(NamedTuple):
    """The fields of several samples, each stacked.

    Attributes:
        damaged: (N, S, S, 3) uint8 RGB.
        clean: (N, S, S, 3) uint8 RGB.
        marks: (N, S, S) uint8.
        pair_index: (N,) int64, see `train.data.pairs.Sample`.
        geometry: (N, 5) int64.
        broken: (N,) int64.
        hints: (N, S, S, 3) int8, see `train.data.hints.paint_hints`; in colour stages only.
        looks: (2, N, L, L, 3) uint8, the wholes that the samples are parts of, damaged and clean,
            where that was asked for.
        boxes: (N, 4) float32, where in them they lie, see `train.data.pairs.WholeLook`.
    """

    damaged: Tensor
    clean: Tensor
    marks: Tensor
    pair_index: Tensor
    geometry: Tensor
    broken: Tensor
    hints: Tensor | None = None
    looks: Tensor | None = None
    boxes: Tensor | None = None


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
        hints: (N, 3, S, S) float32: Cb and Cr, and 1 where there is a hint; in colour stages only.
        look: The damaged wholes that the samples are parts of, where that was asked for.
        clean_look: (N, 3, L, L), the clean ones.
    """

    damaged: Tensor
    clean: Tensor
    marks: Tensor
    pair_index: Tensor
    geometry: Tensor
    damage: PackedDamage | None
    broken: Tensor
    hints: Tensor | None = None
    look: Look | None = None
    clean_look: Tensor | None = None


def stack_samples(samples: Sequence[Sample]) -> Columns:
    """Unite samples; the photographs stay uint8."""
    *columns, hints, _ = zip(*samples, strict=True)
    stacked = Columns(*(torch.from_numpy(np.stack(column)) for column in columns))
    if hints[0] is not None:
        stacked = stacked._replace(hints=torch.from_numpy(np.stack(hints)))
    looks = stack_looks(samples)
    if looks is None:
        return stacked
    return stacked._replace(looks=torch.from_numpy(looks[0]), boxes=torch.from_numpy(looks[1]))


def stack_looks(
    samples: Sequence[Sample],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """The looks at the wholes of samples, and where they lie in them; see `Columns`."""
    looks = [sample.look for sample in samples if sample.look is not None]
    if not looks:
        return None
    photos = [[look.damaged for look in looks], [look.clean for look in looks]]
    return np.array(photos, np.uint8), np.stack([look.box for look in looks])


def to_batch(
    columns: Columns, device: torch.device | None = None, damage: PackedDamage | None = None
) -> Batch:
    """Stacked uint8 samples to float tensors on a device, by default where they are."""
    look = clean_look = None
    if columns.looks is not None and columns.boxes is not None:
        seen, clean_look = _to_fractions(columns.looks.to(device).permute(0, 1, 4, 2, 3))
        look = Look(seen, columns.boxes.to(device))
    return Batch(
        damaged=_to_fractions(columns.damaged.to(device).permute(0, 3, 1, 2)),
        clean=_to_fractions(columns.clean.to(device).permute(0, 3, 1, 2)),
        marks=_to_fractions(columns.marks.to(device)[:, None]),
        pair_index=columns.pair_index.to(device),
        geometry=columns.geometry.to(device),
        damage=damage,
        broken=columns.broken.to(device),
        hints=None if columns.hints is None else unpack_hints(columns.hints.to(device)),
        look=look,
        clean_look=clean_look,
    )


def unpack_hints(painted: Tensor) -> Tensor:
    """Hints (N, S, S, 3) as `train.data.hints.paint_hints` paints them to (N, 3, S, S) float32."""
    hints = painted.permute(0, 3, 1, 2).float()
    hints[:, :2] /= NUM_LEVELS
    return hints


def _to_fractions(photos: Tensor) -> Tensor:
    return photos.float().div_(255)
