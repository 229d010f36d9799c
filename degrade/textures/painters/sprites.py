"""Painters of sprites: the opacity of one mark, or one web of marks, on a part of a print.

Every painter takes a generator and the texture's density, and returns an 8-bit opacity, (H, W).
Textures of edges (tear, corner, chip) are painted for the top edge, or the corner top left.
"""

import math

import cv2
import numpy as np

from degrade.arrays import Field, Mask
from degrade.textures.noise import blur_wrapped, fill_shape, fractal_noise, paint_path, rough_line


def _disc_distance(side_px: int, squash: float) -> Field:
    axis = (np.arange(side_px, dtype=np.float32) + np.float32(0.5)) / np.float32(side_px / 2)
    axis -= np.float32(1)
    y = axis[:, None] * np.float32(squash)
    return np.sqrt(axis[None, :] * axis[None, :] + y * y)


def paint_stain(rng: np.random.Generator, density: float) -> Mask:
    """A stain: a translucent, uneven body inside a dark rim (the edge of what dried)."""
    side = 512
    body_noise = fractal_noise(rng, side, 4)
    shape = 1.15 - _disc_distance(side, 0.8 + 0.5 * rng.random()) * np.float32(1.6)
    field = shape + np.float32(0.7) * (body_noise - np.float32(0.5))
    inside = np.clip(field * 14, 0, 1).astype(np.float32)
    rim_px = 5 + 10 * rng.random()
    rim = np.clip(inside - blur_wrapped(inside, rim_px), 0, 1) * np.float32(1.3)
    rim *= np.float32(0.4) + fractal_noise(rng, side, 8)
    mottle = fractal_noise(rng, side, 16)
    body = inside * (np.float32(0.22 + 0.2 * density) + np.float32(0.25) * mottle)
    return np.rint(np.clip(body + rim * inside, 0, 1) * 255).astype(np.uint8)


def paint_watermark(rng: np.random.Generator, density: float) -> Mask:
    """A water mark: nested tide lines, sharp outwards and soft inwards, almost no body."""
    side = 512
    noise = fractal_noise(rng, side, 4)
    shape = 1.2 - _disc_distance(side, 0.8 + 0.4 * rng.random()) * np.float32(1.5)
    field = shape + np.float32(0.9) * (noise - np.float32(0.5))
    total = np.zeros((side, side), np.float32)
    for i in range(1 + round(2 * density * rng.random())):
        inside = np.clip((field - np.float32(0.16 * i)) * 20, 0, 1).astype(np.float32)
        rim = inside - blur_wrapped(inside, 3 + 6 * rng.random())
        total += np.clip(rim, 0, 1) * np.float32(1.6 - 0.4 * i)
        total += inside * np.float32(0.05)
    broken = np.clip(fractal_noise(rng, side, 8) * 2 - np.float32(0.3), 0, 1)
    return np.rint(np.clip(total * broken, 0, 1) * 255).astype(np.uint8)


def paint_fingerprint(rng: np.random.Generator, density: float) -> Mask:
    """A fingerprint: a triangle wave of a warped elliptical distance, unevenly pressed."""
    side = 512
    warp = blur_wrapped(fractal_noise(rng, side, 4, persistence=0.35), 6.0)
    distance = _disc_distance(side, 0.72)
    ridge_frac = 0.026 + 0.012 * rng.random()
    phase = (distance + np.float32(0.28) * warp) / np.float32(ridge_frac * 2)
    wave = np.abs((phase - np.floor(phase)) * 2 - 1)
    ridges = np.clip((wave - np.float32(0.35)) * 3, 0, 1)
    pressure = np.clip((np.float32(0.95) - distance) * 4, 0, 1)
    patchy = np.clip(fractal_noise(rng, side, 8) * np.float32(1.8) - np.float32(0.3), 0, 1)
    print_field = ridges * pressure * patchy * np.float32(min(1.0, 0.6 + 0.3 * density))
    return np.rint(print_field * 255).astype(np.uint8)


def _flake(rng: np.random.Generator, side: int, threshold: float) -> Field:
    return np.clip((fractal_noise(rng, side, 32) - np.float32(threshold)) * 8, 0, 1)


