"""Painters of sprites that tell of handling: folds, worn edges, chips, single hairs or threads."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.arrays import Field, Mask
from degrade.textures.noise import (
    curved_line,
    fill_shape,
    fractal_noise,
    paint_path,
    rough_line,
)


def _as_field(mask: Mask) -> Field:
    return mask.astype(np.float32) / np.float32(255)


def _soften(mask: Mask, sigma_px: float) -> Field:
    side = 2 * math.ceil(3 * sigma_px) + 1
    return _as_field(np.asarray(cv2.GaussianBlur(mask, (side, side), sigma_px), np.uint8))


def _flakes(rng: np.random.Generator, nearness: Field, share: float, num_cells: int = 64) -> Field:
    """Crisp, ragged pieces: nearly all lost where nearness is 1, nothing where it is 0."""
    noise = fractal_noise(rng, nearness.shape[1], num_cells, persistence=0.75)
    noise = noise[: nearness.shape[0]]
    # The noise lies mostly between .25 and .75.
    lost = nearness * np.float32(0.35 + 0.45 * share) - (noise - np.float32(0.12))
    return np.clip(lost * 14, 0, 1) * np.clip(nearness * 20, 0, 1)


def _fold_ends(
    rng: np.random.Generator, side: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    kind = rng.random()
    if kind < 0.45:  # down the print
        x = (0.12 + 0.76 * rng.random()) * side
        return (x, -20.0), (x + (rng.random() - 0.5) * 200, side + 20.0)
    if kind < 0.7:  # slantwise
        return (rng.random() * side, -20.0), (rng.random() * side, side + 20.0)
    # a corner that was bent
    reach, lean = (0.2 + 0.4 * rng.random()) * side, 0.6 + 0.8 * rng.random()
    return (reach * lean, -20.0), (-20.0, reach / lean)


def _paint_barbs(
    rng: np.random.Generator, canvas: Mask, path: NDArray[np.float64], width_px: float, num: int
) -> None:
    """Short cracks that leave a fold to both sides."""
    for _ in range(num):
        at = 1 + int(rng.random() * (len(path) - 2))
        (x0, y0), (x1, y1) = path[at - 1], path[at + 1]
        angle = math.atan2(y1 - y0, x1 - x0) + math.pi * (0.3 + 0.4 * rng.random())
        reach = width_px * (0.6 + 2.4 * rng.random() ** 2) * (1 if rng.random() < 0.5 else -1)
        x, y = path[at]
        tip = (x + reach * math.cos(angle), y + reach * math.sin(angle))
        barb = rough_line(rng, (x, y), tip, roughness=0.2, num_levels=3)
        paint_path(canvas, barb, 255, 1 + int(2 * rng.random()))


def paint_fold(rng: np.random.Generator, density: float) -> Mask:
    """A broken fold: a wide band of flakes along a thin break, the picture between them."""
    side = 1024
    start, end = _fold_ends(rng, side)
    path = rough_line(rng, start, end, roughness=0.006 + 0.03 * rng.random() ** 2)
    width_px = (22 + 50 * rng.random() ** 1.5) * density
    band, line = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    paint_path(band, path, 255, int(width_px))
    paint_path(line, path, 255, 2 + int(4 * rng.random() * density))
    _paint_barbs(rng, line, path, width_px, int((15 + 45 * rng.random()) * density))
    near = _soften(band, width_px / 4)
    # Along the fold it is broken here more, there less.
    wear = np.clip(fractal_noise(rng, side, 8) * np.float32(2.4) - np.float32(0.7), 0, 1)
    share = 0.15 + 0.6 * rng.random()
    flakes = _flakes(rng, near * (np.float32(0.3) + np.float32(0.7) * wear), share)
    gaps = np.clip((fractal_noise(rng, side, 16) + wear - np.float32(0.5)) * 6, 0, 1)
    shade = near * np.float32(0.08 + 0.14 * rng.random())
    broken = np.maximum(flakes, _as_field(line) * gaps)
    return np.rint(np.clip(np.maximum(broken, shade), 0, 1) * 255).astype(np.uint8)


def paint_worn_edge(rng: np.random.Generator, density: float) -> Mask:
    """A worn edge, along the top: flakes and a net of cracks, fewer further in."""
    width, height = 1024, 256
    rows = np.arange(height, dtype=np.float32)[:, None]
    depth = np.clip(
        fractal_noise(rng, width, 4, persistence=0.6)[0] * np.float32(1.6) - np.float32(0.5), 0, 1
    )
    depth_px = np.float32(4) + depth * np.float32(height * 0.8 * min(1.2, density))
    near = np.clip(np.float32(1) - rows / depth_px[None, :], 0, 1)
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(round(60 * density)):
        x = rng.random() * width
        reach = float(depth_px[int(x)]) * (0.4 + 1.2 * rng.random())
        tip = (x + (rng.random() - 0.5) * 1.6 * reach, reach)
        crack = rough_line(rng, (x, -4.0), tip, roughness=0.2, num_levels=5)
        paint_path(canvas, crack, 255, 1 + int(3 * rng.random() ** 2))
        if rng.random() < 0.5:
            joint = crack[len(crack) // 2]
            end = (
                joint[0] + (rng.random() - 0.5) * 2 * reach,
                joint[1] + (rng.random() - 0.3) * reach,
            )
            twig = rough_line(rng, (joint[0], joint[1]), end, roughness=0.2, num_levels=4)
            paint_path(canvas, twig, 230, 1)
    gaps = np.clip((fractal_noise(rng, width, 32)[:height] + near - np.float32(0.45)) * 6, 0, 1)
    lost = np.maximum(_flakes(rng, near, 0.35), _as_field(canvas) * gaps)
    return np.rint(lost * 255).astype(np.uint8)


def paint_strand(rng: np.random.Generator, density: float) -> Mask:
    """One hair or thread: long, opaque, of one width; density is its width, 1 for 4 px of 512."""
    side, margin = 512, 14.0
    path = curved_line(
        rng, (0.0, 0.0), 500 + 900 * rng.random() ** 2, 0.12 + 0.5 * rng.random() ** 2
    )
    low, high = path.min(axis=0), path.max(axis=0)
    scale = (side - 2 * margin) / float((high - low).max())
    path = (path - (low + high) / 2) * scale + side / 2
    canvas = np.zeros((side, side), np.uint8)
    paint_path(canvas, path, 255, max(1, round(4 * density)))
    return canvas


def paint_flake(rng: np.random.Generator, density: float) -> Mask:
    """One chip of lost emulsion: a compact, angular, opaque spot; density is its raggedness."""
    side = 160
    canvas = np.zeros((side, side), np.uint8)
    num = 4 + int(5 * rng.random())
    angles = np.sort((np.arange(num) + 0.8 * rng.random(num)) * (2 * math.pi / num))
    radii = side * (0.46 - 0.3 * rng.random(num) ** 1.5)
    # Some are longer than they are wide, as what comes off a fold.
    flatness, lean = 1 - 0.65 * rng.random() ** 1.5, 2 * math.pi * rng.random()
    along, across = radii * np.cos(angles), flatness * radii * np.sin(angles)
    x = side / 2 + along * math.cos(lean) - across * math.sin(lean)
    y = side / 2 + along * math.sin(lean) + across * math.cos(lean)
    corners = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    edges = [
        rough_line(rng, corners[i - 1], corners[i], roughness=0.16 * density, num_levels=5)
        for i in range(num)
    ]
    fill_shape(canvas, np.concatenate(edges), 255)
    for _ in range(int(3 * density * rng.random())):  # cracks that leave it
        start = corners[int(rng.random() * num)]
        reach, angle = side * (0.1 + 0.4 * rng.random()), 2 * math.pi * rng.random()
        tip = (start[0] + reach * math.cos(angle), start[1] + reach * math.sin(angle))
        crack = rough_line(rng, start, tip, roughness=0.2, num_levels=4)
        paint_path(canvas, crack, 255, 1 + int(5 * rng.random() ** 2))
    return canvas
