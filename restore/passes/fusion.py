"""Join the global pass and the local pass in a luma–chroma space, aspect by aspect.

The space is YCbCr (BT.601, full range): it is linear in RGB, so changes of single aspects add up to
the whole restoration exactly, no change is exactly no change, and how far chroma may go inside the
gamut has a closed form. With Δ the change that a pass makes, LP its low frequencies taken from
outside the marks, and m the marks:

    tone     LP(ΔY global)
    denoise  (1 − m) · (ΔY local − LP(ΔY local))
    repair        m  · (ΔYCbCr local − LP(ΔYCbCr local))
    color    ΔCbCr global, evened out where the photograph was monochrome, brought to native
             resolution along the edges of the restored luma, and for photographs that have
             colour (1 − m) · (ΔCbCr local − LP(ΔCbCr local))
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.ycc import LUMA_WEIGHTS, to_rgb, to_ycc

Floats = NDArray[np.float32]

# Cells of the grid that holds low frequencies, in pixels of the reduced copy.
CELL_REDUCED_PX = 4
# What the marks still weigh in the low frequencies: decides only where all around is marks.
_MARKS_WEIGHT = 0.02
# Chroma (distance from grey in the CbCr plane; pure red lies at .53) is bent from the knee on and
# never made larger than the limit. 99 % of pixels of everyday photographs lie below the knee.
_CHROMA_KNEE, _CHROMA_LIMIT = 0.18, 0.30
_GUIDE_RADIUS_PX, _GUIDE_EPS = 4, 1e-3
# Colours that were laid on a monochrome photograph are averaged among so many levels of luma and
# over cells of the reduced copy, with a Gaussian of so many cells.
_COLOR_LEVELS, _COLOR_CELL_PX, _COLOR_SIGMA_CELLS = 16, 4, 4.0


class Weights(NamedTuple):
    """How much of each aspect's change is applied, 0..1."""

    denoise: float
    repair: float
    tone: float
    color: float


@dataclass(frozen=True)
class Enlarger:
    """Bilinear samples of a small map at the pixels of a large photograph, row by row.

    Attributes:
        step_y: Rows of the photograph per row of the map.
        step_x: Columns of the photograph per column of the map.
        width: Of the photograph, px.
        top: Of the photograph, the row that counts as row 0: where a part of it starts.
        left: Likewise, the column.
    """

    step_y: float
    step_x: float
    width: int
    top: int = 0
    left: int = 0

    def part(self, top: int, left: int, width: int) -> Enlarger:
        """The same map for a part of the photograph."""
        return replace(self, top=self.top + top, left=self.left + left, width=width)

    def rows(self, small: Floats, y0: int, y1: int, first_row: int = 0) -> Floats:
        """Rows y0..y1 of the enlarged map.

        Args:
            small: (h, w, C); its first row is row `first_row` of the whole map.
            y0: First row of the photograph.
            y1: Row after the last.
            first_row: Where `small` starts.

        Returns:
            (y1 - y0, width, C).
        """
        top, left = self.top, self.left
        low, high, part = _taps(top + y0, top + y1, self.step_y, len(small) + first_row)
        low, high = low - first_row, high - first_row
        rows = small[low] + part[:, None, None] * (small[high] - small[low])
        low, high, part = _taps(left, left + self.width, self.step_x, small.shape[1])
        near = rows[:, low]
        return near + part[None, :, None] * (rows[:, high] - near)


def _taps(start: int, stop: int, step: float, size: int) -> tuple[NDArray[np.intp], ...]:
    position = ((np.arange(start, stop) + 0.5) / step - 0.5).clip(0, size - 1)
    low = np.floor(position).astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (position - low).astype(np.float32)


