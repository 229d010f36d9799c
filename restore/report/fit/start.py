"""Where the fit begins: medians of what became of each tone, and the best of a few responses."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from restore.report.estimate import GREYS
from restore.report.fit.model import ROBUST_SCALE
from restore.report.fit.solve import Doubles
from restore.report.fit.unknowns import NUM_CONTROLS, Unknowns, chroma_of
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

_MAX_PIXELS = 8000
_LEAST_SHARE = 0.03
_LUMA_PREFERENCE = 0.02
"""Cost of a response that isn't that of the eye, per mean square difference."""


def start_values(at: Unknowns, restored: Floats, original: Floats, weight: Floats) -> Doubles:
    """Values of the model's unknowns from simple statistics.

    Args:
        at: Where they stand.
        restored: (H, W, 3) sRGB in [0, 1].
        original: (H, W, 3) likewise.
        weight: (H, W) in [0, 1], 0 where marks hide the photograph.

    Returns:
        (n,).
    """
    seen = weight > 0
    before, after = restored[seen], original[seen]
    values = np.zeros(at.num)
    if at.is_monochrome:
        response = _start_response(before, after @ LUMA_WEIGHTS)
        pairs = [(before @ response, after @ LUMA_WEIGHTS)]
        values[at.response] = response
        values[at.chroma] = chroma_of(_start_tint(after)).ravel()
    else:
        pairs = [(before[:, c], after[:, c]) for c in range(3)]
        values[at.response] = np.eye(3).ravel()
    curves = np.stack([_start_curve(*pair) for pair in pairs])
    values[at.rises] = np.diff(curves, axis=1, prepend=0).ravel()
    values[at.light] = 1
    values[at.fade] = 0.02
    values[at.fade_color] = np.percentile(after, 98, axis=0) if len(after) else 1
    return values


def _start_response(before: Floats, after: Floats) -> Floats:
    """(3,) what share of red, green and blue makes the tones, the best of a few.

    Args:
        before: (n, 3) restored colours.
        after: (n,) brightness that became of them.
    """
    some = slice(None, None, 1 + len(before) // _MAX_PIXELS)
    before, after = before[some], after[some]
    steps = range(5)
    shares = [(r / 4, g / 4, 1 - r / 4 - g / 4) for r in steps for g in steps if r + g <= 4]
    best, best_cost = LUMA_WEIGHTS, math.inf
    for share in (tuple(LUMA_WEIGHTS), *shares):
        weights = np.clip(share, _LEAST_SHARE, None).astype(np.float32)
        weights /= weights.sum()
        exposed = before @ weights
        curve = _start_curve(exposed, after)
        off = np.interp(exposed, np.linspace(0, 1, NUM_CONTROLS), curve) - after
        cost = float(np.log1p((off / ROBUST_SCALE) ** 2).mean()) if len(after) else 0.0
        cost += _LUMA_PREFERENCE * float(((weights - LUMA_WEIGHTS) ** 2).mean())
        if cost < best_cost:
            best, best_cost = weights, cost
    return best


def _start_curve(before: Floats, after: Floats) -> Floats:
    """Median of the tones that became of each tone, at the controls of a curve."""
    places = np.linspace(0, 1, NUM_CONTROLS)
    index = np.rint(before * (NUM_CONTROLS - 1)).astype(int)
    enough = max(10, len(before) // 1000)
    known = [i for i in range(NUM_CONTROLS) if np.count_nonzero(index == i) >= enough]
    if len(known) < 2:
        return places.astype(np.float32)
    medians = np.maximum.accumulate([np.median(after[index == i]) for i in known])
    curve = np.interp(places, places[known], medians)
    # Tones that do not occur: straight on, as far as the range allows.
    slope = (medians[-1] - medians[0]) / (places[known[-1]] - places[known[0]])
    low, high = places < places[known[0]], places > places[known[-1]]
    curve[low] = medians[0] + slope * (places[low] - places[known[0]])
    curve[high] = medians[-1] + slope * (places[high] - places[known[-1]])
    return np.maximum.accumulate(curve.clip(0, 1)).astype(np.float32)


def _start_tint(after: Floats) -> Floats:
    """(3, 3) colour without brightness of black, middle grey and white."""
    luma = (after @ LUMA_WEIGHTS).clip(0, 1)
    hats = np.stack([np.clip(1 - np.abs(luma - grey) * 2, 0, 1) for grey in GREYS], axis=1)
    normal = hats.T @ hats + 1e-3 * max(1, len(luma)) * np.eye(3)
    return np.linalg.solve(normal, hats.T @ (after - luma[:, None])).astype(np.float32)
