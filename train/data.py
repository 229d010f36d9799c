"""Pairs for the trainer: clean, damaged and marks travel together through one geometric change.

What a sample is depends on (seed, stage, position in the stage) and on nothing else, so the number
of workers doesn't matter and a resumed run sees the very photographs that it would have seen.

The network is run twice on a photograph, on a reduced copy and at native resolution; so it must
learn from both: photographs shrunk nearly whole, and crops whose pixels are untouched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade import PairReader
from degrade.errors import UnreadablePhoto
from train import parallel
from train.config import StageConfig
from train.errors import DataError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it calls a package index at import

import albumentations as A

from train.fastai_names import DataLoader, DataLoaders

# A whole photograph keeps at least this part of its area, so that its frame is seen at times.
_WHOLE_MIN_FRAC = 0.64
# Sides of a crop; the sources' own sides were squashed by about this much.
_ASPECT_RANGE = (0.8, 1.25)
_MAX_BROKEN_IN_A_ROW = 50


class Sample(NamedTuple):
    """One augmented pair.

    Attributes:
        damaged: (S, S, 3) uint8 RGB.
        clean: (S, S, 3) uint8 RGB.
        marks: (S, S) uint8 opacity of the marks.
        pair_index: Of the pair in its reader, where its recipe is.
        geometry: (5,) int64: left, top, right, bottom of the crop in pixels of the pair, and 1 if
            the crop, resized to S px, was mirrored.
        broken: Index of an unreadable pair that this one stands in for, or -1.
    """

    damaged: NDArray[np.uint8]
    clean: NDArray[np.uint8]
    marks: NDArray[np.uint8]
    pair_index: np.int64
    geometry: NDArray[np.int64]
    broken: np.int64


class Batch(NamedTuple):
    """A batch as the learner gets it; the first is the network's input, the rest the targets.

    Attributes:
        damaged: (N, 3, S, S) float32 RGB in [0, 1], channels-last.
        clean: (N, 3, S, S) likewise.
        marks: (N, 1, S, S) float32 in [0, 1].
        pair_index: (N,) int64, see `Sample`.
        geometry: (N, 5) int64.
        broken: (N,) int64.
    """

    damaged: Tensor
    clean: Tensor
    marks: Tensor
    pair_index: Tensor
    geometry: Tensor
    broken: Tensor


def to_batch(samples: tuple[Tensor, ...]) -> Batch:
    """Collated uint8 samples to float tensors, on the device where they are."""
    damaged, clean, marks, pair_index, geometry, broken = samples
    damaged, clean = (p.permute(0, 3, 1, 2).float().div_(255) for p in (damaged, clean))
    return Batch(damaged, clean, marks[:, None].float().div_(255), pair_index, geometry, broken)


@dataclass(frozen=True)
class _Chain:
    """A fixed chain of albumentations and the part of draws that it serves."""

    compose: A.Compose
    resizes: bool


def _build_chain(size_px: int, min_area_frac: float | None) -> _Chain:
    """Crop of at least `min_area_frac` of the area resized to size_px; None: native pixels."""
    steps: list[Any]
    if min_area_frac is None:
        steps = [A.RandomCrop(height=size_px, width=size_px)]
    else:
        steps = [
            A.RandomResizedCrop(
                size=(size_px, size_px),
                scale=(min_area_frac, 1.0),
                ratio=_ASPECT_RANGE,
                interpolation=cv2.INTER_AREA,
                mask_interpolation=cv2.INTER_AREA,
            )
        ]
    # Mirrored, not turned: people stand upright, and colour is learned from what stands where.
    steps.append(A.HorizontalFlip(p=0.5))
    compose = A.Compose(
        steps, additional_targets={"damaged": "image"}, seed=0, save_applied_params=True
    )
    return _Chain(compose, min_area_frac is not None)


class StagePairs:
    """The augmented pairs of one stage by position: position 0 is the stage's first photograph."""

    def __init__(self, reader: PairReader, stage: StageConfig, seed: int, stage_number: int):
        if len(reader) == 0:
            raise DataError("no pairs to train on; build more photographs")
        self.reader = reader
        self.stage = stage
        self._seed = seed
        self._stage_number = stage_number
        self._order: tuple[int, NDArray[np.int64]] | None = None
        short_px = _measure_short_side(reader)
        if short_px < stage.size_px:
            raise DataError(
                f"{reader.path}: pairs of {short_px} px, but a stage trains on {stage.size_px} px; "
                f"build with --size {stage.size_px} or choose another preset"
            )
        between = min(_WHOLE_MIN_FRAC, (stage.size_px / short_px) ** 2)
        self._chains = [_build_chain(stage.size_px, a) for a in (_WHOLE_MIN_FRAC, None, between)]

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position of the stage's endless sequence."""
        rng = np.random.default_rng([self._seed, self._stage_number, position])
        first = self._pick(position)
        index, pair, broken = first, None, -1
        for _ in range(_MAX_BROKEN_IN_A_ROW):
            try:
                pair = self.reader[index]
                break
            except UnreadablePhoto:
                broken = first
                index = int(rng.integers(len(self.reader)))
        if pair is None:
            raise DataError(
                f"{self.reader.path}: {_MAX_BROKEN_IN_A_ROW} broken samples in a row; "
                "run degrade verify"
            )
        chain = self._chains[self._draw_chain(rng)]
        chain.compose.set_random_seed(int(rng.integers(2**31)))
        changed = chain.compose(image=pair.clean, damaged=pair.damaged, mask=pair.marks)
        return Sample(
            damaged=np.ascontiguousarray(changed["damaged"]),
            clean=np.ascontiguousarray(changed["image"]),
            marks=np.ascontiguousarray(changed["mask"]),
            pair_index=np.int64(index),
            geometry=_find_geometry(changed["applied_transforms"]),
            broken=np.int64(broken),
        )

    def _draw_chain(self, rng: np.random.Generator) -> int:
        draw = float(rng.random())
        if draw < self.stage.whole_prob:
            return 0
        return 1 if draw < self.stage.whole_prob + self.stage.native_prob else 2

    def _pick(self, position: int) -> int:
        """Every pair once before any comes again, in an order of its own each time."""
        epoch, offset = divmod(position, len(self.reader))
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([self._seed, self._stage_number, 2**31, epoch])
            self._order = (epoch, rng.permutation(len(self.reader)))
        return int(self._order[1][offset])


