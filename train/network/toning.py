"""Toning: the one hue, more or less of it by lightness, that a print without colours came with.

It tells how a print was made and how it aged, not what it shows. Lamplight and cameras add to it,
without end: a network can't have seen every olive. So colours are looked for in a neutral copy,
while the tones, which toning says something about, are looked for in the photograph as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.ycc import EDGE_FRAC, LUMA_WEIGHTS, MIDDLE_SPREADS, SPREAD_FRACS, SPREADS

SATURATION = 1.08
"""The likeliest guess at a colour, a mean, is duller than any that may have been; this much."""

_REDUCTION = 4


def measure_toning(photos: Tensor) -> Tensor:
    """How surely what colour there is in photographs is nothing but toning.

    Args:
        photos: (N, 3, h, w) RGB in [0, 1]; reduced copies suffice.

    Returns:
        (N,), 1 for grey and evenly tinted ones, 0 from the first doubt on.
    """
    return (1 - 2 * _measure_own_color(photos.detach())).clamp(min=0).to(photos.dtype)


def measure_toning_reduced(photos: Tensor) -> Tensor:
    """The same of photographs (N, 3, H, W) made smaller, which takes a fraction of the time."""
    return measure_toning(F.avg_pool2d(photos, _REDUCTION))


def make_neutral(photos: Tensor) -> Tensor:
    """The luma of photographs (N, 3, h, w) in all three bands."""
    return (photos * _weights(photos)[:, None, None]).sum(1, keepdim=True).expand_as(photos)


def replace_colors(grid: Tensor, neutral_grid: Tensor, toning: Tensor) -> Tensor:
    """The grid that takes luma from one grid and chroma from what another does to neutral copies.

    That chroma is given `SATURATION`.

    Both only add an affine function of each pixel's colour, and so does the grid that unites them.

    Args:
        grid: (N, 12, h, w) of the photographs, as `GlobalBranch` gives it.
        neutral_grid: Likewise, of their neutral copies.
        toning: (N,) in [0, 1]; how much of the chroma is replaced.

    Returns:
        (N, 12, h, w).
    """
    identity = torch.eye(3, dtype=grid.dtype, device=grid.device)
    luma = _weights(grid).expand(3, 3)  # of a colour, in all three bands
    chroma = identity - luma
    rows = (len(grid), 4, 3, *grid.shape[2:])  # three of the matrix, the offset
    own, other = grid.reshape(rows), neutral_grid.reshape(rows)
    other = SATURATION * other
    matrix = torch.einsum("nrkhw,kc->nrchw", other[:, :3], luma)
    matrix = matrix - own[:, :3] - identity[:, :, None, None]
    matrix = torch.einsum("rk,nkchw->nrchw", chroma, matrix)
    offset = torch.einsum("rk,nkhw->nrhw", chroma, other[:, 3] - own[:, 3])
    change = torch.cat([matrix.flatten(1, 2), offset], dim=1)
    return grid + toning[:, None, None, None] * change


def _measure_own_color(photos: Tensor) -> Tensor:
    """What `restore.ycc.measure_own_color` measures, (N,), of photographs (N, 3, h, w)."""
    exact = photos.float() if photos.device.type == "mps" else photos.double()  # mps has no double
    spread, size = _measure_spread(exact)
    low, high = SPREAD_FRACS
    by_share = (spread - low * size) / ((high - low) * size).clamp(min=1e-9)
    rows, columns = (round(n * EDGE_FRAC) for n in exact.shape[2:])
    middle = exact[:, :, rows : exact.shape[2] - rows, columns : exact.shape[3] - columns]
    by_spread = _rise(spread, SPREADS).minimum(_rise(_measure_spread(middle)[0], MIDDLE_SPREADS))
    return torch.minimum(by_share, by_spread).clamp(0, 1)


def _measure_spread(photos: Tensor) -> tuple[Tensor, Tensor]:
    """Chroma that luma doesn't explain, and all chroma: (N,) root mean squares."""
    bands = photos.flatten(2)  # (N, 3, P)
    luma = (bands * _weights(photos)[:, None]).sum(1)  # (N, P)
    chroma = torch.stack([(bands[:, 2] - luma) / 1.772, (bands[:, 0] - luma) / 1.402], dim=2)
    centred = luma - 0.5
    toning = torch.stack([torch.ones_like(centred), centred, centred.square()], dim=2)  # (N, P, 3)
    across = toning.transpose(1, 2)
    fit = torch.linalg.pinv(across @ toning, hermitian=True) @ (across @ chroma)  # (N, 3, 2)
    spread = (chroma - toning @ fit).square().sum(2).mean(1).sqrt()
    return spread, chroma.square().sum(2).mean(1).sqrt()


def _rise(x: Tensor, ends: tuple[float, float]) -> Tensor:
    low, high = ends
    return (x - low) / (high - low)


def _weights(like: Tensor) -> Tensor:
    return torch.from_numpy(LUMA_WEIGHTS).to(like)
