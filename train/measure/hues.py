"""Which hues photographs have, and whether their colours stay within things.

A wash of brown can be near the truth on average; what gives it away is that it has one hue, and
that it doesn't end where things end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from train.losses.fidelity import split_luma_chroma
from train.measure.metrics import convert_to_lab

NUM_HUES = 24
# Chroma of L*a*b* that nobody sees as a colour: rounding gives greys a hue, too, in L*a*b* of 8
# bits by up to 1.4.
_MIN_CHROMA = 2.0
# From one pixel to the next, a change by fewer than two levels of 8 bits is none.
_SAME = 2 / 255
# Below this mean chroma a set of photographs is grey and has no colours to leak.
_GREY = 0.5 / 255


def count_hues(photo: Tensor) -> Tensor:
    """Chroma of photographs (N, 3, H, W) by hue angle in L*a*b*, (N, 24) float64."""
    _, a, b = convert_to_lab(photo).double().flatten(2).unbind(1)
    chroma = torch.hypot(a, b)
    chroma = torch.where(chroma < _MIN_CHROMA, torch.zeros_like(chroma), chroma)
    turn = (torch.atan2(b, a) / (2 * math.pi)) % 1
    hues = (turn * NUM_HUES).long().clamp(max=NUM_HUES - 1)
    return torch.zeros(len(photo), NUM_HUES, dtype=chroma.dtype).scatter_add_(1, hues, chroma)


def summarise_hue_spread(counts: Tensor) -> float:
    """How many of 24 hues share the colour evenly: 1 to 24; 0 of greys.

    The exponential of the entropy of the histogram, also called its perplexity.

    Args:
        counts: (24,), of one photograph or summed over many.

    Source:
        Jost 2006, "Entropy and diversity", table 1 (Shannon entropy as a number of species).
    """
    total = counts.sum()
    return float(torch.exp(torch.special.entr(counts / total).sum())) if total else 0.0


def summarise_top_hue(counts: Tensor) -> float:
    """Share of all colour that the commonest of 24 hues has; 0 of greys."""
    total = counts.sum()
    return float(counts.max() / total) if total else 0.0


def count_leak(restored: Tensor, clean: Tensor) -> Tensor:
    """What `summarise_leak` needs of photographs (N, 3, H, W): (N, 4) float64, to be summed.

    Returns:
        The gradient of chroma summed over places where neither luma nor chroma of the clean
        photograph changes; the number of these; chroma summed over all pixels; their number.

    Source:
        Ours, after Levin, Lischinski, Weiss 2004, "Colorization using optimization", section 2:
        where luma doesn't change, colours shouldn't; asking the true chroma, too, allows what truly
        changes.
    """
    luma, true_chroma = split_luma_chroma(clean)
    chroma = split_luma_chroma(restored)[1]
    flat = (_gradient(luma) < _SAME) & (_gradient(true_chroma) < _SAME)
    strength = torch.linalg.vector_norm(chroma, dim=1).double().flatten(1)
    stray = (_gradient(chroma) * flat).double().flatten(1)
    num_pixels = torch.full((len(clean),), strength.shape[1], dtype=torch.float64)
    return torch.stack([stray.sum(1), flat.flatten(1).sum(1), strength.sum(1), num_pixels], dim=1)


def summarise_leak(counts: Tensor) -> float:
    """Mean gradient of chroma where nothing truly changes over mean chroma, times 100; 0 of greys.

    True colours leak as well: by noise, and by changes too small to count.

    Args:
        counts: (4,), summed over photographs.
    """
    stray, num_flat, strength, num_pixels = counts.tolist()
    chroma = strength / max(num_pixels, 1)
    return 100 * stray / max(num_flat, 1) / chroma if chroma >= _GREY else 0.0


def _gradient(field: Tensor) -> Tensor:
    """Length of the difference to the pixels right of and below each, (N, 1, h - 1, w - 1)."""
    here = field[:, :, :-1, :-1]
    down, right = field[:, :, 1:, :-1] - here, field[:, :, :-1, 1:] - here
    return (down.square() + right.square()).sum(1, keepdim=True).sqrt()
