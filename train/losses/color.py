"""The terms of the colour network's loss: small functions of tensors, each with its source.

Chroma is (N, 2, h, w) at half the size of the photographs, luma (N, 1, h, w) likewise. A guess is
laid on the luma of the clean photograph, so that tone and grain play no part.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.config.losses import LossShape, LossWeights
from train.losses.fidelity import (
    join_luma_chroma,
    measure_chroma,
    split_luma_chroma,
    sum_all,
    weigh_saturation,
)
from train.losses.perceptual import Judged, judge, measure_perceptual
from train.losses.terms import WeighedTerms
from train.network.features import FrozenFeatures

# Luma that changes by more than a few of these from one pixel to the next allows any edge.
_EDGE_LUMA = 0.03
# Cells of train/losses/chroma_histogram.csv: as wide as 1/24, grey in the middle of the middle one.
_CELLS_PER_UNIT = 24
_UNIFORM_FRAC = 0.5
_SMOOTHING_CELLS = 0.5


def weigh_rarity(chroma: Tensor) -> Tensor:
    """Weights (N, 1, h, w) of pixels by how seldom their true colour occurs.

    Their mean over the photographs that were counted is 1. `chroma_histogram.csv` has parts in a
    million by Cb (rows) and Cr (columns): of 7,084 photographs with colours, every fourth of those
    of 160 and 256 px that the colour network is trained on, averaged to 64 × 64 px.

    Args:
        chroma: (N, 2, h, w) of the clean photograph.

    Source:
        Zhang, Isola, Efros 2016, "Colorful image colorization", eq. 4: the inverse of half the
        smoothed share of a colour plus half a uniform one; their cells lie in ab, ours in CbCr.
    """
    weights = _read_rarity().to(chroma.device)
    half = weights.shape[0] // 2
    cells = (chroma * _CELLS_PER_UNIT).round().long().clamp(-half, half) + half
    return weights[cells[:, 0], cells[:, 1]][:, None]


@cache
def _read_rarity() -> Tensor:
    """The weight of each cell, (25, 25)."""
    text = (files("train") / "losses" / "chroma_histogram.csv").read_text()
    counts = np.array([line.split(",") for line in text.split()], np.float64)
    shares = cv2.GaussianBlur(counts / counts.sum(), (5, 5), _SMOOTHING_CELLS)
    num_seen = np.count_nonzero(counts)
    weights = 1 / ((1 - _UNIFORM_FRAC) * shares + _UNIFORM_FRAC / num_seen)
    return torch.from_numpy(weights / (weights * counts / counts.sum()).sum()).float()


def measure_stray_edges(chroma: Tensor, luma: Tensor) -> Tensor:
    """Mean gradient of chroma where luma has none: colours that don't end where things end.

    Source:
        Levin, Lischinski, Weiss 2004, "Colorization using optimization", section 2: pixels alike in
        luma are alike in colour. The weight exp(-|∇Y| / .03) is ours.
    """
    return (_gradient(chroma) * torch.exp(-_gradient(luma) / _EDGE_LUMA)).mean()


def measure_fringes(chroma: Tensor, true_chroma: Tensor) -> Tensor:
    """Mean gradient of chroma beyond that of the truth, wherever it is.

    Stray edges spare the places where luma changes, and there a critic draws fringes. Edges that
    are missing cost nothing here. Ours.
    """
    return F.relu(_gradient(chroma) - _gradient(true_chroma)).mean()


def _gradient(field: Tensor) -> Tensor:
    """Absolute differences to the right and below, summed: (N, C, h - 1, w - 1)."""
    here = field[:, :, :-1, :-1]
    return (field[:, :, 1:, :-1] - here).abs() + (field[:, :, :-1, 1:] - here).abs()


def measure_obedience(chroma: Tensor, true_chroma: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error of chroma where hints lie, over the whole batch; 0 where none do.

    Args:
        chroma: (N, 2, h, w).
        true_chroma: Likewise, from which the hints are.
        mask: (N, 1, H, W) of the hints at the size of the photographs; half covered pixels count
            by half.

    Source:
        Zhang et al. 2017, "Real-time user-guided image colorization with learned deep priors",
        section 3.1: theirs learns to obey by the loss of the whole photograph alone.
    """
    mask = F.avg_pool2d(mask, 2)
    error = (chroma - true_chroma).abs().sum(1, keepdim=True)
    return sum_all(error * mask) / (sum_all(mask) + 1)


class ColorLoss(WeighedTerms):
    """The colour network's loss without the critic.

    Attributes:
        judged: What was judged in the last batch.
    """

    def __init__(
        self, weights: LossWeights, shape: LossShape, features: FrozenFeatures | None
    ) -> None:
        """Weigh the terms.

        Args:
            weights: By name of the term.
            shape: Of the terms.
            features: For the perceptual term and the critic; None where neither is wanted.
        """
        super().__init__(weights)
        self.shape = shape
        self.features = features
        self.judged: Judged | None = None

    def forward(self, pred: tuple[Tensor], clean: Tensor, hints: Tensor) -> Tensor:
        """Weighted sum of the terms; a term of weight 0 isn't computed.

        Args:
            pred: chroma (N, 2, H / 2, W / 2), the only one.
            clean: (N, 3, H, W).
            hints: (N, 3, H, W), see `train.network.color`.
        """
        (chroma,) = pred
        self.terms = {}
        clean = F.avg_pool2d(clean, 2).contiguous(memory_format=torch.channels_last)
        luma, true_chroma = split_luma_chroma(clean)
        total = chroma.new_zeros(())
        if self.weights.color > 0:
            value = measure_chroma(chroma, true_chroma, self._weigh_colors(true_chroma))
            total = total + self.weigh("color", value)
        if self.features is not None:
            self.judged = judge(join_luma_chroma(luma, chroma), clean, self.features)
            if self.weights.perceptual > 0:
                value = measure_perceptual(self.judged.features, self.judged.true_features)
                total = total + self.weigh("perceptual", value)
        if self.weights.stray_edges > 0:
            total = total + self.weigh("stray_edges", measure_stray_edges(chroma, luma))
        if self.weights.fringes > 0:
            total = total + self.weigh("fringes", measure_fringes(chroma, true_chroma))
        if self.weights.hints > 0:
            value = measure_obedience(chroma, true_chroma, hints[:, 2:])
            total = total + self.weigh("hints", value)
        return total

    def _weigh_colors(self, true_chroma: Tensor) -> Tensor:
        if self.shape.color_weighting == "rarity":
            return weigh_rarity(true_chroma)
        return weigh_saturation(true_chroma, self.shape.color_boost)