def paint_crease(rng: np.random.Generator, density: float) -> Mask:
    """A fold across the whole print: a flaking core and a soft shadow along it."""
    side = 1024
    core = np.zeros((side, side), np.uint8)
    wide = np.zeros((side, side), np.uint8)
    for _ in range(1 if rng.random() < 0.75 else 2):
        if rng.random() < 0.3:
            start, end = (rng.random() * side, -20.0), (rng.random() * side, side + 20.0)
        else:
            x = (0.15 + 0.7 * rng.random()) * side
            start, end = (x, -20.0), (x + (rng.random() - 0.5) * 160, side + 20.0)
        path = rough_line(rng, start, end, roughness=0.018)
        paint_path(core, path, 255, 2 + int(5 * rng.random() * density))
        paint_path(wide, path, 255, 14 + int(26 * rng.random()))
    flaking = _flake(rng, side, 0.25 + 0.25 * rng.random())
    soft = cv2.GaussianBlur(wide, (41, 41), 9).astype(np.float32) / np.float32(255)
    line = core.astype(np.float32) / np.float32(255)
    chips = soft * _flake(rng, side, 0.72)
    return np.rint(np.clip(line * flaking + soft * np.float32(0.16) + chips, 0, 1) * 255).astype(
        np.uint8
    )