def _measure_short_side(reader: PairReader) -> int:
    for index in range(len(reader)):
        try:
            return min(reader[index].clean.shape[:2])
        except UnreadablePhoto:
            continue
    raise DataError(f"{reader.path}: no sample can be read; run degrade verify")


def _find_geometry(applied: list[tuple[str, dict[str, Any]]]) -> NDArray[np.int64]:
    steps = dict(applied)
    crop = steps.get("RandomResizedCrop", steps.get("RandomCrop", {}))
    return np.array([*crop["crop_coords"], "HorizontalFlip" in steps], dtype=np.int64)


class PairLoader(DataLoader):  # type: ignore[misc]  # fastai ships no types
    """fastai's loader over this process's positions of a stage, from `step` on.

    Attributes:
        step: Step of the stage that the next pass begins with.
    """

    def __init__(self, pairs: StagePairs, batch: int, num_steps: int, num_workers: int):
        share = parallel.share_batch(batch)
        super().__init__(
            pairs, bs=share, num_workers=num_workers, n=share * num_steps, drop_last=True
        )
        self.step = 0
        self.n_inp = 1

    def get_idxs(self) -> range:
        """Positions of one pass; of each batch, every process takes each count-th."""
        num = parallel.count()
        first = self.step * self.bs * num + parallel.get_rank()
        return range(first, first + self.n * num, num)

    def wif(self) -> None:
        """One thread in each worker: the trainer needs the cores."""
        cv2.setNumThreads(0)

    def create_batch(self, samples: list[Sample]) -> tuple[Tensor, ...]:
        """Stack the samples; fastai's own collation can't build named tuples."""
        return tuple(torch.from_numpy(np.stack(column)) for column in zip(*samples, strict=True))

    def retain(self, batch: tuple[Tensor, ...], samples: list[Sample]) -> tuple[Tensor, ...]:
        """Leave the types as they are."""
        return batch

    def after_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """A `Batch` as a plain tuple, since fastai can't move named ones."""
        return tuple(to_batch(batch))


class HeldoutLoader:
    """Fixed held-out photographs, decoded once and kept: half shrunk whole, half native crops.

    Attributes:
        indices: Of the pairs in their reader.
    """

    def __init__(self, reader: PairReader, num: int, size_px: int, batch: int):
        self.n_inp = 1
        self.device: torch.device | None = None
        self._batch = batch
        damaged, clean, marks = [], [], []
        indices: list[int] = []
        for index in _spread(len(reader), num):
            try:
                pair = reader[index]
            except UnreadablePhoto:
                continue
            cut = _cut_whole if len(indices) % 2 == 0 else _cut_native
            damaged.append(cut(pair.damaged, size_px))
            clean.append(cut(pair.clean, size_px))
            marks.append(cut(pair.marks, size_px))
            indices.append(index)
        if not indices:
            raise DataError(f"{reader.path}: no held-out pairs; build more photographs")
        self.indices = indices
        rest = (torch.tensor(indices), torch.zeros(len(indices), 5, dtype=torch.int64))
        arrays = [torch.from_numpy(np.stack(a)) for a in (damaged, clean, marks)]
        self._samples = (*arrays, *rest, torch.full((len(indices),), -1))

    def __len__(self) -> int:
        return -(-len(self.indices) // self._batch)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.indices), self._batch):
            part = tuple(s[start : start + self._batch].to(self.device) for s in self._samples)
            yield to_batch(part)

    def to(self, device: torch.device) -> None:
        """Deliver to this device from now on."""
        self.device = device


def _spread(total: int, num: int) -> list[int]:
    """Up to `num` indices spread over `total`."""
    num = min(total, num)
    return [i * total // num for i in range(num)]


def _cut_whole(photo: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    side = min(photo.shape[:2])
    square = _cut_native(photo, side)
    resized = cv2.resize(square, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def _cut_native(photo: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    side = min(size_px, *photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    cut = photo[top : top + side, left : left + side]
    if side == size_px:
        return cut
    resized = cv2.resize(cut, (size_px, size_px), interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def build_loaders(
    pairs: StagePairs,
    heldout: HeldoutLoader,
    *,
    num_steps: int,
    batch: int,
    num_workers: int,
    device: torch.device,
) -> DataLoaders:
    """DataLoaders of a stage: training pairs, and the fixed held-out photographs.

    Args:
        pairs: Of the stage.
        heldout: Measured on after every `num_steps` steps.
        num_steps: Steps of one pass, fastai's epoch.
        batch: Photographs a step, over all processes of the run.
        num_workers: Processes that read.
        device: Where batches go.
    """
    loader = PairLoader(pairs, batch, num_steps, num_workers)
    return DataLoaders(loader, heldout, device=device)
