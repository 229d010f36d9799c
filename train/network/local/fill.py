"""What marks hide, and what is put in its place from around them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from train.network.layers import double_size
from train.sliding import max_around, mean_around

# The gate of the U-Net is the marks' probability stretched by this much at both ends and clipped,
# so that it can be exactly 0 and 1 (Louizos, Welling, Kingma 2018, "Learning sparse neural networks
# through L0 regularization", the hard concrete's stretch): a faint doubt removes nothing.
_GATE_STRETCH = 0.05
# Up to the first probability there can be no mark, or surely is none; from the second on there can
# be, or surely is.
_POSSIBLE, _SURE = (0.35, 0.55), (0.75, 0.92)
# From sure marks possible ones are followed so many steps of a cell of 2 x 2 pixels, over gaps of a
# pixel: 48 px, less than the tiles' margin.
_NUM_STEPS = 24
# A cell of the pyramid of which this share is seen is as good as one that is seen entirely.
_SEEN_FRAC = 0.25
_MIN_WEIGHT = 1e-4


def open_gate(marks_logits: Tensor) -> Tensor:
    """How far found marks hide the photograph, (N, 1, H, W) in [0, 1], by their opacity."""
    return (torch.sigmoid(marks_logits) * (1 + 2 * _GATE_STRETCH) - _GATE_STRETCH).clamp(0, 1)


def decide_hidden(marks_logits: Tensor) -> Tensor:
    """The same by how likely there is a mark at all, which is hidden entirely or not.

    Half filled, an opaque hair is still a hair. What may be a mark counts where it goes on from
    what surely is one: cracks fade and come again, eyes are doubtful by themselves.

    Args:
        marks_logits: (N, 1, H, W); H and W even.

    Source:
        Canny 1986, "A computational approach to edge detection", section VI (two thresholds).
    """
    probability = torch.sigmoid(marks_logits)
    possible, sure = _ramp(probability, *_POSSIBLE), _ramp(probability, *_SURE)
    possible_near, found = F.max_pool2d(possible, 2), F.max_pool2d(sure, 2)
    for _ in range(_NUM_STEPS):
        found = torch.minimum(max_around(found, 3), possible_near)
    return torch.minimum(possible, F.interpolate(found, scale_factor=2.0, mode="nearest"))


def _ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 up to `low`, 1 from `high` on."""
    return ((x - low) / (high - low)).clamp(0, 1)


def find_hidden(marks: Tensor) -> Tensor:
    """What is filled of marks that are known, (N, 1, H, W): a pixel more, for rims are half ink."""
    return max_around(marks, 3)


def fill_from_around(photo: Tensor, marks: Tensor, num_scales: int = 5) -> Tensor:
    """Continue a photograph smoothly into its marks.

    Args:
        photo: (N, 3, H, W) RGB in [0, 1]; H and W multiples of 2^num_scales.
        marks: (N, 1, H, W) in [0, 1]; 1 hides the photograph.
        num_scales: Halvings; holes of up to about 2^num_scales px are filled.

    Returns:
        (N, 3, H, W) RGB: the weighted mean of what is visible around, at the finest scale at which
        something is.

    Source:
        Gortler, Grzeszczuk, Szeliski, Cohen 1996, "The Lumigraph", pull-push (section 3.4.2).
    """
    weights = [1 - marks]
    sums = [photo * weights[0]]  # premultiplied by the weight
    for _ in range(num_scales):
        sums.append(F.avg_pool2d(sums[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    hidden = F.avg_pool2d(photo, 2**num_scales)  # where all is hidden, better than black
    filled = (sums[-1] + 1e-3 * hidden) / (weights[-1] + 1e-3)
    for total, weight in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        filled = total + (1 - weight) * double_size(filled)
    return filled


def fill_evenly(photo: Tensor, marks: Tensor, num_scales: int = 5) -> Tensor:
    """Continue a photograph into its marks so that no rim is seen.

    As `fill_from_around`, but on the way up a cell that is seen in part keeps its own mean, and
    what is hidden is drawn towards the mean of its neighbours: nearly the surface without bumps
    that fits the surroundings. Under thin opaque hairs it errs by less than fast marching does
    (docs/experiments.md).

    Args:
        photo: (N, 3, H, W) RGB in [0, 1]; H and W multiples of 2^num_scales.
        marks: (N, 1, H, W) in [0, 1]; 1 hides the photograph.
        num_scales: Halvings; holes of up to about 10 x 2^num_scales px are filled, and what is
            farther than 5 x 2^num_scales px from a pixel has no say in it.

    Returns:
        (N, 3, H, W) RGB.

    Source:
        Gortler et al. 1996, as above; the smoothing is a step of Jacobi's method for Laplace's
        equation on each scale, as in Briggs, Henson, McCormick 2000, "A multigrid tutorial", ch. 2.
    """
    weights = [1 - marks]
    sums = [photo * weights[0]]  # premultiplied by the weight
    for _ in range(num_scales):
        sums.append(F.avg_pool2d(sums[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    filled = _fill_coarsest(sums[-1], weights[-1], F.avg_pool2d(photo, 2**num_scales))
    for total, weight in zip(reversed(sums[1:-1]), reversed(weights[1:-1]), strict=True):
        share = (weight / _SEEN_FRAC).clamp(max=1)
        known = total * (share / (weight + 1e-6))
        filled = known + (1 - share) * double_size(filled)
        filled = known + (1 - share) * mean_around(filled, 3)
    filled = sums[0] + marks * double_size(filled)
    return sums[0] + marks * mean_around(filled, 3)


def _fill_coarsest(total: Tensor, weight: Tensor, hidden: Tensor) -> Tensor:
    """The top of the pyramid: cells that see nothing take the mean of ever farther ones."""
    sums, weights = [total], [weight]
    for reach in (1, 2):
        sums.append(mean_around(sums[-1], 2 * reach + 1))
        weights.append(mean_around(weights[-1], 2 * reach + 1))
    filled = (sums[-1] + _MIN_WEIGHT * hidden) / (weights[-1] + _MIN_WEIGHT)
    for total, weight in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        share = (weight / _SEEN_FRAC).clamp(max=1)
        filled = total * (share / (weight + 1e-6)) + (1 - share) * filled
    return filled
