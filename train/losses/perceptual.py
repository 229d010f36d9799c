"""Photographs compared by a frozen classifier's features, and what a critic on them is shown."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from train.network.features import FrozenFeatures
from train.parallel import unite

# A channel of the features that hardly changes isn't blown up.
_MIN_DEVIATION = 0.1
# What of a guess lies outside of what can be shown is cut off, but for a margin.
_MARGIN = 0.05


@dataclass(frozen=True)
class Judged:
    """What a projected critic is asked about.

    Attributes:
        guess: (N, 3, h, w) RGB: the truth, but for what is guessed.
        clean: Likewise, the truth.
        features: Of the guess, with its gradient, where they were asked for.
        true_features: Of the truth.
    """

    guess: Tensor
    clean: Tensor
    features: list[Tensor]
    true_features: list[Tensor]


def judge(guess: Tensor, clean: Tensor, features: FrozenFeatures) -> Judged:
    """See a guess and the truth, both (N, 3, h, w) RGB, by a classifier's features."""
    guess = guess.clamp(-_MARGIN, 1 + _MARGIN).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        true_features = features(clean)
    return Judged(guess, clean, features(guess), true_features)


def measure_perceptual(features: list[Tensor], true_features: list[Tensor]) -> Tensor:
    """Distance of a classifier's features, each channel in units of its own deviation.

    Args:
        features: (N, C, h, w) of the guess, one for each scale; they are summed.
        true_features: Likewise, of the clean photograph.

    Source:
        Johnson, Alahi, Fei-Fei 2016, "Perceptual losses for real-time style transfer and
        super-resolution", eq. 2; ours is absolute, and scaled by channel rather than by layer.
    """
    distances = []
    for ours, true in zip(features, true_features, strict=True):
        mean = unite(true.mean((0, 2, 3), keepdim=True))
        deviation = unite((true - mean).square().mean((0, 2, 3))).sqrt()
        distance = (ours - true).abs().mean((0, 2, 3))
        distances.append((distance / (deviation + _MIN_DEVIATION)).mean())
    return torch.stack(distances).sum()
