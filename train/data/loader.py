"""The loader of a stage: worker processes read its pairs, and batches come out in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from train import parallel
from train.damage.twin import Damages, PackedDamage
from train.data.batches import Columns, stack_looks, stack_samples, to_batch
from train.data.pairs import Sample, StagePairs
from train.fastai_names import DataLoader


@dataclass(frozen=True)
class _Place:
    """Where a worker left a batch's photographs."""

    worker: int
    slot: int


class _Slots:
    """Memory in which workers leave photographs for the trainer, so that none are sent.

    To hand a tensor over, PyTorch maps new memory for each: that costs more than half as much as
    decoding the photographs in it. These slots are mapped once in a pass. A worker fills its own
    in turn, and there are enough of them: it may be `num_ahead` batches ahead, besides the one
    that the trainer is reading.
    """

    def __init__(
        self, num_workers: int, num_ahead: int, batch: int, size_px: int, *, has_hints: bool
    ) -> None:
        shape = (num_workers, num_ahead + 2, batch, size_px, size_px)
        self.damaged, self.clean, self.marks = (
            torch.empty(*shape, *channels, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
            for channels in ((3,), (3,), ())
        )
        self.hints: Tensor | None = None
        if has_hints:
            self.hints = torch.empty(*shape, 3, dtype=torch.int8).share_memory_()  # type: ignore[no-untyped-call]
        self._turn = 0

    def fill(self, worker: int, samples: Sequence[Sample]) -> _Place:
        """Copy a batch's photographs into a worker's next slot, and say which that is."""
        place = _Place(worker, self._turn % self.damaged.shape[1])
        self._turn += 1
        damaged, clean, marks, hints = self.read(place)
        np.stack([sample.damaged for sample in samples], out=damaged.numpy())
        np.stack([sample.clean for sample in samples], out=clean.numpy())
        np.stack([sample.marks for sample in samples], out=marks.numpy())
        if hints is not None:
            painted = [sample.hints for sample in samples if sample.hints is not None]
            np.stack(painted, out=hints.numpy())
        return place

    def read(self, place: _Place) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Damaged, clean, marks and hints, if any, of a slot, which will be overwritten."""
        at = place.worker, place.slot
        hints = None if self.hints is None else self.hints[at]
        return self.damaged[at], self.clean[at], self.marks[at], hints


@dataclass(frozen=True)  # fastai would take a tuple apart
class _Parcel:
    """A batch on its way from where it was read; small arrays travel faster than small tensors.

    Attributes:
        photos: Damaged, clean, marks and hints, if any; or the slot where a worker left them.
        pair_index: (N,) int64.
        geometry: (N, 5) int64.
        broken: (N,) int64.
        damage: What was done to the photographs, if that was asked for.
        looks: Of the wholes, and where they lie in them, if that was asked for.
    """

    photos: (
        tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int8] | None]
        | _Place
    )
    pair_index: NDArray[np.int64]
    geometry: NDArray[np.int64]
    broken: NDArray[np.int64]
    damage: PackedDamage | None
    looks: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None


class PairLoader(DataLoader):  # type: ignore[misc]  # fastai ships no types
    """fastai's loader over this process's positions of a stage, from `step` on.

    Attributes:
        step: Step of the stage that the next pass begins with.
        damages: Where to get what was done to the photographs, if batches should bring it along.
        n_inp: How many fields of a batch fastai gives to the network.
    """

    def __init__(
        self,
        pairs: StagePairs,
        batch: int,
        num_steps: int,
        num_workers: int,
        damages: Damages | None = None,
    ) -> None:
        """Plan the passes.

        Args:
            pairs: Of the stage.
            batch: Photographs a step, over all processes of the run.
            num_steps: Steps of one pass, fastai's epoch.
            num_workers: Processes that read.
            damages: See the class.
        """
        share = parallel.share_batch(batch)
        super().__init__(
            pairs, bs=share, num_workers=num_workers, n=share * num_steps, drop_last=True
        )
        self.step = 0
        self.damages = damages
        self.n_inp = 1
        self._slots: _Slots | None = None

    def get_idxs(self) -> range:
        """Positions of one pass; of each batch, every process takes each count-th."""
        num = parallel.count()
        first = self.step * self.bs * num + parallel.get_rank()
        return range(first, first + self.n * num, num)

    def before_iter(self) -> None:
        """Give the pass slots of its own: workers of the last one may still be at work."""
        source = self.fake_l
        if source.num_workers:
            stage = self.dataset.stage
            self._slots = _Slots(
                source.num_workers, source.prefetch_factor, self.bs, stage.size_px,
                has_hints=stage.is_color,
            )  # fmt: skip

    def wif(self) -> None:
        """One thread in each worker: the trainer needs the cores."""
        cv2.setNumThreads(0)

    def create_item(self, position: int) -> int:
        """Leave the reading to `create_batch`."""
        return position

    def create_batch(self, positions: list[int]) -> _Parcel:
        """Read and stack the samples."""
        samples = self.dataset.read(positions)
        pair_index = np.stack([sample.pair_index for sample in samples])
        geometry = np.stack([sample.geometry for sample in samples])
        damage = None
        if self.damages is not None:
            damage = self.damages.load(pair_index, geometry, self.dataset.stage.size_px)
        worker = get_worker_info()
        if worker is None or self._slots is None:
            columns = stack_samples(samples)
            hints = None if columns.hints is None else columns.hints.numpy()
            arrays = columns.damaged.numpy(), columns.clean.numpy(), columns.marks.numpy()
            photos: Any = (*arrays, hints)
        else:
            photos = self._slots.fill(worker.id, samples)
        broken = np.stack([sample.broken for sample in samples])
        return _Parcel(photos, pair_index, geometry, broken, damage, stack_looks(samples))

    def retain(self, parcel: _Parcel, positions: list[int]) -> _Parcel:
        """Leave the types as they are."""
        return parcel

    def after_batch(self, parcel: _Parcel) -> tuple[Any, ...]:
        """A `Batch` as a plain tuple, since fastai can't move named ones; see `NameBatch`."""
        photos: tuple[Any, ...]
        if isinstance(parcel.photos, _Place):
            assert self._slots is not None
            photos = self._slots.read(parcel.photos)
        else:
            photos = parcel.photos
        *arrays, hints = photos
        arrays = [*arrays, parcel.pair_index, parcel.geometry, parcel.broken]
        columns = Columns(*map(torch.as_tensor, arrays))
        if hints is not None:
            columns = columns._replace(hints=torch.as_tensor(hints))
        if parcel.looks is not None:
            looks, boxes = map(torch.as_tensor, parcel.looks)
            columns = columns._replace(looks=looks, boxes=boxes)
        return tuple(to_batch(columns, self.device, parcel.damage))
