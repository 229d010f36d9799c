"""The colour network: the luma of a reduced copy, and hints, become chroma at half its size.

The encoder of an ImageNet classifier tells what is in the picture; a decoder of its own follows
outlines down to half of the reduced copy. Hints of colour enter the decoder at every scale, and at
the two coarsest every cell looks at every other: what is alike gets one colour, and a hint reaches
as far as the thing that it lies on.

Source:
    Zhang et al. 2017, "Real-time user-guided image colorization with learned deep priors" (hints as
    sparse chroma and a mask); ours spreads them by attention.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.encoder import ClassifierEncoder, Version
from train.network.layers import ResidualBlock

ALIGNMENT = 32
"""Sides of what the network takes are multiples of it."""

_WIDTHS = (32, 48, 64, 96, 160)  # of the decoder, at 1/2 to 1/32
_NUM_HEADS = 4
# Chroma lies mostly within a quarter: what the layers see and give is of the order of one.
_HINT_SCALE, _OUTPUT_SCALE = 4.0, 0.5


class Attention(nn.Module):
    """Every cell looks at every other; before training it changes nothing.

    Source:
        Vaswani et al. 2017, "Attention is all you need", section 3.2, without positions.
    """

    def __init__(self, width: int) -> None:
        """Take (N, width, h, w)."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Change (N, width, h, w)."""
        _, width, height, _ = x.shape
        cells = x.flatten(2).transpose(1, 2)  # (N, h * w, width)
        qkv = self.qkv(self.norm(cells)).unflatten(2, (3, _NUM_HEADS, width // _NUM_HEADS))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, h * w, width / heads)
        seen = F.scaled_dot_product_attention(query, key, value)
        seen = self.out(seen.transpose(1, 2).flatten(2))  # (N, h * w, width)
        added: Tensor = seen.transpose(1, 2).unflatten(2, (height, -1))
        return x + added


class ColorNetwork(nn.Module):
    """Luma and hints → chroma; before training it gives grey."""

    def __init__(self, version: Version = "lite0") -> None:
        """Build it on one of the classifiers of `train.network.encoder`."""
        super().__init__()
        self.encoder = ClassifierEncoder(version)
        widths = self.encoder.widths
        self.lateral = nn.ModuleList(
            nn.Conv2d(seen, width, 1) for seen, width in zip(widths, _WIDTHS, strict=True)
        )
        self.hints = nn.ModuleList(nn.Conv2d(3, width, 1, bias=False) for width in _WIDTHS)
        self.up = nn.ModuleList(
            nn.Conv2d(_WIDTHS[i + 1], _WIDTHS[i], 1) for i in range(len(_WIDTHS) - 1)
        )
        self.blocks = nn.ModuleList(ResidualBlock(width, nn.ReLU()) for width in _WIDTHS)
        self.attend_deep, self.attend = Attention(_WIDTHS[4]), Attention(_WIDTHS[3])
        self.pool = nn.Sequential(
            nn.Linear(widths[-1], _WIDTHS[-1]), nn.ReLU(), nn.Linear(_WIDTHS[-1], _WIDTHS[-1])
        )
        self.out = nn.Conv2d(_WIDTHS[0], 2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # Conv2d has one by default

    def forward(self, luma: Tensor, hints: Tensor) -> Tensor:
        """Find colours.

        Args:
            luma: (N, 1, h, w) in [0, 1], sides multiples of ALIGNMENT.
            hints: (N, 3, h, w): Cb and Cr in [-0.5, 0.5], and 1 where there is a hint, else all 0.

        Returns:
            (N, 2, h / 2, w / 2) float32: Cb and Cr.
        """
        features = self.encoder(luma.expand(-1, 3, -1, -1))
        given = []
        for layer in self.hints:
            hints = halve_hints(hints)
            given.append(layer(_scale_hints(hints)))
        overall = self.pool(features[4].mean((2, 3)))[:, :, None, None]
        x = self.lateral[4](features[4]) + given[4] + overall
        x = self.attend_deep(self.blocks[4](x))  # (N, 160, h / 32, w / 32)
        for i in (3, 2, 1, 0):
            x = F.interpolate(self.up[i](x), scale_factor=2.0, mode="bilinear")
            x = self.blocks[i](x + self.lateral[i](features[i]) + given[i])  # at 1/16 to 1/2
            if i == 3:
                x = self.attend(x)
        chroma: Tensor = self.out(F.relu(x)).float() * _OUTPUT_SCALE
        return chroma


def halve_hints(hints: Tensor) -> Tensor:
    """Hints (N, 3, h, w) at half the size: a cell has the mean chroma of those in it."""
    mask = hints[:, 2:]
    sums = F.avg_pool2d(torch.cat([hints[:, :2] * mask, mask], dim=1), 2)
    chroma = sums[:, :2] / (sums[:, 2:] + 1e-6)
    return torch.cat([chroma, F.max_pool2d(mask, 2)], dim=1)


def _scale_hints(hints: Tensor) -> Tensor:
    mask = hints[:, 2:]
    return torch.cat([hints[:, :2] * _HINT_SCALE * mask, mask], dim=1)
