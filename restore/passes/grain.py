"""Fresh fine grain, so that restored faces do not look like wax."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Standard deviation of the finest film grain over grey values 0, 16/255 ... 255/255, relative to
# its peak: Newson, Delon, Galerne 2017, Boolean model, small grains.
_SIGMA_BY_TONE = (
    *(0, 0.526, 0.711, 0.831, 0.911, 0.963, 0.992, 1, 0.990, 0.962, 0.916, 0.850, 0.765, 0.655),
    *(0.514, 0.326, 0.005),
)
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
        rng = rng or np.random.default_rng(0)
        white = rng.standard_normal((_SIDE_PX, _SIDE_PX))
        frequency = np.fft.fftfreq(_SIDE_PX)
        squared = frequency[:, None] ** 2 + frequency[None, :] ** 2
        sigma_px = 0.6
        blur = np.exp(-2 * (np.pi * sigma_px) ** 2 * squared)
        field = np.fft.ifft2(np.fft.fft2(white) * blur).real  # wraps round without a seam
        self._field = (field / field.std() * _PEAK_SIGMA * strength_frac).astype(np.float32)

    def rows(self, y0: int, photo: NDArray[np.float32]) -> NDArray[np.float32]:
        """Grain for rows from y0 on.

        Args:
            y0: First row.
            photo: (h, W, 3) sRGB: its tone decides how strong the grain is.

        Returns:
            (h, W) to be added to every channel.
        """
        height, width = photo.shape[:2]
        rows = np.arange(y0, y0 + height) % _SIDE_PX
        columns = np.arange(width) % _SIDE_PX
        tone = photo.mean(axis=-1)
        sigma = np.interp(tone, np.linspace(0, 1, len(_SIGMA_BY_TONE)), _SIGMA_BY_TONE)
        return self._field[rows[:, None], columns] * sigma.astype(np.float32)
