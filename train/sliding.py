"""Maxima and means over the square around each pixel.

torch's pooling takes each pixel of a window by itself, and on CPUs one after the other: on single
planes it takes longer than the layers of a small network. Here windows are put together from halves
of halves, row by row, so that a side of 15 px costs seven sums in place of 225.

Source:
    van den Boomgaard, van Balen 1992, "Methods for fast morphological image transforms using
    bitmapped binary images" (logarithmic decomposition).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def max_around(x: Tensor, side: int) -> Tensor:
    """Maxima of (N, C, H, W) over a square of an odd side around each pixel, within the picture."""
    if torch.onnx.is_in_onnx_export():  # pooling is fast in a graph
        return F.max_pool2d(x, side, stride=1, padding=side // 2)
    return _slide_both(x, side, float("-inf"), torch.maximum)


def mean_around(x: Tensor, side: int) -> Tensor:
    """Means of (N, C, H, W) over a square of an odd side around each pixel, within the picture."""
    if torch.onnx.is_in_onnx_export():
        return F.avg_pool2d(x, side, stride=1, padding=side // 2, count_include_pad=False)
    ones = x.new_ones(1, 1, *x.shape[2:])
    return _slide_both(x, side, 0.0, torch.add) / _slide_both(ones, side, 0.0, torch.add)


def _slide_both(
    x: Tensor, side: int, fill: float, combine: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    reach = side // 2
    x = x.contiguous()
    rows = _slide(F.pad(x, (reach, reach), value=fill), side, 3, combine)
    return _slide(F.pad(rows, (0, 0, reach, reach), value=fill), side, 2, combine)


def _slide(
    padded: Tensor, side: int, dim: int, combine: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """What each window of `side` pixels in a row comes to, by windows of 1, 2, 4, ... pixels."""
    length = padded.shape[dim] - side + 1
    window, width, start = padded, 1, 0
    result: Tensor | None = None
    while True:
        if side & width:
            part = window.narrow(dim, start, length)
            result = part if result is None else combine(result, part)
            start += width
        if 2 * width > side:
            assert result is not None
            return result
        num = window.shape[dim] - width
        window = combine(window.narrow(dim, 0, num), window.narrow(dim, width, num))
        width *= 2