def paint_crack(rng: np.random.Generator, density: float) -> Mask:
    """Cracked emulsion: a web of thin branching lines that bare the paper."""
    side = 1024
    canvas = np.zeros((side, side), np.uint8)
    for _ in range(max(2, round(6 * density))):
        # Cracks start at the border, where the print is handled, and run inwards.
        along, turn = rng.random() * side, int(4 * rng.random())
        inward = (0.08 + 0.8 * rng.random() ** 2) * side
        start, end = (along, -8.0), (along + (rng.random() - 0.5) * inward * 1.4, inward)
        path = rough_line(rng, start, end, roughness=0.16, num_levels=6)
        thickness = 2 + int(5 * rng.random() ** 2)
        layer = np.zeros_like(canvas)
        half = len(path) // 2
        paint_path(layer, path[: half + 1], 255, thickness)
        paint_path(layer, path[half:], 235, max(1, thickness // 2))
        for _ in range(int(4 * rng.random() * density)):
            x, y = path[int(rng.random() * (len(path) - 1))]
            reach = inward * (0.1 + 0.35 * rng.random())
            angle = rng.random() * 2 * math.pi
            tip = (x + reach * math.cos(angle), y + reach * math.sin(angle))
            twig = rough_line(rng, (x, y), tip, roughness=0.2, num_levels=5)
            paint_path(layer, twig, 215, max(1, thickness - 2))
        canvas = np.maximum(canvas, np.rot90(layer, turn))
    web = np.ascontiguousarray(canvas).astype(np.float32) / np.float32(255)
    near = blur_wrapped(web, 7.0)
    flakes = np.clip(near * 3, 0, 1) * _flake(rng, side, 0.72)
    broken = np.clip(_flake(rng, side, 0.2) + np.float32(0.25), 0, 1)
    return np.rint(np.clip(web * broken + flakes, 0, 1) * 255).astype(np.uint8)


def paint_peel(rng: np.random.Generator, density: float) -> Mask:
    """Peeled emulsion: flat, opaque gaps with crisp, ragged edges, along cracks and as islands."""
    side = 768
    lines, islands = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    for _ in range(round(5 * density * (0.4 + 0.6 * rng.random()))):
        x, y, angle = rng.random() * side, rng.random() * side, rng.random() * 2 * math.pi
        reach = side * (0.15 + 0.6 * rng.random())
        tip = (x + reach * math.cos(angle), y + reach * math.sin(angle))
        path = rough_line(rng, (x, y), tip, roughness=0.2)
        cut = int(len(path) * (0.2 + 0.5 * rng.random()))
        paint_path(lines, path[: cut + 1], 255, 4 + int(10 * rng.random() ** 2))
        paint_path(lines, path[cut:], 255, 3)
        if rng.random() < 0.4:
            thickness = 8 + int(30 * rng.random() ** 2)
            paint_path(islands, path[max(0, cut - 6) : cut + 2], 255, thickness)
    for _ in range(1 + int(4 * rng.random() * density)):
        x, y = (side * (0.15 + 0.7 * rng.random()) for _ in range(2))
        radius = side * (0.02 + 0.11 * rng.random() ** 2)
        above = rough_line(rng, (x - radius, y), (x + radius, y), roughness=0.45, num_levels=5)
        below = rough_line(rng, (x + radius, y), (x - radius, y), roughness=0.45, num_levels=5)
        along = np.linspace(0, 1, len(above))
        bulge = (along * (1 - along))[:, None] * (0.0, 2.8 * radius)
        fill_shape(islands, np.concatenate([above - bulge, below + bulge]), 255)
    # What was blurred is cut off again where noise says: edges come out crisp, but not smooth.
    noise = np.clip(fractal_noise(rng, side, 12, persistence=0.7) * 2 - np.float32(0.6), 0, 1)
    soft = blur_wrapped(islands.astype(np.float32) / np.float32(255), 10.0)
    lost = (soft - np.float32(0.12) - np.float32(0.75) * noise) * 12
    thin = blur_wrapped(lines.astype(np.float32) / np.float32(255), 2.0)
    gaps = (thin - np.float32(0.12) - np.float32(0.6) * noise) * 8
    return np.rint(np.clip(np.maximum(lost, gaps), 0, 1) * 255).astype(np.uint8)


def paint_tear(rng: np.random.Generator, density: float) -> Mask:
    """A tear from the top edge inwards: an opening wedge with a rim of torn fibres."""
    side = 512
    canvas = np.zeros((side, side), np.uint8)
    x = side * (0.3 + 0.4 * rng.random())
    depth = side * (0.55 + 0.4 * rng.random())
    tip = (x + (rng.random() - 0.5) * side * 0.5, depth)
    gap = side * (0.01 + 0.1 * rng.random() ** 2 * density)
    left = rough_line(rng, (x - gap, -4.0), tip, roughness=0.14, num_levels=6)
    right = rough_line(rng, (x + gap, -4.0), tip, roughness=0.14, num_levels=6)
    fill_shape(canvas, np.concatenate([left, right[::-1]]), 255)
    paint_path(canvas, left, 255, 3)
    fibre = cv2.GaussianBlur(cv2.dilate(canvas, np.ones((9, 9), np.uint8)), (0, 0), 3)
    rim = fibre.astype(np.float32) / np.float32(255) * _flake(rng, side, 0.4)
    body = canvas.astype(np.float32) / np.float32(255)
    return np.rint(np.clip(np.maximum(body, rim), 0, 1) * 255).astype(np.uint8)


def paint_corner(rng: np.random.Generator, density: float) -> Mask:
    """A missing corner, top left: torn or bent off, with a frayed edge."""
    side = 512
    canvas = np.zeros((side, side), np.uint8)
    reach = side * min(0.9, 0.45 + 0.4 * rng.random() * density)
    lean = 0.6 + 0.7 * rng.random()
    start, end = (min(reach * lean, side - 8.0), -4.0), (-4.0, min(reach / lean, side - 8.0))
    cut = rough_line(rng, start, end, roughness=0.12, num_levels=7)
    fill_shape(canvas, np.concatenate([cut, [(-8.0, -8.0)]]), 255)
    fibre = cv2.GaussianBlur(cv2.dilate(canvas, np.ones((11, 11), np.uint8)), (0, 0), 4)
    rim = fibre.astype(np.float32) / np.float32(255) * _flake(rng, side, 0.45)
    return np.rint(
        np.clip(np.maximum(canvas.astype(np.float32) / np.float32(255), rim), 0, 1) * 255
    ).astype(np.uint8)


def paint_chip(rng: np.random.Generator, density: float) -> Mask:
    """A chipped edge, along the top: shallow bites of lost emulsion of uneven depth."""
    width, height = 1024, 256
    rough = fractal_noise(rng, 1024, 8, persistence=0.62)[0]
    bites = fractal_noise(rng, 1024, 4)[0]
    depth = np.clip(rough * np.float32(1.5) - np.float32(0.55), 0, 1) * np.clip(
        bites * 3 - np.float32(1.0), 0, 1
    )
    depth_px = np.float32(2) + depth * np.float32(height * min(0.9, 0.6 * density))
    rows = np.arange(height, dtype=np.float32)[:, None]
    lost = np.clip(depth_px[None, :] - rows, 0, 1)
    rim = np.clip((depth_px[None, :] + 14 - rows) / 28, 0, 1)
    flakes = rim * _flake(rng, width, 0.62)[:height]
    return np.rint(np.clip(np.maximum(lost, flakes), 0, 1) * 255).astype(np.uint8)


def paint_tape(rng: np.random.Generator, density: float) -> Mask:
    """A strip of old adhesive tape: translucent, streaked, with cut ends."""
    height, width = 192, 512
    streaks = fractal_noise(rng, 512, 16)[:height, :1] + fractal_noise(rng, 512, 64)[:height, :1]
    blotches = fractal_noise(rng, width, 8)[:height]
    body = (
        np.float32(0.3 + 0.15 * density) + np.float32(0.15) * streaks + np.float32(0.2) * blotches
    )
    canvas = np.zeros((height, width), np.uint8)
    left = rough_line(rng, (14.0, 6.0), (10.0, height - 6.0), roughness=0.05, num_levels=5)
    right = rough_line(
        rng, (width - 12.0, height - 6.0), (width - 14.0, 6.0), roughness=0.05, num_levels=5
    )
    fill_shape(canvas, np.concatenate([left, right]), 255)
    inside = canvas.astype(np.float32) / np.float32(255)
    return np.rint(np.clip(body, 0, 1) * inside * 255).astype(np.uint8)
