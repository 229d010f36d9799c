"""Pieces that the generator's parts share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(norm(x)))); the last convolution starts at zero."""

    def __init__(self, width: int, norm: nn.Module) -> None:
        """Take (N, width, H, W); `norm` is what comes before the first convolution."""
        super().__init__()
        self.norm = norm
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)  # type: ignore[arg-type]  # Conv2d has one by default

    def forward(self, x: Tensor) -> Tensor:
        """Change (N, width, H, W)."""
        return x + self.conv_out(F.relu(self.conv_in(self.norm(x))))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel: no statistics over space."""

    def __init__(self, num_channels: int) -> None:
        """Take (N, num_channels, H, W)."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Norm (N, C, H, W)."""
        last = x.permute(0, 2, 3, 1)  # (N, H, W, C): a view of a channels-last tensor
        return F.layer_norm(last, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


def stack_blocks(width: int, num_blocks: int) -> nn.Sequential:
    """So many residual blocks with channel norms."""
    return nn.Sequential(*(ResidualBlock(width, ChannelNorm(width)) for _ in range(num_blocks)))


def double_size(x: Tensor) -> Tensor:
    """Twice the size. Bilinear, then convolved by what follows: leaves no mesh."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def fold_batch_norm(
    weights: Mapping[str, Tensor], name: str, epsilon: float
) -> tuple[Tensor, Tensor]:
    """The factor and the offset per channel that a batch norm amounts to at inference.

    Args:
        weights: A network's state.
        name: Of the norm in it.
        epsilon: That it was trained with.

    Returns:
        (C,) each.

    Raises:
        KeyError: If there is no such norm.
    """
    factor = weights[f"{name}.weight"] / (weights[f"{name}.running_var"] + epsilon).sqrt()
    return factor, weights[f"{name}.bias"] - factor * weights[f"{name}.running_mean"]
