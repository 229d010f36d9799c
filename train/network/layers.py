"""Pieces that the generator's parts share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from train import parallel


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


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batch of all processes of a run, on CPUs, too."""

    def forward(self, x: Tensor) -> Tensor:
        """Norm (N, C, H, W)."""
        if not self.training or parallel.count() == 1:
            return super().forward(x)
        places = (0, 2, 3)
        wide = x.float()
        mean = parallel.average_whole(wide.mean(places))
        variance = parallel.average_whole((wide - mean[:, None, None]).square().mean(places))
        num = parallel.count() * x.numel() // x.shape[1]
        with torch.no_grad():
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[union-attr]
            self.running_var.lerp_(variance * num / (num - 1), self.momentum)  # type: ignore[union-attr]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (wide * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


class NormedConv(nn.Module):
    """relu(norm(conv(x))), normed over the batch; the norm is folded into the layer for restoring.

    Statistics of a batch are those of training only, so that a photograph doesn't depend on what
    it is restored with. A layer that doesn't learn keeps those it has, also while others train.

    Attributes:
        norm_rests: Whether it keeps them while it learns itself.
    """

    norm_rests = False

    def __init__(self, num_in: int, num_out: int, side: int = 3, stride: int = 1) -> None:
        """Take (N, num_in, H, W) and give (N, num_out, H / stride, W / stride)."""
        super().__init__()
        padding = (side - stride + 1) // 2
        self.conv = nn.Conv2d(num_in, num_out, side, stride, padding, bias=False)
        self.norm: nn.Module = SharedBatchNorm(num_out)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.relu(self.norm(self.conv(x)))

    def train(self, mode: bool = True) -> Self:
        """See `nn.Module.train`."""
        super().train(mode and self.conv.weight.requires_grad)
        if self.norm_rests:
            self.norm.eval()
        return self


def fold_norms(network: nn.Module) -> None:
    """Make one layer of each `NormedConv` of a network in evaluation mode, for good."""
    for layer in network.modules():
        if isinstance(layer, NormedConv) and isinstance(layer.norm, nn.BatchNorm2d):
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)
            layer.norm = nn.Identity()


def unfold_norms(network: nn.Module, folded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network from those that it has folded: norms that only add what was folded."""
    weights = dict(folded)
    for name, layer in network.named_modules():
        if not isinstance(layer, NormedConv) or f"{name}.conv.bias" not in weights:
            continue
        assert isinstance(layer.norm, nn.BatchNorm2d)
        bias = weights.pop(f"{name}.conv.bias")
        factor = math.sqrt(1 + layer.norm.eps)
        weights[f"{name}.norm.weight"] = torch.full_like(bias, factor)
        weights[f"{name}.norm.bias"] = bias
        weights[f"{name}.norm.running_mean"] = torch.zeros_like(bias)
        weights[f"{name}.norm.running_var"] = torch.ones_like(bias)
        weights[f"{name}.norm.num_batches_tracked"] = torch.tensor(0)
    return weights


def stack_convs(num_in: int, num_out: int, num_blocks: int) -> nn.Sequential:
    """A layer from one width to another and what makes it so many blocks of two; at least one."""
    num = max(2 * num_blocks, 1)
    widths = [num_in, *[num_out] * num]
    return nn.Sequential(*(NormedConv(widths[i], widths[i + 1]) for i in range(num)))


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
