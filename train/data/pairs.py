"""Pairs for the trainer: clean, damaged and marks travel together through one geometric change.

What a sample is depends on (seed, stage, position in the stage) and on nothing else, so the number
of workers doesn't matter and a resumed run sees the very photographs that it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from degrade import Pair, PairReader
from degrade.errors import UnreadablePhoto
from train import parallel
from train.config import StageConfig
from train.damage.twin import Damages, PackedDamage
from train.data.augment import Regime, plan_regimes
from train.errors import DataError
from train.fastai_names import DataLoader, DataLoaders

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


Columns = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""The fields of samples, each stacked."""


def stack_samples(samples: Sequence[Sample]) -> Columns:
    """Unite samples; the photographs stay (N, S, S, 3) uint8."""
    columns = zip(*samples, strict=True)
    return tuple(torch.from_numpy(np.stack(c)) for c in columns)  # type: ignore[return-value]


def to_batch(
    columns: Columns, device: torch.device | None = None, damage: PackedDamage | None = None
) -> Batch:
    """Stacked uint8 samples to float tensors on a device, by default where they are."""
    damaged, clean, marks, *numbers = (column.to(device) for column in columns)
    damaged, clean = (p.permute(0, 3, 1, 2).float().div_(255) for p in (damaged, clean))
    pair_index, geometry, broken = numbers
    marks = marks[:, None].float().div_(255)
    return Batch(damaged, clean, marks, pair_index, geometry, damage, broken)


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
        self._regimes = plan_regimes(stage, short_px)
        self._probs = np.cumsum([regime.prob for regime in self._regimes])

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position of the stage's endless sequence."""
        return self.read([position])[0]

    def read(self, positions: Sequence[int]) -> list[Sample]:
        """The samples at some positions.

        Like work is done for all of them in a row: between two photographs that are decoded, the
        processor forgets the code of everything else, which then takes four times as long.
        """
        rngs = [np.random.default_rng([self._seed, self._stage_number, p]) for p in positions]
        regimes = [self._draw_regime(rng) for rng in rngs]
        drawn = zip(positions, regimes, rngs, strict=True)
        read = [self._read_pair(self._pick(p), regime.reduce, rng) for p, regime, rng in drawn]
        samples = []
        for (index, pair, broken), regime, rng in zip(read, regimes, rngs, strict=True):
            photos = regime.apply(pair, rng)
            samples.append(Sample(*photos[:3], np.int64(index), photos[3], np.int64(broken)))
        return samples

    def _draw_regime(self, rng: np.random.Generator) -> Regime:
        return self._regimes[int(np.searchsorted(self._probs[:-1], rng.random(), side="right"))]

    def _read_pair(
        self, first: int, reduce: int, rng: np.random.Generator
    ) -> tuple[int, Pair, int]:
        """A pair, or if it is broken another: its index, the pair, and the broken one's or -1."""
        index, broken = first, -1
        for _ in range(_MAX_BROKEN_IN_A_ROW):
            try:
                return index, self.reader.read(index, reduce), broken
            except UnreadablePhoto:
                broken = first
                index = int(rng.integers(len(self.reader)))
        raise DataError(
            f"{self.reader.path}: {_MAX_BROKEN_IN_A_ROW} broken samples in a row; "
            "run degrade verify"
        )

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


class _Slots:
    """Memory in which workers leave photographs for the trainer, so that none are sent.

    To hand a tensor over, PyTorch maps new memory for each: that costs more than half as much as
    decoding the photographs in it. These slots are mapped once in a pass. A worker fills its own
    in turn, and there are enough of them: it may be `num_ahead` batches ahead, besides the one
    that the trainer is reading.
    """

    def __init__(self, num_workers: int, num_ahead: int, batch: int, size_px: int) -> None:
        shape = (num_workers, num_ahead + 2, batch, size_px, size_px)
        self.damaged, self.clean, self.marks = (
            torch.empty(*shape, *channels, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
            for channels in ((3,), (3,), ())
        )
        self._turn = 0

    def fill(self, worker: int, columns: Sequence[Sequence[NDArray[np.uint8]]]) -> tuple[int, int]:
        """Copy a batch's photographs into a worker's next slot, and say which that is."""
        place = worker, self._turn % self.damaged.shape[1]
        self._turn += 1
        for slot, column in zip(self.read(place), columns, strict=True):
            np.stack(column, out=slot.numpy())
        return place

    def read(self, place: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """The photographs of a slot, which will be overwritten."""
        return self.damaged[place], self.clean[place], self.marks[place]


class PairLoader(DataLoader):  # type: ignore[misc]  # fastai ships no types
    """fastai's loader over this process's positions of a stage, from `step` on.

    Attributes:
        step: Step of the stage that the next pass begins with.
        damages: Where to get what was done to the photographs, if batches should bring it along.
    """

    def __init__(self, pairs: StagePairs, batch: int, num_steps: int, num_workers: int):
        share = parallel.share_batch(batch)
        super().__init__(
            pairs, bs=share, num_workers=num_workers, n=share * num_steps, drop_last=True
        )
        self.step = 0
        self.damages: Damages | None = None
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
            self._slots = _Slots(
                source.num_workers, source.prefetch_factor, self.bs, self.dataset.stage.size_px
            )

    def wif(self) -> None:
        """One thread in each worker: the trainer needs the cores."""
        cv2.setNumThreads(0)

    def create_item(self, position: int) -> int:
        """Leave the reading to `create_batch`."""
        return position

    def create_batch(self, positions: list[int]) -> tuple[Any, ...]:
        """Read and stack the samples; small arrays travel faster than small tensors."""
        samples = self.dataset.read(positions)
        damaged, clean, marks, *rest = zip(*samples, strict=True)
        numbers = [np.stack(column) for column in rest]
        damage = None
        if self.damages is not None:
            pair_index, geometry, _ = numbers
            damage = self.damages.load(pair_index, geometry, self.dataset.stage.size_px)
        worker = get_worker_info()
        if worker is None or self._slots is None:
            photos: Any = [np.stack(column) for column in (damaged, clean, marks)]
        else:
            photos = self._slots.fill(worker.id, (damaged, clean, marks))
        return photos, numbers, damage

    def retain(self, batch: tuple[Any, ...], positions: list[int]) -> tuple[Any, ...]:
        """Leave the types as they are."""
        return batch

    def after_batch(self, batch: tuple[Any, ...]) -> tuple[Any, ...]:
        """A `Batch` as a plain tuple, since fastai can't move named ones."""
        photos, numbers, damage = batch
        if isinstance(photos, tuple):
            assert self._slots is not None
            photos = self._slots.read(photos)
        columns = tuple(map(torch.as_tensor, (*photos, *numbers)))
        return tuple(to_batch(columns, self.device, damage))  # type: ignore[arg-type]  # six


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
            yield to_batch(part)  # type: ignore[arg-type]  # six

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
