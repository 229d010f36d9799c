"""Grain taken away by a filter, of which a small network tells only how strong it is.

To see how grainy a photograph is takes a network thousands of steps, and to take the grain away
many more. Both are known: the bands of a pyramid are shrunk by the share of their energy that is
noise, and noise is what there is where there is least. What is left to learn is how far that holds:
how much more noise a band has than its quietest place shows, and that texture is none.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.layers import double_size
from train.network.toning import make_neutral
from train.sliding import max_around, mean_around

# Energies are measured over cells of this side, at native resolution.
_CELL_PX = 16
# The quietest of so many by so many cells tells how much noise there is.
_QUIET_CELLS = 5
# Of a cell so much must be seen to tell.
_MIN_SEEN_FRAC = 0.3
# A band's energy around a pixel is that of a square of this side.
_AROUND_PX = 5
_WIDTH = 32
# The network's last layer is stretched by this much, so that it learns as fast as the others.
_STRETCH = 20.0
# Before training the levels are so low that nothing changes by more than a two-hundredth.
_BIAS = -3.0
_MIN_ENERGY = 1e-7
_MIN_LEVEL = 1e-3


class Shrinkage(nn.Module):
    """Shrinks the finest bands of luma and chroma by how much of their energy is noise.

    Source:
        Mihçak, Kozintsev, Ramchandran, Moulin 1999, "Low-complexity image denoising based on
        statistical modeling of wavelet coefficients" (Wiener's filter by local energies); Burt,
        Adelson 1983, "The Laplacian pyramid as a compact image code"; Martin 2001, "Noise power
        spectral density estimation based on optimal smoothing and minimum statistics" (noise is
        what the quietest place has; theirs is of speech).
    """

    def __init__(self, num_bands: int) -> None:
        """Build it with random weights; each band is half as fine as the one before."""
        super().__init__()
        self.num_bands = num_bands
        self.layers = nn.Sequential(
            nn.Conv2d(4 * num_bands + 2, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.ReLU(),
        )
        self.out = nn.Conv2d(_WIDTH, 2 * num_bands, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]  # Conv2d's default bias

    def forward(self, filled: Tensor, gate: Tensor) -> Tensor:
        """A filled photograph without its grain.

        Args:
            filled: (N, 3, H, W) RGB in [0, 1]; H and W multiples of 16.
            gate: (N, 1, H, W) in [0, 1], how far each pixel was.

        Returns:
            (N, 3, H, W) RGB.
        """
        luma = make_neutral(filled)
        rest, seen = torch.cat([luma[:, :1], filled - luma], dim=1), 1 - gate  # (N, 4, H, W)
        bands, quiet = [], []
        told = [F.avg_pool2d(luma[:, :1], _CELL_PX), F.avg_pool2d(gate, _CELL_PX)]
        for number in range(self.num_bands):
            coarser = F.avg_pool2d(rest, 2)
            bands.append(rest - double_size(coarser))
            level, least = _measure_noise(bands[-1], seen, _CELL_PX >> number)
            quiet.append(least)
            told += [_tell(level), _tell(least)]
            rest, seen = coarser, F.avg_pool2d(seen, 2)
        found = self.out(self.layers(torch.cat(told, dim=1)))  # (N, 2 B, H / 16, W / 16)
        shares = F.softplus(_STRETCH * found + _BIAS).chunk(self.num_bands, dim=1)
        for number in reversed(range(self.num_bands)):
            noise = 2 * (shares[number] * quiet[number]).square()
            noise = F.interpolate(noise, scale_factor=float(_CELL_PX >> number), mode="bilinear")
            rest = double_size(rest) + _shrink(bands[number], noise)
        return rest[:, :1] + rest[:, 1:]


def _measure_noise(band: Tensor, seen: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Mean absolute values of luma and chroma by cell, (N, 2, h, w), and the least ones nearby."""
    size = _split(band.abs())
    share = F.avg_pool2d(seen, side)
    level = F.avg_pool2d(size * seen, side) / share.clamp(min=0.05)
    asked = level + (share < _MIN_SEEN_FRAC).to(level.dtype)  # more than any that is seen
    least = mean_around(-max_around(-asked, _QUIET_CELLS), _QUIET_CELLS).clamp(max=1)
    return level, least


def _tell(level: Tensor) -> Tensor:
    """Levels as a network takes them: by their logarithm, about 0."""
    return torch.log(level + _MIN_LEVEL) + 4


def _shrink(band: Tensor, noise: Tensor) -> Tensor:
    """A band (N, 4, H, W), less the share of its local energy that is noise (N, 2, H, W)."""
    energy = _split(mean_around(band.square(), _AROUND_PX))
    kept = (energy - noise).clamp(min=0) / (energy + _MIN_ENERGY)
    return torch.cat([kept[:, :1], kept[:, 1:].expand(-1, 3, -1, -1)], dim=1) * band


def _split(band: Tensor) -> Tensor:
    """Of luma, and the mean of the chroma of the three colours: (N, 2, H, W) of (N, 4, H, W)."""
    return torch.cat([band[:, :1], band[:, 1:].mean(1, keepdim=True)], dim=1)
