"""The encoder of an ImageNet classifier in place of the generator's own.

Imported only where a network asks for it: torchvision takes seconds to import. Weights come from
the file of weights like all others; only training fetches those of ImageNet.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import resnet34  # type: ignore[import-untyped]  # it ships no types
from torchvision.models.resnet import BasicBlock  # type: ignore[import-untyped]  # likewise

from restore.network.layers import fold_batch_norm

# Photographs that the classifier was trained on (torchvision's transforms).
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_BATCH_NORM_EPSILON = 1e-5


class FoldedNorm(nn.Module):
    """A factor and an offset per channel, in place of a batch norm; no statistics over space."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift (N, C, H, W)."""
        weight, bias = (p.to(x.dtype)[:, None, None] for p in (self.weight, self.bias))
        return x * weight + bias


class ResnetEncoder(nn.Module):
    """The convolutions of a ResNet of 34 layers; the branches start at zero.

    Source:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", table 1;
        torchvision's implementation and names.
    """

    def __init__(self) -> None:
        super().__init__()
        whole = resnet34(weights=None, norm_layer=FoldedNorm)
        self.conv1, self.bn1, self.maxpool = whole.conv1, whole.bn1, whole.maxpool
        self.layer1, self.layer2 = whole.layer1, whole.layer2
        self.layer3, self.layer4 = whole.layer3, whole.layer4
        for module in self.modules():
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.conv2.weight)

    def forward(self, photo: Tensor) -> list[Tensor]:
        """Features of photographs (N, 3, H, W) in [0, 1], from half their size down."""
        mean, std = (photo.new_tensor(v)[:, None, None] for v in (_MEAN, _STD))
        features = [self.bn1(self.conv1((photo - mean) / std)).relu()]  # (N, 64, H / 2, W / 2)
        x = self.maxpool(features[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)  # (N, 64, 128, 256 and 512; H / 4 to H / 32)
            features.append(x)
        return features

    def load_classifier(self, weights: Mapping[str, Tensor]) -> None:
        """Take over the weights of torchvision's resnet34.

        Its batch norms are folded into a factor and an offset, as they act at inference.

        Args:
            weights: The classifier's state.
        """
        folded = {k: v for k, v in weights.items() if k in self.state_dict()}
        for name in weights:
            if name.endswith(".running_var"):
                norm = name.removesuffix(".running_var")
                folded[f"{norm}.weight"], folded[f"{norm}.bias"] = fold_batch_norm(
                    weights, norm, _BATCH_NORM_EPSILON
                )
        self.load_state_dict(folded)
