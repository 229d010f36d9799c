"""Smooth noise and rough lines: the raw material of every procedural texture.

Only operations that give the same bytes on every supported OpenCV and NumPy are used
(16-bit exact resizing and Gaussian blur, and NumPy's + − × ÷ √), so a pack painted again
from its seed is the same pack.
"""

import math
from statistics import NormalDist

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.arrays import Field, Mask

_LEVELS = 4096


def _gaussian_quantiles() -> Field:
    normal = NormalDist()
    table = [round(normal.inv_cdf((i + 0.5) / _LEVELS), 6) for i in range(_LEVELS)]
    return np.array(table, np.float32)


def white_noise(rng: np.random.Generator, height_px: int, width_px: int) -> Field:
    """Independent standard normal values from the generator's raw bits.

    `Generator.normal` may change between NumPy releases (NEP 19); raw bits looked up in a
    table of quantiles may not.

    Args:
        rng: Source of bits; its bit generator must yield 64-bit words.
        height_px: Rows.
        width_px: Columns.

    Returns:
        (height_px, width_px) float32, mean 0, deviation 1.
    """
    num = height_px * width_px
    words = rng.bit_generator.random_raw((num + 3) // 4)
    picks = np.asarray(words, np.uint64).view(np.uint16)[:num] & (_LEVELS - 1)
    return _gaussian_quantiles()[picks].reshape(height_px, width_px)


def blur_wrapped(field: Field, sigma_px: float) -> Field:
    """Gaussian blur of a seamless (H, W) field, computed in 16 bits; stays seamless."""
    pad = max(1, math.ceil(3 * sigma_px))
    low, high = float(field.min()), float(field.max())
    span = max(high - low, 1e-9)
    units = np.rint((field - np.float32(low)) * np.float32(65535 / span)).astype(np.uint16)
    units = np.pad(units, pad, mode="wrap")
    side = 2 * pad + 1
    units = cv2.GaussianBlur(units, (side, side), sigma_px, borderType=cv2.BORDER_REPLICATE)
    inner = units[pad:-pad, pad:-pad].astype(np.float32)
    return inner * np.float32(span / 65535) + np.float32(low)


def fractal_noise(
    rng: np.random.Generator, side_px: int, num_cells: int, *, persistence: float = 0.5
) -> Field:
    """Seamless smooth noise: octaves of random grids, each finer and fainter.

    Args:
        rng: Generator of the grids.
        side_px: Side of the square tile; a multiple of num_cells.
        num_cells: Cells across the tile in the coarsest octave.
        persistence: Amplitude of an octave relative to the one before.

    Returns:
        (side_px, side_px) float32, rescaled to [0, 1].
    """
    total = np.zeros((side_px, side_px), np.float32)
    amplitude, cells = 1.0, num_cells
    while cells <= side_px // 2:
        grid = np.floor(rng.random((cells, cells)) * 65536).astype(np.uint16)
        # One wrapped cell around the grid makes the enlarged tile seamless.
        cell_px = side_px // cells
        padded = np.pad(grid, 1, mode="wrap")
        enlarged = cv2.resize(
            padded, None, fx=cell_px, fy=cell_px, interpolation=cv2.INTER_LINEAR_EXACT
        )
        octave = enlarged[cell_px:-cell_px, cell_px:-cell_px].astype(np.float32)
        total += octave * np.float32(amplitude / 65535)
        amplitude *= persistence
        cells *= 2
    low, high = total.min(), total.max()
    return (total - low) / np.maximum(high - low, np.float32(1e-9))


def rough_line(
    rng: np.random.Generator,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    roughness: float,
    num_levels: int = 7,
) -> NDArray[np.float64]:
    """A fractal line by midpoint displacement.

    Args:
        rng: Generator of the displacements.
        start: (x, y) of the first point, in px.
        end: (x, y) of the last point, in px.
        roughness: Displacement of a midpoint relative to its segment's length.
        num_levels: Number of subdivisions; the line has 2**num_levels + 1 points.

    Returns:
        (2**num_levels + 1, 2) points (x, y) in px.

    Source:
        Fournier, Fussell, Carpenter, Computer rendering of stochastic models, 1982.
    """
    points = np.array([start, end], np.float64)
    for _ in range(num_levels):
        step = points[1:] - points[:-1]
        normal = np.stack([-step[:, 1], step[:, 0]], axis=1)
        shift = (rng.random((len(step), 1)) * 2 - 1) * roughness
        middle = (points[1:] + points[:-1]) / 2 + normal * shift
        merged = np.empty((2 * len(points) - 1, 2))
        merged[0::2], merged[1::2] = points, middle
        points = merged
    return points


def curved_line(
    rng: np.random.Generator, start: tuple[float, float], length_px: float, bend: float
) -> NDArray[np.float64]:
    """A curve whose curvature follows a random walk.

    Args:
        rng: Generator of its turns.
        start: (x, y) of the first point, in px.
        length_px: Its length.
        bend: How far it turns from point to point; they lie 4 px apart.

    Returns:
        (num, 2) points (x, y) in px.
    """
    num = max(4, int(length_px / 4))
    angle, turn = rng.random() * 2 * math.pi, (rng.random() - 0.5) * bend
    x, y = start
    points = [(x, y)]
    for _ in range(num):
        turn = 0.9 * turn + (rng.random() - 0.5) * 0.25 * bend
        angle += turn
        x += math.cos(angle) * length_px / num
        y += math.sin(angle) * length_px / num
        points.append((x, y))
    return np.rint(np.array(points) * 64) / 64


def paint_path(canvas: Mask, points: NDArray[np.float64], value: int, thickness_px: int) -> None:
    """Paint an anti-aliased polyline into a (H, W) canvas, in place, with sub-pixel ends."""
    fixed = np.rint(points * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [fixed], False, value, thickness_px, cv2.LINE_AA, shift=4)


def fill_shape(canvas: Mask, points: NDArray[np.float64], value: int) -> None:
    """Fill an anti-aliased polygon into a (H, W) canvas, in place."""
    fixed = np.rint(points * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.fillPoly(canvas, [fixed], value, cv2.LINE_AA, shift=4)
