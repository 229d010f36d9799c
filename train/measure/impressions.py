"""What sets of restored photographs look like: their hues, colourfulness, distance from clean ones.

One photograph says little of these: an `Impression` keeps what it adds, and an `ImpressionSet` sums
up any draw of photographs, so that intervals can be had by bootstrap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.measure import hues
from train.measure.classifier import Judge, average_features, measure_feature_distance
from train.measure.distances import compare_by_kernel, measure_frechet, summarise_kid
from train.measure.metrics import measure_colorfulness

_PERCENTILES = (10, 50, 90)


class Impression(NamedTuple):
    """What one restored photograph adds.

    Attributes:
        hues: (24,), its `count_hues`.
        true_hues: (24,), of the clean photograph.
        leak: (4,), its `count_leak`.
        colorfulness: Of the restored photograph.
        vector: (304,), its averaged features; None without a classifier.
        true_vector: Likewise, of the clean photograph.
        feature_distance: Of both; None without a classifier.
    """

    hues: Tensor
    true_hues: Tensor
    leak: Tensor
    colorfulness: float
    vector: Tensor | None = None
    true_vector: Tensor | None = None
    feature_distance: float | None = None


class CleanPhoto:
    """A clean photograph and what is seen in it, for comparison with several restorations of it."""

    def __init__(self, photo: Tensor, judge: Judge | None) -> None:
        """Look at it once.

        Args:
            photo: (1, 3, H, W) in [0, 1].
            judge: Who looks; None leaves out what needs a classifier.
        """
        self.photo = photo
        self._judge = judge
        self._hues = hues.count_hues(photo)[0]
        self._features = judge.look(photo) if judge else []

    def compare(self, restored: Tensor) -> Impression:
        """What a restoration (1, 3, H, W) of it adds."""
        impression = Impression(
            hues.count_hues(restored)[0],
            self._hues,
            hues.count_leak(restored, self.photo)[0],
            float(measure_colorfulness(restored)),
        )
        if self._judge is None:
            return impression
        features = self._judge.look(restored)
        return impression._replace(
            vector=average_features(features)[0],
            true_vector=average_features(self._features)[0],
            feature_distance=float(measure_feature_distance(features, self._features)),
        )


class ImpressionSet:
    """Impressions of many photographs, restored by one method."""

    def __init__(self, impressions: Sequence[Impression]) -> None:
        """Gather them; at least one."""
        self._hues = torch.stack([i.hues for i in impressions])
        self._true_hues = torch.stack([i.true_hues for i in impressions])
        self._leak = torch.stack([i.leak for i in impressions])
        self._colorfulness = np.array([i.colorfulness for i in impressions])
        self._distances = torch.tensor(
            [i.feature_distance for i in impressions if i.feature_distance is not None]
        ).double()
        vectors = [i.vector for i in impressions if i.vector is not None]
        true_vectors = [i.true_vector for i in impressions if i.true_vector is not None]
        self._is_judged = len(vectors) == len(impressions)
        if self._is_judged:
            self._vectors, self._true_vectors = torch.stack(vectors), torch.stack(true_vectors)
            self._terms = compare_by_kernel(self._vectors, self._true_vectors)

    def __len__(self) -> int:
        return len(self._hues)

    def summarise(self, drawn: Sequence[int] | None = None) -> dict[str, float]:
        """The measures of the photographs of these numbers, which may repeat; None takes all.

        Returns:
            `kid`, `frechet` (of all alone), `feature_distance` (these where a classifier looked),
            `hue_spread`, `hue_spread_frac` (of the truth's), `top_hue_frac`, `leak`, and
            `colorfulness_p10`, `_p50` and `_p90`: a tenth, half and nine tenths of the photographs
            have less.
        """
        chosen = range(len(self)) if drawn is None else drawn
        tally = np.bincount(np.asarray(chosen, np.int64), minlength=len(self))
        counts = torch.from_numpy(tally).double()
        results = {}
        if self._is_judged:
            results["kid"] = summarise_kid(self._terms, counts)
            if drawn is None:  # of fewer different photographs it is larger: it has no interval
                results["frechet"] = measure_frechet(self._vectors, self._true_vectors)
            results["feature_distance"] = float(counts @ self._distances / counts.sum())
        ours, true = counts @ self._hues, counts @ self._true_hues
        results["hue_spread"] = hues.summarise_hue_spread(ours)
        true_spread = hues.summarise_hue_spread(true)
        results["hue_spread_frac"] = results["hue_spread"] / true_spread if true_spread else 0.0
        results["top_hue_frac"] = hues.summarise_top_hue(ours)
        results["leak"] = hues.summarise_leak(counts @ self._leak)
        shares = np.percentile(np.repeat(self._colorfulness, tally), _PERCENTILES)
        for percent, value in zip(_PERCENTILES, shares, strict=True):
            results[f"colorfulness_p{percent}"] = float(value)
        return results
