"""All that was measured of a set of restored photographs, summed up over any draw of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.measure import metrics
from train.measure.impressions import CleanPhoto, Impression, ImpressionSet
from train.measure.pair import measure_pair, summarise_totals


class MeasuredPhoto(NamedTuple):
    """What was measured of one restored photograph.

    Attributes:
        values: As `measure_pair` returns them, and further ones.
        scores: (2, 256), its `count_scores`.
        impression: What it adds to the measures of a set.
    """

    values: dict[str, float]
    scores: Tensor
    impression: Impression


class MeasuredSet:
    """Photographs restored by one method."""

    def __init__(self, photos: Sequence[MeasuredPhoto]) -> None:
        """Gather them; at least one. Values that some photographs lack are left out."""
        values = [photo.values for photo in photos]
        self._names = [name for name in values[0] if all(name in row for row in values)]
        self._values = np.array([[row[name] for name in self._names] for row in values], np.float64)
        self._scores = torch.stack([photo.scores for photo in photos])
        self._impressions = ImpressionSet([photo.impression for photo in photos])

    def __len__(self) -> int:
        return len(self._values)

    def summarise_photos(self, drawn: Sequence[int] | None = None) -> dict[str, float]:
        """Means over the photographs of these numbers, which may repeat; None takes all."""
        counts = np.bincount(np.arange(len(self)) if drawn is None else drawn, minlength=len(self))
        totals = dict(zip(self._names, (counts @ self._values).tolist(), strict=True))
        scores = torch.einsum("n,nkl->kl", torch.from_numpy(counts).double(), self._scores)
        means = summarise_totals(totals, int(counts.sum()))
        return means | {"marks_ap": metrics.summarise_ap(scores)}

    def summarise(self, drawn: Sequence[int] | None = None) -> dict[str, float]:
        """Likewise, and what the photographs look like as a set."""
        return self.summarise_photos(drawn) | self._impressions.summarise(drawn)


def measure_photo(
    damaged: Tensor, restored: Tensor, found: Tensor, clean: CleanPhoto, marks: Tensor
) -> MeasuredPhoto:
    """Measure one restored photograph; the arguments are those of `measure_pair`."""
    return MeasuredPhoto(
        measure_pair(damaged, restored, found, clean.photo, marks),
        metrics.count_scores(found, marks),
        clean.compare(restored),
    )
