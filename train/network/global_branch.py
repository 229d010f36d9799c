"""The global branch: tone and colour, from a reduced copy of the whole photograph.

The encoder of an ImageNet classifier, which knows what is in the picture, feeds a small decoder.
What comes out isn't a picture but a grid of colour matrices, which change photographs of any size
smoothly and at their own resolution: the grid is found once for a photograph and laid over all of
its tiles.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.encoder import ClassifierEncoder
from train.network.layers import ResidualBlock
from train.network.toning import make_neutral

_DECODER_WIDTHS = (32, 48, 64, 96)
_POOLED_WIDTH = 96
_TALLY_WIDTH = 192
_GRID_CHANNELS = 12  # a 3×3 matrix by rows, then an offset
# Tones of so small a share have hardly any cast; casts lie mostly within a quarter.
_RARE_FRAC, _CAST_SCALE, _SHARE_SCALE = 2e-3, 8.0, 4.0
# Cells of the grid are so many pixels of the reduced copy, whose sides are multiples of ALIGNMENT.
_CELL_PX = 4
ALIGNMENT = 32
_MAX_SIDE_PX = 1024


class ToneTally(nn.Module):
    """How much of a photograph is darker than each tone, and what cast each tone has.

    What has faded shows in it: paper and shadows have no business being coloured, or grey. Deep
    features of a classifier are made to overlook just that.

    Source:
        Soft bins after Wang et al. 2016, "Learnable histogram" (ours are fixed, and of casts);
        sums instead of counts, from which quantiles can be read.
    """

    def __init__(self, num_bins: int, width: int) -> None:
        """Tell the decoder's deepest layers, of so many channels, and the grid itself.

        Args:
            num_bins: Of each channel; the casts are those of half as many tones.
            width: Channels.
        """
        super().__init__()
        self.num_bins = num_bins
        self.num_tones = num_bins // 2
        self.first = nn.Linear(3 * num_bins + 2 * self.num_tones, _TALLY_WIDTH)
        self.second = nn.Linear(_TALLY_WIDTH, _TALLY_WIDTH)
        self.out = nn.Linear(_TALLY_WIDTH, width + _GRID_CHANNELS)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Look at photographs (N, 3, h, w): (N, width) for the decoder, (N, 12) for the grid."""
        tally = torch.cat([self.sum_up(photo), self.measure_casts(photo)], dim=1)
        told = self.out(F.relu(self.second(F.relu(self.first(tally)))))
        return told[:, :-_GRID_CHANNELS], told[:, -_GRID_CHANNELS:]

    def sum_up(self, photo: Tensor) -> Tensor:
        """Shares of each channel darker than each of num_bins tones: (N, 3 num_bins).

        Less what they would be if all tones occurred alike, times a few.
        """
        tones = (torch.arange(self.num_bins, device=photo.device) + 0.5) / self.num_bins
        position = (tones - photo.flatten(2)[..., None]) * self.num_bins + 0.5
        darker = position.clamp(0, 1).mean(2)  # (N, 3, num_bins)
        return ((darker - tones) * _SHARE_SCALE).flatten(1)

    def measure_casts(self, photo: Tensor) -> Tensor:
        """Mean of red and blue beyond luma in each tone, (N, 2 num_tones); 0 where missing."""
        luma = make_neutral(photo)[:, :1]
        casts = (photo[:, ::2] - luma).flatten(2)  # (N, 2, h w)
        weights = _weigh_bins(luma.flatten(2), self.num_tones)[:, 0]  # (N, h w, num_tones)
        sums = casts @ weights / weights.shape[1]  # (N, 2, num_tones)
        return (sums / (weights.mean(1)[:, None] + _RARE_FRAC)).flatten(1) * _CAST_SCALE


def _weigh_bins(values: Tensor, num_bins: int) -> Tensor:
    """How much each value (..., n) in [0, 1] belongs to each bin: (..., n, num_bins), sums of 1."""
    position = values.clamp(0, 1)[..., None] * (num_bins - 1)
    return F.relu(1 - (position - torch.arange(num_bins, device=values.device)).abs())


