"""The unknowns of the damage model: where they stand, within which bounds, and what they mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restore.report.estimate import GREYS, NUM_KNOTS, DamageEstimate
from restore.report.fit.solve import Doubles
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

NUM_CONTROLS = 17
"""Points of a curve that are fitted; between them it is straight."""
GRID = 6
"""Points a side of the fields of light and fading."""
CHROMA = np.array(
    [[1, 0, -LUMA_WEIGHTS[0] / LUMA_WEIGHTS[2]], [0, 1, -LUMA_WEIGHTS[1] / LUMA_WEIGHTS[2]]],
    np.float32,
)
"""(2, 3) colours without brightness that every other is a sum of."""
_LEAST_RISE = 1e-4
_LEAST_WEIGHT = 1e-3
_TINT_LIMIT = 0.5
_LIGHT_RANGE, _MOST_FADE = (0.05, 4.0), 0.98


def single(values: Doubles) -> Floats:
    """The same in single precision, any shape."""
    return np.asarray(values, np.float32)


def chroma_of(colours: Floats) -> Floats:
    """(k, 3) colours without brightness to (k, 2), of which `CHROMA` makes them again."""
    return colours[:, :2]


class Unknowns:
    """Where each unknown of the model stands in the vector of all.

    Attributes:
        rises: (K, NUM_CONTROLS) the curves' first value and what each point adds; K is 1 for a
            silver image, else 3.
        response: (K, 3) weights, of which the shares count.
        chroma: (3, 2) of the tint of black, middle grey and white; unused in colour.
        light: (GRID²,) about 1.
        fade: (GRID²,) from 0 to 1.
        fade_color: (3,).
    """

    def __init__(self, is_monochrome: bool) -> None:
        self.is_monochrome = is_monochrome
        self.num_curves = 1 if is_monochrome else 3
        sizes = {
            "rises": self.num_curves * NUM_CONTROLS,
            "response": self.num_curves * 3,
            "chroma": 6 if is_monochrome else 0,
            "light": GRID**2,
            "fade": GRID**2,
            "fade_color": 3,
        }
        ends = np.cumsum(list(sizes.values()))
        places = {
            name: slice(int(end) - size, int(end))
            for (name, size), end in zip(sizes.items(), ends, strict=True)
        }
        self.num = int(ends[-1])
        self.rises, self.response, self.chroma = (
            places[name] for name in ("rises", "response", "chroma")
        )
        self.light, self.fade, self.fade_color = (
            places[name] for name in ("light", "fade", "fade_color")
        )

    def bounds(self) -> tuple[Doubles, Doubles]:
        """The least and the greatest value of each, (n,)."""
        low, high = np.full(self.num, -np.inf), np.full(self.num, np.inf)
        rises = np.full((self.num_curves, NUM_CONTROLS), _LEAST_RISE)
        rises[:, 0] = -0.5
        low[self.rises] = rises.ravel()
        high[self.rises] = 1.5
        low[self.response] = _LEAST_WEIGHT if self.is_monochrome else -1
        high[self.response] = 2
        low[self.chroma], high[self.chroma] = -_TINT_LIMIT, _TINT_LIMIT
        low[self.light], high[self.light] = _LIGHT_RANGE
        low[self.fade], high[self.fade] = 0, _MOST_FADE
        low[self.fade_color], high[self.fade_color] = 0, 1
        return low, high

    def shares(self, values: Doubles) -> Doubles:
        """(K, 3) rows that sum to 1."""
        weights = values[self.response].reshape(-1, 3)
        return weights / weights.sum(axis=1, keepdims=True)

    def curves(self, values: Doubles) -> Doubles:
        """(K, NUM_CONTROLS)."""
        return values[self.rises].reshape(-1, NUM_CONTROLS).cumsum(axis=1)

    def tint(self, values: Doubles) -> Doubles:
        """(3, 3) greys plus a colour without brightness."""
        if not self.is_monochrome:
            return np.repeat(GREYS[:, None], 3, axis=1).astype(np.float64)
        return GREYS[:, None] + values[self.chroma].reshape(3, 2) @ CHROMA

    def estimate(self, values: Doubles) -> DamageEstimate:
        """The unknowns as a record without blur; the brightest place has all its light."""
        light = values[self.light].reshape(GRID, GRID)
        most = light.max()
        places, controls = np.linspace(0, 1, NUM_KNOTS), np.linspace(0, 1, NUM_CONTROLS)
        curves = [np.interp(places, controls, curve) * most for curve in self.curves(values)]

        def three(rows: Doubles) -> Floats:
            return np.ascontiguousarray(np.broadcast_to(single(rows), (3, rows.shape[1])))

        return DamageEstimate(
            is_monochrome=self.is_monochrome,
            response=three(self.shares(values)),
            curves=three(np.stack(curves)),
            tint=self.tint(values).astype(np.float32),
            light=(light / most).astype(np.float32),
            fade=values[self.fade].reshape(GRID, GRID).astype(np.float32),
            fade_color=values[self.fade_color].astype(np.float32),
            blur_sigma_px=0.0,
        )
