"""Layers at native resolution, a strip of rows at a time: the same numbers from less memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def run_in_strips(
    layers: Callable[..., Tensor], num_strips: int, reach: int, *planes: tuple[Tensor, int]
) -> Tensor:
    """Apply layers to strips of rows and put the results together.

    What a layer keeps for each pixel is held for a strip only. Equal to `layers` on the whole but
    for rounding; may be traced, with a free height.

    Args:
        layers: Takes the planes, returns (N, C, h, W) for the h rows of the first.
        num_strips: 1 runs the whole at once.
        reach: Rows around a row on which its result depends, a multiple of every factor.
        planes: (N, C, H / factor, W / factor) and the factor, the first with the factor 1; H is a
            multiple of every factor.

    Returns:
        (N, C, H, W).
    """
    if num_strips == 1:
        return layers(*(plane for plane, _ in planes))
    unit = max(factor for _, factor in planes)
    height = torch.as_tensor(planes[0][0].shape[2])
    step = _divide(height, unit * num_strips) * unit
    results = []
    for i in range(num_strips):
        start, stop = step * i, step * (i + 1) if i < num_strips - 1 else height
        first, last = torch.relu(start - reach), stop + reach
        rows = [
            plane[:, :, _divide(first, factor) : _divide(last, factor)] for plane, factor in planes
        ]
        results.append(layers(*rows)[:, :, start - first : stop - first])
    return torch.cat(results, dim=2)


def _divide(number: Tensor, divisor: int) -> Tensor:
    """Without remainder; numbers aren't negative. `//` is exported as eight operators."""
    return torch.div(number, divisor, rounding_mode="trunc")
