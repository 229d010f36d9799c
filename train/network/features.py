"""Frozen features of an ImageNet classifier, by which photographs are compared and judged.

They are never trained and stand in no state or file of weights: the package that carries them is
needed wherever they are used.
"""

from __future__ import annotations

from torch import Tensor, nn

from train.network.encoder import ClassifierEncoder, Version
from train.network.pretrained import read_classifier

# Of the encoder's features, at 1/2 to 1/32 of the photograph, those at 1/4, 1/8 and 1/16.
_FIRST, _LAST = 1, 3


class FrozenFeatures(nn.Module):
    """The features of a classifier at three scales.

    Attributes:
        widths: Channels of each.
    """

    def __init__(self, version: Version = "lite0") -> None:
        """Load them.

        Raises:
            TrainError: If the package that carries the weights isn't installed.
        """
        super().__init__()
        self.encoder = ClassifierEncoder(version)
        self.encoder.load_classifier(read_classifier(version))
        self.widths = self.encoder.widths[_FIRST : _LAST + 1]
        self.encoder.cut_after(_LAST)
        self.requires_grad_(False).eval()

    def forward(self, photo: Tensor) -> list[Tensor]:
        """Features of (N, 3, h, w) RGB at 1/4, 1/8 and 1/16 of its size."""
        features: list[Tensor] = self.encoder(photo)[_FIRST:]
        return features
