"""The global branch: tone and colour, from a reduced copy of the whole photograph.

The encoder of an ImageNet classifier, which knows what is in the picture, feeds a small decoder.
What comes out isn't a picture but a grid of colour matrices, which change photographs of any size
smoothly and at their own resolution: the grid is found once for a photograph and laid over all of
its tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.layers import ResidualBlock, fold_batch_norm

# EfficientNet-Lite0 without its last block: expansion, channels, blocks, stride, kernel side.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
)
# Blocks whose output the decoder sees, with 24, 40, 112 and 192 channels at 1/4 to 1/32.
_TAPS = (2, 4, 10, 14)
_TAP_WIDTHS = (24, 40, 112, 192)
_DECODER_WIDTHS = (32, 48, 64, 96)
_POOLED_WIDTH = 96
_BATCH_NORM_EPSILON = 1e-3  # as the classifier was trained with
# Photographs that the classifier was trained on: (x - mean) / std.
_MEAN, _STD = 127 / 255, 128 / 255
# Cells of the grid are so many pixels of the reduced copy, whose sides are multiples of ALIGNMENT.
_CELL_PX = 4
ALIGNMENT = 32
_MAX_SIDE_PX = 1024


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


class _ClassifierEncoder(nn.Module):
    """EfficientNet-Lite0 down to 1/32.

    Source:
        Tan, Le 2019, "EfficientNet", table 1; "lite": no squeeze and excitation, ReLU6, a fixed
        stem (the authors' release notes, 2020).
    """

    def __init__(self) -> None:
        super().__init__()
        width = 32
        self.stem = _Convolution(3, width, 3, stride=2)
        self.blocks = nn.ModuleList()
        for expansion, num_out, num_blocks, stride, side in _STAGES:
            for i in range(num_blocks):
                step = stride if i == 0 else 1
                self.blocks.append(_InvertedBlock(width, num_out, expansion, side, step))
                width = num_out

    def forward(self, photo: Tensor) -> list[Tensor]:
        """Features of (N, 3, H, W) in [0, 1] at 1/4, 1/8, 1/16 and 1/32."""
        x = F.relu6(self.stem((photo - _MEAN) / _STD))
        features = []
        for number, block in enumerate(self.blocks):
            if x.device.type == "cpu" and next(block.parameters()).requires_grad:
                # Gradients of channelwise convolutions take twice as long in bfloat16 there.
                with torch.autocast("cpu", enabled=False):
                    x = block(x.float())
            else:
                x = block(x)
            if number in _TAPS:
                features.append(x)
        return features

    def freeze(self, num_blocks: int) -> None:
        """Let the stem and the first blocks keep their weights; 0 freezes nothing."""
        if num_blocks:
            for part in (self.stem, *list(self.blocks)[:num_blocks]):
                part.requires_grad_(False)

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
            raise ValueError(f"not the weights of EfficientNet-Lite0 ({error})") from error


class GlobalBranch(nn.Module):
    """Reduced copy → grid of colour matrices; before training they change nothing."""

    def __init__(self) -> None:
        super().__init__()
        widths = _DECODER_WIDTHS
        self.encoder = _ClassifierEncoder()
        self.lateral = nn.ModuleList(map(_convolve_point, _TAP_WIDTHS, widths))
        self.up = nn.ModuleList(map(_convolve_point, widths[1:], widths[:-1]))
        self.blocks = nn.ModuleList(ResidualBlock(width, nn.ReLU()) for width in widths)
        # Mean and maximum of the deepest features, mean and deviation of the photograph.
        self.pooled_in = nn.Linear(2 * _TAP_WIDTHS[-1] + 6, _POOLED_WIDTH)
        self.pooled_out = nn.Linear(_POOLED_WIDTH, widths[-1])
        self.grid_out = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.grid_out.weight)
        nn.init.zeros_(self.grid_out.bias)  # type: ignore[arg-type]  # Conv2d has one by default

    def forward(self, reduced: Tensor) -> Tensor:
        """Find the grid of a photograph.

        Args:
            reduced: (N, 3, h, w) RGB in [0, 1], the whole photograph; h and w multiples of
                ALIGNMENT.

        Returns:
            (N, 12, h / 4, w / 4) float32: a 3×3 matrix by rows, then an offset.
        """
        features = self.encoder(reduced)
        deepest = features[-1].float()
        pooled = [deepest.mean((2, 3)), deepest.amax((2, 3))]
        pooled += [reduced.mean((2, 3)), reduced.std((2, 3))]
        overall = self.pooled_out(F.relu(self.pooled_in(torch.cat(pooled, dim=1))))
        x = self.lateral[-1](features[-1]) + overall[:, :, None, None]
        x = self.blocks[-1](x)  # (N, 96, h / 32, w / 32)
        for i in (2, 1, 0):
            x = F.interpolate(self.up[i](x), scale_factor=2.0, mode="bilinear")
            x = self.blocks[i](x + self.lateral[i](features[i]))  # at 1/16, 1/8, 1/4
        grid: Tensor = self.grid_out(F.relu(x)).float()
        return grid


def _convolve_point(num_in: int, num_out: int) -> nn.Conv2d:
    return nn.Conv2d(num_in, num_out, 1)


def reduce_photo(photo: Tensor, side_px: int) -> Tensor:
    """The copy of photographs (N, 3, H, W) that the branch sees; short side about side_px."""
    height, width = photo.shape[-2:]
    scale = side_px / min(height, width)
    size = [
        min(max(ALIGNMENT, round(side * scale / ALIGNMENT) * ALIGNMENT), _MAX_SIDE_PX)
        for side in (height, width)
    ]
    if size == [height, width]:
        return photo
    return F.interpolate(photo, size=size, mode="bilinear", antialias=True)


class Place(NamedTuple):
    """Which pixels of a photograph a window shows; beyond the borders it is reflected.

    Attributes:
        rows: (h,) int64 indices of the photograph's rows.
        columns: (w,) likewise.
        height: Of the photograph, px.
        width: Of the photograph, px.
    """

    rows: Tensor
    columns: Tensor
    height: int
    width: int


def adjust_by_grid(photo: Tensor, grid: Tensor, place: Place | None = None) -> Tensor:
    """Change a photograph, or a window of it, by the grid of the whole.

    Args:
        photo: (N, 3, H, W) RGB.
        grid: (N, 12, h, w) of the whole photograph.
        place: What the window shows; None: the whole.

    Returns:
        (N, 3, H, W), not clamped.
    """
    if place is None:
        height, width = photo.shape[-2:]
        rows = torch.arange(height, device=photo.device)
        columns = torch.arange(width, device=photo.device)
        place = Place(rows, columns, height, width)
    with torch.autocast(photo.device.type, enabled=False):
        down = _interpolate(place.rows, place.height, grid.shape[-2])  # (H, h)
        across = _interpolate(place.columns, place.width, grid.shape[-1])  # (W, w)
        field = down @ grid.float() @ across.T  # (N, 12, H, W)
        return add_affine(photo.float(), field)


def _interpolate(index: Tensor, size: int, num_cells: int) -> Tensor:
    """(n, num_cells) weights of cells in pixels: linear between the cells' centres."""
    position = ((index + 0.5) * (num_cells / size) - 0.5).clamp(0, num_cells - 1)
    cells = torch.arange(num_cells, device=index.device)
    return (1 - (position[:, None] - cells).abs()).clamp(min=0)


def add_affine(photo: Tensor, field: Tensor) -> Tensor:
    """Add to each pixel an affine function of its own colour.

    Contrast, fading and casts are such functions, which sums of convolutions learn slowly.

    Args:
        photo: (N, 3, H, W) RGB.
        field: (N, 12, H, W): a 3×3 matrix by rows, then an offset.

    Returns:
        (N, 3, H, W).

    Source:
        Gharbi et al. 2017, "Deep bilateral learning for real-time image enhancement" (HDRNet);
        ours has no guide, only a grid.
    """
    centred = photo - 0.5
    added = [(field[:, 3 * c : 3 * c + 3] * centred).sum(1) + field[:, 9 + c] for c in range(3)]
    return photo + torch.stack(added, dim=1)
