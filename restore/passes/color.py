"""Colours for photographs without any, and for what hints reach.

They are found in luma at two scales. Seen small, a photograph shows what it is of; seen twice as
large, what its things are: hands and hats among them, a few pixels wide in the small copy. So fine
colours are taken from the larger copy, and what varies slowly from the small one. Both copies are
restored first: a crack that is still there is taken for the outline of a thing.
"""

from __future__ import annotations

import cv2
import numpy as np

from restore.engine.network import LOOK_MAX_PX, Network
from restore.passes.fusion import Floats, LaidColor, fit_to_luma, sum_among_alike

FINER = 2
"""How much larger the second copy is, if the photograph has the pixels."""

# What varies over more than this, in shares of the copy's short side, comes from the small copy.
_SLOW_FRAC = 1 / 16
_SLOW_EPS = 0.01
# Along outlines, colours are those of what is beside them and as light: of so many levels of luma,
# weighed by a Gaussian of so many pixels of the small copy. From about this step of luma within
# two pixels a pixel is part of an outline; its own colours still count for so much.
_LEVELS, _BESIDE_SIGMA_PX, _OUTLINE_STEP, _OWN_WEIGHT = 10, 4.0, 0.08, 0.01
# Chroma by which the reach of hints is probed; from which reach on they count, and count fully.
_PROBE, _FAR, _NEAR = 0.12, 0.3, 0.7


def size_finer(height: int, width: int, color_px: int) -> tuple[int, int]:
    """Rows and columns of the copy of a photograph that shows its things, never enlarged."""
    side_px = FINER * color_px
    scale = max(min(height, width) / side_px, max(height, width) / LOOK_MAX_PX, 1.0)
    return round(height / scale), round(width / scale)


def lay_color(
    network: Network,
    luma: Floats,
    hints: Floats | None,
    own_color: float,
    size: tuple[int, int],
) -> LaidColor:
    """Colours for a reduced copy of so many rows and columns, and how much of them counts.

    Hints count as far as they reach, which shows when they are replaced by opposite colours:
    elsewhere a photograph keeps its own colours, or those that it gets without hints.

    Args:
        network: That takes hints.
        luma: (h, w) in [0, 1], of a restored copy.
        hints: (h, w, 3), from `restore.hints.paint_hints`.
        own_color: Of the photograph, from `measure_own_color`.
        size: Rows and columns of the copy.
    """
    chroma = _lay_calmly(network, luma, hints, size)
    share = np.full(size, 1 - own_color, np.float32)
    if hints is not None:
        probe = np.array([_PROBE, 0, 1], np.float32) * hints[..., 2:]
        opposite = np.array([-1, 1, 1], np.float32) * probe
        apart = np.subtract(*(network.lay_color(luma, h, size) for h in (probe, opposite)))
        reach = np.hypot(apart[..., 0], apart[..., 1]) / np.float32(2 * _PROBE)
        near = ((reach - _FAR) / (_NEAR - _FAR)).clip(0, 1)
        if own_color < 1:
            plain = _lay_calmly(network, luma, None, size)
            chroma = plain + near[..., None] * (chroma - plain)
        share = np.maximum(share, near)
    return LaidColor(chroma, share.astype(np.float32))


def _lay_calmly(
    network: Network, luma: Floats, hints: Floats | None, size: tuple[int, int]
) -> Floats:
    return calm_outlines(_shrink(luma, size), _lay_twice(network, luma, hints, size))


def _lay_twice(
    network: Network, luma: Floats, hints: Floats | None, size: tuple[int, int]
) -> Floats:
    coarse = network.lay_color(luma, hints, size)
    side_px = choose_fine_side(network.color_px, *luma.shape)
    if side_px == network.color_px:
        return coarse
    fine = network.lay_color(luma, hints, size, side_px=side_px)
    return join_scales(_shrink(luma, size), coarse, fine)


def _shrink(luma: Floats, size: tuple[int, int]) -> Floats:
    return cv2.resize(luma, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def choose_fine_side(color_px: int, height: int, width: int) -> int:
    """Short side of the larger copy of luma; that of the small one if there is no larger.

    It is never enlarged: things would only seem nearer than they are.
    """
    return max(color_px, min(FINER * color_px, height, width))


def join_scales(luma: Floats, coarse: Floats, fine: Floats) -> Floats:
    """Fine colours, but what varies slowly.

    The difference is smoothed within what is alike in luma, so that nothing bleeds over outlines.

    Args:
        luma: (h, w) in [0, 1].
        coarse: (h, w, 2) chroma as found in a small copy.
        fine: (h, w, 2) as found in a larger one.
    """
    radius_px = max(1, round(_SLOW_FRAC * min(luma.shape)))
    slope, offset = fit_to_luma(
        luma, coarse - fine, np.ones_like(luma), radius_px=radius_px, eps=_SLOW_EPS
    )
    return fine + slope * luma[..., None] + offset


def calm_outlines(luma: Floats, chroma: Floats) -> Floats:
    """Take the fringes of what is laid away: halos around heads, rainbows in writing.

    At an outline the network is torn between both sides. What lies beside it knows better: its
    pixels get the mean colour of those around that are as light and part of no outline, if there
    are any. Elsewhere fine colours stay: without them a photograph looks tinted.

    Args:
        luma: (h, w) in [0, 1].
        chroma: (h, w, 2).

    Source:
        Chen, Paris, Durand 2007, "Real-time edge-aware image processing with the bilateral grid",
        at the copy's own resolution.
    """
    step = cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
    weight = np.asarray(1 / (1 + (step / np.float32(_OUTLINE_STEP)) ** 4), np.float32)

    def smooth(values: Floats) -> Floats:
        sigma = _BESIDE_SIGMA_PX
        return np.asarray(
            cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        )

    total = sum_among_alike(luma, chroma, weight, _LEVELS, smooth)
    total += np.float32(_OWN_WEIGHT) * np.dstack([chroma, np.ones_like(luma)])
    beside = total[..., :2] / total[..., 2:]
    calm: Floats = chroma + (1 - weight[..., None]) * (beside - chroma)
    return calm
