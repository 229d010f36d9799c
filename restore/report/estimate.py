"""The damage of one photograph, as it is estimated: a record.

Grain and marks are no part of it: `grain_fit` measures the one, the network finds the others. With
x the restored photograph, channel c of the damaged one is

    e = L · f_c(k ∗ (M x)_c)             response M, blur k, curve f, light L
    y = t_c(e) + F · (P_c − t_c(e))      tint t, fading F towards the colour P

Source:
    docs/damage-model.md, the equation. Of vignette, tone and ageing it keeps what one photograph
    can tell apart: light is a field that multiplies, fading a field that covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NUM_KNOTS = 33
"""Points of a characteristic curve, evenly spaced in [0, 1]."""
GREYS = np.array([0.0, 0.5, 1.0], np.float32)
"""Greys whose colours in the print make the tint."""


@dataclass(frozen=True)
class DamageEstimate:
    """The estimated damage of one photograph, grain and marks apart.

    Attributes:
        is_monochrome: Whether the photograph was taken for a silver image, with one curve and one
            row of response, and a tint of its own.
        response: (3, 3) emulsion response, rows are output channels and sum to 1.
        curves: (3, NUM_KNOTS) characteristic curves.
        tint: (3, 3) colour (last axis) that black, middle grey and white have in the print.
        light: (n, n) share of the light that is left at evenly spaced points, corners included;
            1 where it is brightest.
        fade: (n, n) fading towards `fade_color` at the same points.
        fade_color: (3,).
        blur_sigma_px: Gaussian blur, in pixels of the photographs given; 0 for none.
    """

    is_monochrome: bool
    response: Floats
    curves: Floats
    tint: Floats
    light: Floats
    fade: Floats
    fade_color: Floats
    blur_sigma_px: float

    def print_curve(self) -> Floats:
        """(3, NUM_KNOTS) from a grey of the restored photograph to the colour in the print.

        Curve, tint and the mean of light and fading together: what can be told apart from a
        photograph alone.
        """
        light, fade = _mean(self.light), _mean(self.fade)
        rows = []
        for c in range(3):
            exposed = np.clip(self.curves[c] * light, 0, 1)
            toned = np.interp(exposed, GREYS, self.tint[:, c])
            rows.append(toned + fade * (self.fade_color[c] - toned))
        return np.asarray(rows, np.float32)


def _mean(grid: Floats) -> float:
    """Mean of a field over the photograph from its points, of which the outer lie on the border."""
    rows = np.trapezoid(grid, axis=0) / (grid.shape[0] - 1)
    return float(np.trapezoid(rows) / (grid.shape[1] - 1))
