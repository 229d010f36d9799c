"""Painters of sheets: the opacity of what is strewn over a whole print.

A sheet is seamless and painted at the scale of a 35 mm frame scanned 5,120 px wide, where the
sizes of dust, dirt, hair and scratches have been measured. Every painter takes a generator and
the texture's density, and returns an 8-bit opacity, (H, W).
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from degrade.arrays import Mask
from degrade.textures.noise import (
    blur_wrapped,
    curved_line,
    fill_shape,
    fractal_noise,
    paint_path,
    rough_line,
)

SHEET_FRAME_PX = 5120
"""Width in px of the scanned frame at whose scale sheets are painted."""

_SHEET_PX = 1024
_PAD_PX = 512


def _lognormal(rng: np.random.Generator, median: float, s: float) -> float:
    return median * math.exp(s * NormalDist().inv_cdf(min(max(rng.random(), 1e-6), 1 - 1e-6)))


def _blank_sheet() -> Mask:
    side = _SHEET_PX + 2 * _PAD_PX
    return np.zeros((side, side), np.uint8)


def _fold(canvas: Mask) -> Mask:
    """Wrap what was painted over the edges of the padded canvas back into the sheet."""
    for _ in range(2):
        inner = canvas[_PAD_PX:-_PAD_PX]
        inner[-_PAD_PX:] = np.maximum(inner[-_PAD_PX:], canvas[:_PAD_PX])
        inner[:_PAD_PX] = np.maximum(inner[:_PAD_PX], canvas[-_PAD_PX:])
        canvas = np.ascontiguousarray(inner.T)
    return canvas


def _clustered_points(
    rng: np.random.Generator, num: int, clustering: float
) -> list[tuple[float, float]]:
    """Places that follow a low-frequency density: marks come in clusters."""
    density = fractal_noise(rng, 256, 4)
    points: list[tuple[float, float]] = []
    while len(points) < num:
        x, y, u = rng.random(3)
        chance = float(density[int(y * 256), int(x * 256)]) ** 3
        if u < (1 - clustering) + clustering * chance:
            points.append((_PAD_PX + x * _SHEET_PX, _PAD_PX + y * _SHEET_PX))
    return points


def _blob(
    rng: np.random.Generator, centre: tuple[float, float], area_px: float, stretch: float
) -> NDArray[np.float64]:
    """An irregular convex-ish outline of a given area."""
    num = 10
    angle = rng.random() * math.pi
    long_px = math.sqrt(area_px / math.pi * stretch)
    short_px = long_px / stretch
    points = []
    for i in range(num):
        t = 2 * math.pi * i / num
        radius = 0.75 + 0.5 * rng.random()
        x, y = long_px * radius * math.cos(t), short_px * radius * math.sin(t)
        points.append(
            (
                centre[0] + x * math.cos(angle) - y * math.sin(angle),
                centre[1] + x * math.sin(angle) + y * math.cos(angle),
            )
        )
    return np.array(points)


def _specks(
    rng: np.random.Generator,
    density: float,
    per_frame: float,
    median_px2: float,
    s: float,
    stretch_range: tuple[float, float],
) -> Mask:
    canvas = _blank_sheet()
    # A frame of 35 mm film is 3:2.
    sheets_per_frame = (SHEET_FRAME_PX / _SHEET_PX) ** 2 * 2 / 3
    num = max(3, round(per_frame / sheets_per_frame * density))
    for centre in _clustered_points(rng, num, clustering=0.9):
        area = _lognormal(rng, median_px2, s)
        low, high = stretch_range
        outline = _blob(rng, centre, area, low + (high - low) * rng.random() ** 2)
        fill_shape(canvas, outline, 90 + int(166 * rng.random()))
    return _fold(canvas)


def paint_dust(rng: np.random.Generator, density: float) -> Mask:
    """Dust: many compact specks, 763 a frame, median 61 px²."""
    return _specks(rng, density, 763, 61, 0.38, (1, 2))


def paint_dirt(rng: np.random.Generator, density: float) -> Mask:
    """Dirt: fewer, larger, longer specks, 270 a frame, median 130 px²."""
    return _specks(rng, density, 270, 130, 0.60, (1.2, 3.5))


def paint_hair(rng: np.random.Generator, density: float) -> Mask:
    """Short hairs (134 a frame, .76 % of its width) and long ones (40, 2 %)."""
    canvas = _blank_sheet()
    sheets_per_frame = (SHEET_FRAME_PX / _SHEET_PX) ** 2 * 2 / 3
    for per_frame, median_px, s, bend in ((134, 39, 0.45, 0.9), (40, 105, 0.5, 0.7)):
        num = max(1, round(per_frame / sheets_per_frame * density))
        for start in _clustered_points(rng, num, clustering=0.7):
            length = min(_lognormal(rng, median_px, s), _PAD_PX - 8)
            path = curved_line(rng, start, length, bend)
            paint_path(canvas, path, 130 + int(126 * rng.random()), 4 + int(3 * rng.random()))
    return _fold(canvas)


def paint_fibre(rng: np.random.Generator, density: float) -> Mask:
    """Textile fibres: long, thin, curly."""
    canvas = _blank_sheet()
    for start in _clustered_points(rng, max(1, round(3 * density)), clustering=0.5):
        length = min(_lognormal(rng, 280, 0.4), 900.0)
        path = curved_line(rng, start, length, 0.45)
        path = np.clip(path, 4, _SHEET_PX + 2 * _PAD_PX - 4)
        paint_path(canvas, path, 110 + int(120 * rng.random()), 3 + int(3 * rng.random()))
    return _fold(canvas)


def _sinc2_profile(half_px: int, lobe_px: float) -> NDArray[np.float64]:
    values = []
    for i in range(-half_px, half_px + 1):
        t = math.pi * i / lobe_px
        values.append(1.0 if i == 0 else round((math.sin(t) / t) ** 2, 6))
    return np.array(values)


def paint_scratch(rng: np.random.Generator, density: float) -> Mask:
    """Scratches: near-parallel lines whose cross-section is sinc², with drop-outs.

    Source:
        Bruni, Vitulano, A generalized model for scratch detection, 2004 (the profile).
    """
    canvas = np.zeros((_SHEET_PX, _SHEET_PX), np.float32)
    drop_outs = fractal_noise(rng, 1024, 16)
    for _ in range(max(1, round(0.25 * density))):
        bundle_x, slope = rng.random() * _SHEET_PX, (rng.random() - 0.5) * 0.3
        for _ in range(1 + int(3 * rng.random() ** 2)):
            x0 = bundle_x + (rng.random() - 0.5) * 90
            length = int(min(_lognormal(rng, 240, 0.8), _SHEET_PX))
            y0 = int(rng.random() * _SHEET_PX)
            lobe = 2.0 + 3.5 * rng.random()
            half = int(2 * lobe) + 1
            profile = _sinc2_profile(half, lobe)
            strength = 0.4 + 0.6 * rng.random()
            wobble = rough_line(rng, (0, 0), (length, 0), roughness=0.004, num_levels=6)
            rows = np.arange(length)
            centre = x0 + slope * rows + np.interp(rows, wobble[:, 0], wobble[:, 1])
            whole = np.rint(centre).astype(np.int64)
            # Taper both ends, and let the line come and go as the tool skips.
            taper = np.minimum(np.minimum(rows + 1, length - rows) / 24, 1)
            ys = (y0 + rows) % _SHEET_PX
            skip = np.clip((drop_outs[ys, whole % _SHEET_PX] - 0.25) * 5, 0, 1)
            xs = (whole[:, None] + np.arange(-half, half + 1)) % _SHEET_PX
            values = (strength * taper * skip)[:, None] * profile
            np.maximum.at(canvas, (ys[:, None], xs), values.astype(np.float32))
    return np.rint(canvas * 255).astype(np.uint8)


def paint_foxing(rng: np.random.Generator, density: float) -> Mask:
    """Foxing: clustered soft brown spots, many small and few large."""
    canvas = _blank_sheet()
    for centre in _clustered_points(rng, round(70 * density), clustering=1.0):
        area = min(_lognormal(rng, 160, 1.1), 6000.0)
        fill_shape(canvas, _blob(rng, centre, area, 1 + rng.random()), 60 + int(180 * rng.random()))
    sheet = _fold(canvas).astype(np.float32) / np.float32(255)
    soft = blur_wrapped(sheet, 5.0) * np.float32(0.75) + blur_wrapped(sheet, 16.0)
    mottle = np.float32(0.6) + np.float32(0.4) * fractal_noise(rng, 1024, 32)
    return np.rint(np.clip(soft * mottle, 0, 1) * 255).astype(np.uint8)
