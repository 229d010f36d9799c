"""The encoder of an ImageNet classifier: it knows what is in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.layers import fold_batch_norm

Version = Literal["lite0", "lite1", "lite2"]

_STEM_WIDTH = 32
# EfficientNet-Lite without its last block: expansion, channels, blocks, stride, kernel side.
_STAGES: dict[str, tuple[tuple[int, int, int, int, int], ...]] = {
    "lite0": (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
    ),
    "lite1": (
        (1, 16, 1, 1, 3),
        (6, 24, 3, 2, 3),
        (6, 40, 3, 2, 5),
        (6, 80, 4, 2, 3),
        (6, 112, 4, 1, 5),
        (6, 192, 5, 2, 5),
    ),
    "lite2": (
        (1, 16, 1, 1, 3),
        (6, 24, 3, 2, 3),
        (6, 48, 3, 2, 5),
        (6, 88, 4, 2, 3),
        (6, 120, 4, 1, 5),
        (6, 208, 5, 2, 5),
    ),
}
# Stages whose output is the last of its size.
_TAPPED_STAGES = (1, 2, 4, 5)
_BATCH_NORM_EPSILON = 1e-3  # as the classifier was trained with
# Photographs that the classifier was trained on: (x - mean) / std.
_MEAN, _STD = 127 / 255, 128 / 255


class _Convolution(nn.Module):
    """A convolution that the batch norm after it was folded into."""

    def __init__(
        self, num_in: int, num_out: int, side: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        halves = stride == 2
        padding = 0 if halves else side // 2
        self.conv = nn.Conv2d(num_in, num_out, side, stride, padding, groups=groups)
        # Where it halves an even side, the classifier pads as little as it must, above by less.
        before, after = (side - 2) // 2, (side - 1) // 2
        self._padding = (before, after, before, after) if halves else None

    def forward(self, x: Tensor) -> Tensor:
        if self._padding is not None:
            x = F.pad(x, self._padding)
        y: Tensor = self.conv(x)
        return y


class _InvertedBlock(nn.Module):
    """Expand, convolve each channel by itself, project; added to the input where sizes agree.

    Source:
        Sandler et al. 2018, "MobileNetV2", figure 4c and 4d.
    """

    def __init__(self, num_in: int, num_out: int, expansion: int, side: int, stride: int) -> None:
        super().__init__()
        width = num_in * expansion
        self.expand = _Convolution(num_in, width, 1) if expansion > 1 else None
        self.depthwise = _Convolution(width, width, side, stride, groups=width)
        self.project = _Convolution(width, num_out, 1)
        self._adds = stride == 1 and num_in == num_out
        if self._adds:  # before training, a block does nothing
            nn.init.zeros_(self.project.conv.weight)
            nn.init.zeros_(self.project.conv.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self._adds else y


class ClassifierEncoder(nn.Module):
    """EfficientNet-Lite down to 1/32, without its head.

    Attributes:
        widths: Channels of its features, at 1/2, 1/4, 1/8, 1/16 and 1/32.

    Source:
        Tan, Le 2019, "EfficientNet", table 1; "lite": no squeeze and excitation, ReLU6, a fixed
        stem (the authors' release notes, 2020).
    """

    def __init__(self, version: Version = "lite0") -> None:
        """Build one of VERSIONS with random weights."""
        super().__init__()
        width = _STEM_WIDTH
        self.stem = _Convolution(3, width, 3, stride=2)
        self.blocks = nn.ModuleList()
        self.widths = [width]
        self._taps: list[int] = []
        for number, (expansion, num_out, num_blocks, stride, side) in enumerate(_STAGES[version]):
            for i in range(num_blocks):
                step = stride if i == 0 else 1
                self.blocks.append(_InvertedBlock(width, num_out, expansion, side, step))
                width = num_out
            if number in _TAPPED_STAGES:
                self._taps.append(len(self.blocks) - 1)
                self.widths.append(width)

    def forward(self, photo: Tensor) -> list[Tensor]:
        """Features of (N, 3, H, W) in [0, 1] at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x = F.relu6(self.stem((photo - _MEAN) / _STD))
        features = [x]
        for number, block in enumerate(self.blocks):
            if x.device.type == "cpu" and next(block.parameters()).requires_grad:
                # Gradients of channelwise convolutions take twice as long in bfloat16 there.
                with torch.autocast("cpu", enabled=False):
                    x = block(x.float())
            else:
                x = block(x)
            if number in self._taps:
                features.append(x)
        return features

    def freeze(self, num_blocks: int) -> None:
        """Let the stem and the first blocks keep their weights; 0 freezes nothing."""
        if num_blocks:
            for part in (self.stem, *list(self.blocks)[:num_blocks]):
                part.requires_grad_(False)

    def cut_after(self, tap: int) -> None:
        """Leave out what comes after a scale of the features; 3 is 1/16."""
        del self.blocks[self._taps[tap - 1] + 1 :]

    def load_classifier(self, weights: Mapping[str, Tensor]) -> None:
        """Take over a classifier's weights; its batch norms are folded in, as at inference.

        Args:
            weights: State by the names of lukemelas/EfficientNet-PyTorch and its lite variant.

        Raises:
            ValueError: If they are those of another network.
        """
        layers: list[tuple[_Convolution, str, str]] = [(self.stem, "_conv_stem", "_bn0")]
        for number, block in enumerate(self.blocks):
            assert isinstance(block, _InvertedBlock)
            name = f"_blocks.{number}."
            if block.expand is not None:
                layers.append((block.expand, f"{name}_expand_conv", f"{name}_bn0"))
            layers.append((block.depthwise, f"{name}_depthwise_conv", f"{name}_bn1"))
            layers.append((block.project, f"{name}_project_conv", f"{name}_bn2"))
        try:
            with torch.no_grad():
                for layer, conv, norm in layers:
                    factor, offset = fold_batch_norm(weights, norm, _BATCH_NORM_EPSILON)
                    layer.conv.weight.copy_(weights[f"{conv}.weight"] * factor[:, None, None, None])
                    layer.conv.bias.copy_(offset)  # type: ignore[union-attr]  # it has one
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"not the weights of this EfficientNet-Lite ({error})") from error
