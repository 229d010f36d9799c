"""Fresh fine grain, so that restored faces do not look like wax."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

GRAIN_SIGMA_TABLE = (
    0.0, 0.1202, 0.1626, 0.1899, 0.2083, 0.2201, 0.2267, 0.2286, 0.2263,
    0.2198, 0.2093, 0.1944, 0.1748, 0.1497, 0.1176, 0.0746, 0.0012,
)  # fmt: skip
"""Deviation of filtered grain at evenly spaced greys from black to white, for r / σ_f = 1.

Source:
    Newson, Delon, Galerne, A stochastic film grain model for resolution-independent
    rendering, 2017: the Boolean model for grains small beside the filter.
"""
_SIGMA_BY_TONE = np.array(GRAIN_SIGMA_TABLE) / max(GRAIN_SIGMA_TABLE)
_PEAK_SIGMA = 0.04
_SIDE_PX = 1024


class Grain:
    """A grain field that depends on a pixel's place and tone only, not on how rows are cut."""

    def __init__(self, strength_frac: float, *, rng: np.random.Generator | None = None) -> None:
        """Draw the field.

        Args:
            strength_frac: 1 is visible at native resolution at a glance, 0 nothing.
            rng: Where the field comes from; None takes always the same, so that the same
                photograph gives the same bytes.
        """
        field = _draw_usual_field() if rng is None else _draw_field(rng)
        self._field = (field * _PEAK_SIGMA * strength_frac).astype(np.float32)

    def rows(self, y0: int, photo: NDArray[np.float32], *, left: int = 0) -> NDArray[np.float32]:
        """Grain for rows from y0 on.

        Args:
            y0: First row.
            left: First column.
            photo: (h, W, 3) sRGB: its tone decides how strong the grain is.

        Returns:
            (h, W) to be added to every channel.
        """
        height, width = photo.shape[:2]
        rows = np.arange(y0, y0 + height) % _SIDE_PX
        columns = np.arange(left, left + width) % _SIDE_PX
        tone = photo.mean(axis=-1)
        sigma = np.interp(tone, np.linspace(0, 1, len(_SIGMA_BY_TONE)), _SIGMA_BY_TONE)
        return self._field[rows[:, None], columns] * sigma.astype(np.float32)


def _draw_field(rng: np.random.Generator) -> NDArray[np.float64]:
    """(_SIDE_PX, _SIDE_PX) of deviation 1; wraps round without a seam."""
    white = rng.standard_normal((_SIDE_PX, _SIDE_PX))
    frequency = np.fft.fftfreq(_SIDE_PX)
    squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
    sigma_px = 0.6
    blur = np.exp(-2 * (np.pi * sigma_px) ** 2 * squared)
    field = np.fft.ifft2(np.fft.fft2(white) * blur).real
    return field / field.std()


@cache  # a page asks for it at every move of a slider
def _draw_usual_field() -> NDArray[np.float64]:
    return _draw_field(np.random.default_rng(0))
