"""The held-out photographs that a run measures itself on: fixed, and kept in memory."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from degrade.errors import UnreadablePhoto
from train.data.batches import Batch, Columns, to_batch
from train.data.builds import Builds
from train.errors import DataError


class HeldoutLoader:
    """Fixed held-out photographs, decoded once and kept: half shrunk whole, half native crops.

    Attributes:
        indices: Of the pairs in their reader.
    """

    def __init__(
        self,
        pairs: Builds,
        num: int,
        size_px: int,
        batch: int,
        device: torch.device | None = None,
    ) -> None:
        """Decode them.

        Args:
            pairs: The held-out pairs.
            num: How many photographs; fewer if there are fewer.
            size_px: Their side.
            batch: How many come at once.
            device: Where they are delivered; by default where they are.
        """
        self._batch = batch
        self._device = device
        damaged, clean, marks = [], [], []
        indices: list[int] = []
        for index in _spread(len(pairs), num):
            try:
                pair = pairs[index]
            except UnreadablePhoto:
                continue
            cut = _cut_whole if len(indices) % 2 == 0 else _cut_native
            damaged.append(cut(pair.damaged, size_px))
            clean.append(cut(pair.clean, size_px))
            marks.append(cut(pair.marks, size_px))
            indices.append(index)
        if not indices:
            raise DataError(f"{pairs}: no held-out pairs; build more photographs")
        self.indices = indices
        self._columns = Columns(
            damaged=torch.from_numpy(np.stack(damaged)),
            clean=torch.from_numpy(np.stack(clean)),
            marks=torch.from_numpy(np.stack(marks)),
            pair_index=torch.tensor(indices),
            geometry=torch.zeros(len(indices), 5, dtype=torch.int64),
            broken=torch.full((len(indices),), -1),
        )

    def __len__(self) -> int:
        return -(-len(self.indices) // self._batch)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.indices), self._batch):
            # They are whole, and have no hints: a look draws its own.
            columns = [column for column in self._columns if column is not None]
            part = Columns(*(column[start : start + self._batch] for column in columns))
            yield to_batch(part, self._device)


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
