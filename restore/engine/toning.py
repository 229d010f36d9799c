"""Toning: the one hue, more or less of it by lightness, that a print without colours came with.

It tells how a print was made and how it aged, not what it shows. Lamplight and cameras add to it,
without end: a network can't have seen every olive. So colours are looked for in a neutral copy,
while the tones, which toning says something about, are looked for in the photograph as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

SATURATION = 1.08
"""The likeliest guess at a colour, a mean, is duller than any that may have been; this much."""


def make_neutral(photo: Floats) -> Floats:
    """The luma of a photograph (h, w, 3) in all three bands."""
    return np.repeat((photo @ LUMA_WEIGHTS)[..., None], 3, axis=-1)


def replace_colors(grid: Floats, neutral_grid: Floats, toning: float) -> Floats:
    """The grid that takes luma from one grid and chroma from what another does to neutral copies.

    That chroma is given `SATURATION`. Both only add an affine function of each pixel's colour, and
    so does the grid that unites them.

    Args:
        grid: (12, h, w) of the photograph: a 3×3 matrix by rows, then an offset.
        neutral_grid: Likewise, of its neutral copy.
        toning: How much of the chroma is replaced, 0..1.

    Returns:
        (12, h, w).
    """
    identity = np.eye(3, dtype=np.float32)
    luma = np.broadcast_to(LUMA_WEIGHTS, (3, 3))  # of a colour, in all three bands
    chroma = identity - luma
    rows = (4, 3, *grid.shape[1:])  # three of the matrix, the offset
    own, other = grid.reshape(rows), np.float32(SATURATION) * neutral_grid.reshape(rows)
    matrix = np.einsum("rkhw,kc->rchw", other[:3], luma)
    matrix = matrix - own[:3] - identity[:, :, None, None]
    matrix = np.einsum("rk,kchw->rchw", chroma, matrix)
    offset = np.einsum("rk,khw->rhw", chroma, other[3] - own[3])
    change = np.concatenate([matrix.reshape(9, *grid.shape[1:]), offset])
    return (grid + np.float32(toning) * change).astype(np.float32)