class GlobalBranch(nn.Module):
    """Reduced copy → grid of colour matrices; before training they change nothing."""

    def __init__(self, num_bins: int = 0) -> None:
        """Build it.

        Args:
            num_bins: Of a tally of tones that it is told; 0: it isn't.
        """
        super().__init__()
        widths = _DECODER_WIDTHS
        self.encoder = ClassifierEncoder()
        self.lateral = nn.ModuleList(map(_convolve_point, self.encoder.widths[1:], widths))
        self.up = nn.ModuleList(map(_convolve_point, widths[1:], widths[:-1]))
        self.blocks = nn.ModuleList(ResidualBlock(width, nn.ReLU()) for width in widths)
        # Mean and maximum of the deepest features, mean and deviation of the photograph.
        self.pooled_in = nn.Linear(2 * self.encoder.widths[-1] + 6, _POOLED_WIDTH)
        self.pooled_out = nn.Linear(_POOLED_WIDTH, widths[-1])
        self.tally = ToneTally(num_bins, widths[-1]) if num_bins else None
        self.grid_out = nn.Conv2d(widths[0], _GRID_CHANNELS, 3, padding=1)
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
        _, *features = self.encoder(reduced)
        deepest = features[-1].float()
        pooled = [deepest.mean((2, 3)), deepest.amax((2, 3))]
        pooled += [reduced.mean((2, 3)), reduced.std((2, 3))]
        overall = self.pooled_out(F.relu(self.pooled_in(torch.cat(pooled, dim=1))))
        in_all = None
        if self.tally is not None:
            told, in_all = self.tally(reduced.float())
            overall = overall + told
        x = self.lateral[-1](features[-1]) + overall[:, :, None, None]
        x = self.blocks[-1](x)  # (N, 96, h / 32, w / 32)
        for i in (2, 1, 0):
            x = F.interpolate(self.up[i](x), scale_factor=2.0, mode="bilinear")
            x = self.blocks[i](x + self.lateral[i](features[i]))  # at 1/16, 1/8, 1/4
        grid: Tensor = self.grid_out(F.relu(x)).float()
        return grid if in_all is None else grid + in_all[:, :, None, None]


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


def adjust_by_grid(photo: Tensor, grid: Tensor, box: Tensor | None = None) -> Tensor:
    """Change photographs by their grids.

    Args:
        photo: (N, 3, H, W) RGB.
        grid: (N, 12, h, w).
        box: (N, 4), where each photograph lies in what its grid is of: left, top, right and bottom
            in fractions of that; None: it is the whole.

    Returns:
        (N, 3, H, W), not clamped.
    """
    with torch.autocast(photo.device.type, enabled=False):
        if box is None:
            box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=photo.device)
        left, top, right, bottom = box.float().unbind(1)
        down = _interpolate(photo.shape[-2], grid.shape[-2], top, bottom)  # (N or 1, H, h)
        across = _interpolate(photo.shape[-1], grid.shape[-1], left, right)  # (N or 1, W, w)
        field = down[:, None] @ grid.float() @ across[:, None].mT  # (N, 12, H, W)
        return add_affine(photo.float(), field)


def _interpolate(size: int, num_cells: int, start: Tensor, end: Tensor) -> Tensor:
    """(N, size, num_cells) weights of cells in pixels: linear between the cells' centres.

    The pixels lie from `start` to `end`, (N,), in fractions of all cells.
    """
    share = (torch.arange(size, device=start.device) + 0.5) / size
    place = torch.lerp(start[:, None], end[:, None], share)  # (N, size)
    position = (place * num_cells - 0.5).clamp(0, num_cells - 1)
    cells = torch.arange(num_cells, device=start.device)
    return (1 - (position[..., None] - cells).abs()).clamp(min=0)


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
