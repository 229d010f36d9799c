"""Painters of tiles: grain, printing screens, and how unevenly a print ages. All are seamless."""

import math

import numpy as np

from degrade.arrays import Mask
from degrade.textures.noise import blur_wrapped, fractal_noise, white_noise

GRAIN_DEVIATION = 32.0
"""Standard deviation of a grain tile, in 1/255; its mean is 128."""

GRAIN_SIGMAS_PX = (
    (0.6,), (0.7,), (0.8,), (0.9,), (1.0,), (1.15,), (1.3,), (1.5,),
    (0.7, 1.8), (0.9, 2.4), (1.1, 3.0), (0.8, 4.0),
)  # fmt: skip
"""Spread of one grain in each tile of a pack; several scales make grain that clumps."""
SCREEN_PERIODS_PX = (4, 5, 6, 8)
"""Distance between the dots of each screen of a pack, along the rows."""
FIELD_DENSITIES = (1.0, 1.0, 1.0, 1.0)
"""One for each field of a pack."""


def paint_grain(rng: np.random.Generator, sigmas_px: tuple[float, ...]) -> Mask:
    """Grain of one scale, or of several summed, (512, 512)."""
    total = np.zeros((512, 512), np.float32)
    for i, sigma_px in enumerate(sigmas_px):
        layer = blur_wrapped(white_noise(rng, 512, 512), sigma_px)
        total += layer / np.float32(layer.std(dtype=np.float64)) * np.float32(0.6**i)
    total -= np.float32(total.mean(dtype=np.float64))
    total *= np.float32(GRAIN_DEVIATION / total.std(dtype=np.float64))
    return np.clip(np.rint(total + 128), 0, 255).astype(np.uint8)


def paint_screen(period_px: int) -> Mask:
    """A 45° half-tone screen: the threshold at which each point turns to ink, (240, 240)."""
    side = 240
    wave = np.array([math.cos(2 * math.pi * i / period_px) for i in range(period_px)])
    y, x = np.mgrid[0:side, 0:side]
    field = 0.5 + 0.25 * (wave[(x + y) % period_px] + wave[(x - y) % period_px])
    return np.rint(field * 255).astype(np.uint8)


def paint_field(rng: np.random.Generator, density: float) -> Mask:
    """A low-frequency field: how unevenly a print has faded or yellowed, (256, 256)."""
    return np.rint(fractal_noise(rng, 256, 2, persistence=0.45) * 255).astype(np.uint8)