class LowFrequencies:
    """Low frequencies of a change that arrives band by band, taken from outside the marks.

    Weighted means over square cells, smoothed by 1-2-1 and enlarged bilinearly: finite support, so
    a row is final as soon as `reach_px` rows below it are known.
    """

    def __init__(self, height: int, width: int, cell_px: int) -> None:
        self.cell_px = cell_px
        self.reach_px = int(2.5 * cell_px) + 1
        self._enlarger = Enlarger(cell_px, cell_px, width)
        self._columns = np.arange(0, width, cell_px)
        shape = (-(-height // cell_px), len(self._columns))
        self._sums = np.zeros((*shape, 4), np.float32)  # change x 3, weight

    def add(self, y0: int, change: Floats, marks: Floats) -> None:
        """Take in rows from y0 on: change (h, W, 3), marks (h, W)."""
        weight = (1 - marks + np.float32(_MARKS_WEIGHT))[..., None]
        weighted = np.concatenate([change * weight, weight], axis=-1)
        columns = np.add.reduceat(weighted, self._columns, axis=1)  # (h, cells, 4)
        cells, starts = np.unique(
            np.arange(y0, y0 + len(change)) // self.cell_px, return_index=True
        )
        self._sums[cells] += np.add.reduceat(columns, starts, axis=0)

    def rows(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W, 3) low frequencies; rows up to y1 + reach_px must have been added."""
        first = max(0, y0 // self.cell_px - 2)
        sums = self._sums[first : (y1 - 1) // self.cell_px + 3]
        smooth = cv2.sepFilter2D(
            sums, -1, np.array([1, 2, 1.0]), np.array([1, 2, 1.0]), borderType=cv2.BORDER_CONSTANT
        )
        means = (smooth[..., :3] / smooth[..., 3:]).astype(np.float32)
        return self._enlarger.rows(means, y0, y1, first)


class LaidColor(NamedTuple):
    """Colours for a photograph without any, or for the places that hints reach.

    Attributes:
        chroma: (h, w, 2) Cb and Cr, on the reduced copy.
        share: (h, w) in [0, 1]: how much they take the place of what was there.
    """

    chroma: Floats
    share: Floats


class GlobalPass:
    """What the reduced copy says about tone and colour."""

    def __init__(
        self,
        reduced: Floats,
        restored: Floats,
        marks: Floats,
        *,
        own_color: float,
        height: int,
        width: int,
        laid: LaidColor | None = None,
    ) -> None:
        """Prepare the maps.

        Args:
            reduced: (h, w, 3) the reduced photograph, sRGB in [0, 1].
            restored: (h, w, 3) what the network made of it.
            marks: (h, w) in [0, 1].
            own_color: Of the photograph, from `measure_own_color`.
            height: Of the photograph, px.
            width: Of the photograph, px.
            laid: Colours that take the place of those in `restored`.
        """
        change = to_ycc(restored - reduced)
        low = LowFrequencies(marks.shape[0], marks.shape[1], CELL_REDUCED_PX)
        low.add(0, change, marks)
        self._tone = low.rows(0, len(marks))[..., :1]
        luma, chroma = to_ycc(restored)[..., 0], change[..., 1:]
        own = to_ycc(reduced)[..., 1:]
        self.bends = laid is None
        if laid is not None:
            chroma = chroma + laid.share[..., None] * (laid.chroma - own - chroma)
        elif own_color < 1:
            even = _even_out_colors(luma, own + chroma, marks) - own
            chroma = chroma + np.float32(1 - own_color) * (even - chroma)
        self._slope, self._offset = fit_to_luma(
            luma,
            chroma,
            1 - marks + np.float32(_MARKS_WEIGHT),
            radius_px=_GUIDE_RADIUS_PX,
            eps=_GUIDE_EPS,
        )
        # What follows no edge of luma: so that nothing that was laid is blurred by the fit.
        self._rest = np.zeros((1, 1, 2), np.float32)
        if laid is not None:
            self._rest = chroma - (self._slope * luma[..., None] + self._offset)
        self._enlarger = Enlarger(height / marks.shape[0], width / marks.shape[1], width)

    def part(self, top: int, left: int, width: int) -> GlobalPass:
        """What it says about a part of the photograph, whose first row is `top`."""
        part = copy(self)
        part._enlarger = self._enlarger.part(top, left, width)
        return part

    def tone(self, y0: int, y1: int) -> Floats:
        """(y1 - y0, W) change of luma."""
        return self._enlarger.rows(self._tone, y0, y1)[..., 0]

    def chroma(self, y0: int, y1: int, luma: Floats) -> Floats:
        """(y1 - y0, W, 2) change of chroma, along the edges of the restored luma (h, W)."""
        slope = self._enlarger.rows(self._slope, y0, y1)
        fitted = slope * luma[..., None] + self._enlarger.rows(self._offset, y0, y1)
        return fitted if self.bends else fitted + self._enlarger.rows(self._rest, y0, y1)


def _even_out_colors(luma: Floats, chroma: Floats, marks: Floats) -> Floats:
    """Chroma (h, w, 2) averaged among neighbours of like luma, marks left out.

    The network lays colour on in soft patches that reach beyond what they are meant for; so the
    halo around a head becomes what the wall is farther off, and the rim of the face skin.

    Source:
        Chen, Paris, Durand 2007, "Real-time edge-aware image processing with the bilateral grid".
    """
    height, width = luma.shape
    cells = (-(-width // _COLOR_CELL_PX), -(-height // _COLOR_CELL_PX))

    def smooth(values: Floats) -> Floats:
        grid = cv2.resize(values, cells, interpolation=cv2.INTER_AREA)
        grid = cv2.GaussianBlur(grid, (0, 0), _COLOR_SIGMA_CELLS, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR))

    weight = 1 - marks + np.float32(_MARKS_WEIGHT)
    total = sum_among_alike(luma, chroma, weight, _COLOR_LEVELS, smooth)
    even: Floats = total[..., :2] / total[..., 2:]
    return even


def sum_among_alike(
    luma: Floats,
    chroma: Floats,
    weight: Floats,
    num_levels: int,
    smooth: Callable[[Floats], Floats],
) -> Floats:
    """Sums of chroma among neighbours of like luma: a bilateral grid.

    Args:
        luma: (h, w).
        chroma: (h, w, 2).
        weight: (h, w), how much a pixel counts.
        num_levels: Of luma.
        smooth: What gathers (h, w, 3) from around each pixel, linearly.

    Returns:
        (h, w, 3) weighted sums of chroma, and of weights.
    """
    values = np.dstack([chroma, np.ones_like(luma)]) * weight[..., None]
    level = luma.clip(0, 1) * np.float32(num_levels - 1)
    total = np.zeros_like(values)
    for number in range(num_levels):
        near = (1 - np.abs(level - np.float32(number))).clip(0)[..., None]
        if near.any():
            total += near * smooth(values * near)
    return total


def fit_to_luma(
    luma: Floats, chroma: Floats, weight: Floats, *, radius_px: int, eps: float
) -> tuple[Floats, Floats]:
    """Slope and offset (h, w, 2) of chroma over luma around each pixel.

    Args:
        luma: (h, w).
        chroma: (h, w, 2), or a change of it.
        weight: (h, w), how much a pixel counts.
        radius_px: Of what is around.
        eps: Luma whose variance is no larger explains little.

    Source:
        He, Sun, Tang 2013, "Guided image filtering"; He, Sun 2015, "Fast guided filter". Ours is
        weighted.
    """
    side = 2 * radius_px + 1

    def mean(values: Floats) -> Floats:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101).astype(np.float32)

    weight_mean = mean(weight)

    def weighted_mean(values: Floats) -> Floats:
        return (mean(values * weight) / weight_mean).astype(np.float32)

    luma_mean = weighted_mean(luma)
    variance = weighted_mean(luma * luma) - luma_mean**2
    slopes, offsets = [], []
    for i in range(2):
        plane = np.ascontiguousarray(chroma[..., i])
        plane_mean = weighted_mean(plane)
        covariance = weighted_mean(luma * plane) - luma_mean * plane_mean
        slope = (covariance / (variance.clip(0) + eps)).astype(np.float32)
        slopes.append(weighted_mean(slope))
        offsets.append(weighted_mean((plane_mean - slope * luma_mean).astype(np.float32)))
    return np.stack(slopes, axis=-1), np.stack(offsets, axis=-1)


def fuse(
    photo: Floats,
    change: Floats,
    low: Floats,
    marks: Floats,
    spared: Floats,
    weights: Weights,
    whole: GlobalPass | None,
    *,
    y0: int,
    own_color: float,
    repairs_neutral: bool,
) -> Floats:
    """Apply the wanted part of each aspect's change to some rows.

    Args:
        photo: (h, W, 3) sRGB; colours outside sRGB may leave [0, 1].
        change: (h, W, 3) YCbCr change of the local pass.
        low: (h, W, 3) its low frequencies.
        marks: (h, W) in [0, 1]: what counts as damage.
        spared: (h, W) in [0, 1]: what else is to be left alone.
        weights: How much of each aspect.
        whole: The global pass; None where the local pass saw the photograph as a whole.
        y0: First of the rows.
        own_color: From `measure_own_color`.
        repairs_neutral: Whether what is laid on a photograph without colours is no part of
            `change`: then all that changes in its chroma is toning.

    Returns:
        (h, W, 3) sRGB; equal to `photo` where nothing changes.
    """
    detail = change - low
    grain = (1 - marks) * (1 - spared)
    own = to_ycc(photo)
    if whole is None:
        tone = low[..., 0]
        chroma = change[..., 1:] - marks[..., None] * detail[..., 1:]
    else:
        tone = whole.tone(y0, y0 + len(photo))
        luma = own[..., 0] + tone + (marks + grain) * detail[..., 0]
        chroma = whole.chroma(y0, y0 + len(photo), luma)
        chroma += np.float32(own_color) * grain[..., None] * detail[..., 1:]

    applied = np.empty_like(change)
    applied[..., 0] = weights.tone * tone
    applied[..., 0] += (weights.repair * marks + weights.denoise * grain) * detail[..., 0]
    # In a photograph that stays monochrome, mended places must not become coloured; but a white
    # scratch on a brown print becomes brown.
    mended = weights.repair * max(float(repairs_neutral), own_color, weights.color)
    applied[..., 1:] = weights.color * chroma + mended * marks[..., None] * detail[..., 1:]
    if whole is None or whole.bends:
        _keep_plausible(own[..., 1:], applied[..., 1:])
    return fit_gamut(photo, photo + to_rgb(applied))


def _keep_plausible(chroma: Floats, change: Floats) -> None:
    """Bend `change` (in place) so that no chroma beyond the limit is made; what was stays."""
    wanted = chroma + change
    radius = np.hypot(wanted[..., 0], wanted[..., 1])
    room = np.float32(_CHROMA_LIMIT - _CHROMA_KNEE)
    bent = _CHROMA_KNEE + room * np.tanh((radius - _CHROMA_KNEE) / room)
    allowed = np.maximum(bent, np.hypot(chroma[..., 0], chroma[..., 1]))
    over = (radius > _CHROMA_KNEE) & (radius > allowed)
    scale = allowed[over] / radius[over]
    change[over] = wanted[over] * scale[:, None] - chroma[over]


def fit_gamut(photo: Floats, changed: Floats) -> Floats:
    """Pull changed colours into the range by lowering chroma, not by clipping channels.

    Args:
        photo: (..., 3) RGB before; what already was out of range may stay so.
        changed: (..., 3) RGB after.

    Returns:
        (..., 3) RGB.
    """
    low, high = np.minimum(photo, 0), np.maximum(photo, 1)
    out = ((changed < low) | (changed > high)).any(axis=-1)
    if not out.any():
        return changed
    low, high, wrong = low[out], high[out], changed[out]
    luma = (wrong @ LUMA_WEIGHTS)[:, None].clip(
        low.max(-1, keepdims=True), high.min(-1, keepdims=True)
    )
    chroma = wrong - luma
    edge = np.where(chroma > 0, high, low) - luma
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        room = np.where(chroma != 0, edge / chroma, np.inf).min(axis=-1, keepdims=True)
    fitted = changed.copy()
    fitted[out] = luma + chroma * room.clip(0, 1)
    return fitted
