"""The filter that takes grain away: how much, and what it spares."""

import math

import pytest
import torch
from torch import Tensor

from train.network.local.shrinkage import Shrinkage

SIGMA = 0.05


def make_filter(share: float) -> Shrinkage:
    """A filter that takes each level of noise for so many times that of the quietest place."""
    filtering = Shrinkage(2)
    with torch.no_grad():
        stretched = math.log(math.expm1(share))  # softplus gives the share back
        filtering.out.bias.fill_((stretched + 3) / 20)
    return filtering.requires_grad_(False)


def draw_grain(seed: int, size: tuple[int, int] = (128, 160)) -> Tensor:
    """Noise (1, 3, H, W), the same in all bands."""
    rng = torch.Generator().manual_seed(seed)
    return SIGMA * torch.randn(1, 1, *size, generator=rng).expand(-1, 3, -1, -1)


def test_untrained_filter_changes_next_to_nothing() -> None:
    """Not even noise alone changes by more than 1/255."""
    photo = (0.5 + draw_grain(0)).clamp(0, 1)
    change = Shrinkage(3)(photo, torch.zeros(1, 1, 128, 160)) - photo
    assert change.abs().max() < 1 / 255


def test_grain_goes_and_edges_stay() -> None:
    """Of grain on two greys less than half is left; the edge between them is as steep as before."""
    photo = torch.full((1, 3, 128, 160), 0.3)
    photo[..., 80:] = 0.8
    restored = make_filter(2.5)(photo + draw_grain(1), torch.zeros(1, 1, 128, 160))
    left = (restored - photo)[..., 8:-8, [*range(8, 72), *range(88, 152)]].std()
    assert left < SIGMA / 2
    step = restored[..., 82:84].mean() - restored[..., 76:78].mean()
    assert step == pytest.approx(0.5, abs=0.02)


def test_texture_among_quiet_places_stays() -> None:
    """Where it is quiet all around, texture is no grain, and nothing is taken from it."""
    photo = torch.full((1, 3, 128, 160), 0.4)
    photo[:, :, 48:80:4, 64:96] = 0.7
    restored = make_filter(2.5)(photo, torch.zeros(1, 1, 128, 160))
    assert (restored - photo).abs().max() < 1 / 255


def test_what_was_filled_tells_nothing_of_the_grain() -> None:
    """A large smooth fill is the quietest place, and grain beside it goes all the same."""
    photo, grain = torch.full((1, 3, 128, 160), 0.5), draw_grain(2)
    gate = torch.zeros(1, 1, 128, 160)
    gate[..., 32:64, 64:96] = 1
    damaged = photo + grain * (1 - gate)
    told, untold = (make_filter(2.5)(damaged, g) - photo for g in (gate, torch.zeros_like(gate)))
    beside = (..., slice(70, 84), slice(64, 96))
    assert told[beside].std() < SIGMA / 2 < untold[beside].std()


def test_colored_noise_goes_and_luma_stays() -> None:
    """Noise of chroma alone is taken away; luma, which has none, is left."""
    rng = torch.Generator().manual_seed(3)
    noise = SIGMA * torch.randn(1, 1, 128, 160, generator=rng)
    photo = 0.5 + noise * torch.tensor([0.587, -0.299, 0.0])[:, None, None]  # of no luma
    restored = make_filter(2.5)(photo, torch.zeros(1, 1, 128, 160))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert (restored - 0.5)[:, 0].std() < 0.5 * (photo - 0.5)[:, 0].std()
    assert ((restored * weights).sum(1) - 0.5).abs().max() < 1 / 255
