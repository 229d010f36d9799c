"""The misfit of the damage model to the pixels, and how it changes with the unknowns.

The equation stands in `restore.report.estimate`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from restore.report.damage_again import cubic_weights, interpolate
from restore.report.estimate import GREYS
from restore.report.fit.solve import Doubles, Step
from restore.report.fit.unknowns import CHROMA, GRID, NUM_CONTROLS, Unknowns, single
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

ROBUST_SCALE = 0.03
"""Difference from which on a pixel is believed less."""
# Weights of the priors, beside a loss that counts 1 where a pixel is off by about two scales.
_PRIOR_BEND, _PRIOR_RESPONSE, _PRIOR_LIGHT, _PRIOR_FADE, _PRIOR_ROUGH = 0.1, 0.01, 0.1, 0.1, 1.0


class _Channel(NamedTuple):
    """A channel of the pixels on its way from exposure to print, (P,) each but the indices.

    Attributes:
        channel: Of the print.
        curve: Of the curve and response that it has.
        exposed: In [0, 1].
        is_exposed: Whether it was there before it was clipped.
        developed: By the curve.
        light: That is left.
        lit: Developed image times light.
        fade: In [0, 1].
        is_faded: Whether it was there before it was clipped.
        gap: Colour that is faded to, less the toned image.
        off: Print less original, in units of ROBUST_SCALE.
    """

    channel: int
    curve: int
    exposed: Floats
    is_exposed: NDArray[np.bool_]
    developed: Floats
    light: Floats
    lit: Floats
    fade: Floats
    is_faded: NDArray[np.bool_]
    gap: Floats
    off: Floats


class Model:
    """The misfit of the model to some pixels, and how it changes with the unknowns."""

    def __init__(
        self, at: Unknowns, restored: Floats, original: Floats, weight: Floats, *, stride: int = 1
    ) -> None:
        """Gather the pixels that count.

        Args:
            at: Where the unknowns stand.
            restored: (H, W, 3) sRGB in [0, 1], blurred as the original is.
            original: (H, W, 3) likewise.
            weight: (H, W) in [0, 1], 0 where marks hide the photograph.
            stride: Of so many rows and columns one is taken.
        """
        self.at = at
        height, width = weight.shape
        some = (slice(None, None, stride), slice(None, None, stride))
        seen = weight[some] > 0
        self._before = restored[some][seen]
        self._after = original[some][seen]
        share = weight[some][seen]
        self._share = share / max(1.0, float(share.sum()) * 3)
        rows, columns = cubic_weights(GRID, height)[some[0]], cubic_weights(GRID, width)[some[1]]
        fields = (rows[:, None, :, None] * columns[None, :, None, :]).reshape(*seen.shape, -1)
        self._fields = np.ascontiguousarray(fields[seen])
        self.low, self.high = self.at.bounds()
        self._wanted, self._prior = self._priors()
        self._prior_slope = np.zeros(self.at.num)
        self._prior_slope[self.at.fade] = _PRIOR_FADE / GRID**2

    def _priors(self) -> tuple[Doubles, Doubles]:
        """What is likely beforehand, (n,), and the parabola that says how surely, (n, n)."""
        wanted, normal = np.zeros(self.at.num), np.zeros((self.at.num, self.at.num))
        curves = self.at.num_curves
        bends = np.diff(np.eye(NUM_CONTROLS)[1:], axis=0) * NUM_CONTROLS
        normal[self.at.rises, self.at.rises] = np.kron(
            np.eye(curves), _PRIOR_BEND / (curves * len(bends)) * bends.T @ bends
        )
        normal[self.at.response, self.at.response] = (
            np.eye(3 * curves) * _PRIOR_RESPONSE / (3 * curves)
        )
        wanted[self.at.response] = LUMA_WEIGHTS if self.at.is_monochrome else np.eye(3).ravel()
        second = np.diff(np.eye(GRID), n=2, axis=0)
        second = _PRIOR_ROUGH / (GRID * len(second)) * second.T @ second
        rough = np.kron(second, np.eye(GRID)) + np.kron(np.eye(GRID), second)
        normal[self.at.light, self.at.light] = rough + np.eye(GRID**2) * _PRIOR_LIGHT / GRID**2
        wanted[self.at.light] = 1
        normal[self.at.fade, self.at.fade] = rough
        normal[self.at.chroma, self.at.chroma] = np.eye(6 if self.at.is_monochrome else 0) * 1e-5
        normal[self.at.fade_color, self.at.fade_color] = np.eye(3) * 1e-5
        wanted[self.at.fade_color] = 0.9
        return wanted, normal

    def cost(self, values: Doubles) -> float:
        """Mean of log(1 + (difference / ROBUST_SCALE)²), and the priors."""
        return self._prior_cost(values) + sum(
            float(self._share @ np.log1p(channel.off**2)) for channel in self._channels(values)
        )

    def expand(self, values: Doubles) -> Step:
        """The cost, and the parabola of least squares around it."""
        cost = self._prior_cost(values)
        slope = self._prior @ (values - self._wanted) + self._prior_slope / 2
        normal = self._prior.copy()
        for channel in self._channels(values):
            squared = channel.off**2
            cost += float(self._share @ np.log1p(squared))
            belief = np.sqrt(self._share / (1 + squared))
            rows = self._rows(channel, values)
            rows *= (belief / np.float32(ROBUST_SCALE))[:, None]
            normal += rows.T @ rows
            slope += rows.T @ (belief * channel.off)
        return Step(cost, slope, normal)

    def _prior_cost(self, values: Doubles) -> float:
        away = values - self._wanted
        return float(away @ self._prior @ away + self._prior_slope @ values)

    def _channels(self, values: Doubles) -> list[_Channel]:
        """What the unknowns make of the pixels."""
        shares, curves = self.at.shares(values), self.at.curves(values)
        tint = self.at.tint(values)
        light = self._fields @ single(values[self.at.light])
        fade, is_faded = _clip(self._fields @ single(values[self.at.fade]))
        channels = []
        for c in range(3):
            k = min(c, self.at.num_curves - 1)
            if c == k:  # of a silver image all three are exposed and developed alike
                exposed, is_exposed = _clip(self._before @ single(shares[k]))
                developed = interpolate(exposed, single(curves[k]))
                lit = developed * light
            toned = interpolate(lit.clip(0, 1), single(tint[:, c]))
            gap = np.float32(values[self.at.fade_color][c]) - toned
            off = (toned + fade * gap - self._after[:, c]) / np.float32(ROBUST_SCALE)
            planes = (exposed, is_exposed, developed, light, lit, fade, is_faded, gap, off)
            channels.append(_Channel(c, k, *planes))
        return channels

    def _rows(self, channel: _Channel, values: Doubles) -> Floats:
        """(P, n) by how much each pixel of a channel changes with each unknown."""
        c, k, exposed, is_exposed, developed, light, lit, fade, is_faded, gap, _ = channel
        rows = np.zeros((len(lit), self.at.num), np.float32)
        shows = 1 - fade
        dark, bright = 2 * np.diff(self.at.tint(values)[:, c])
        steep = np.where(lit < 0.5, single(dark), single(bright)) * shows
        steep[(lit < 0) | (lit > 1)] = 0
        rises = slice(self.at.rises.start + k * NUM_CONTROLS, None)
        place = exposed * np.float32(NUM_CONTROLS - 1)
        passed = (place[:, None] + (1 - np.arange(NUM_CONTROLS, dtype=np.float32))).clip(0, 1)
        rows[:, rises][:, :NUM_CONTROLS] = (steep * light)[:, None] * passed
        rise = single(np.diff(self.at.curves(values)[k]) * (NUM_CONTROLS - 1))
        rise = rise[np.minimum(place.astype(np.int32), NUM_CONTROLS - 2)] * steep * light
        rise /= np.float32(values[self.at.response].reshape(-1, 3)[k].sum())
        response = slice(self.at.response.start + 3 * k, None)
        rise *= is_exposed
        rows[:, response][:, :3] = rise[:, None] * (self._before - exposed[:, None])
        if self.at.is_monochrome:
            near = (1 - np.abs(lit.clip(0, 1)[:, None] - GREYS) * 2).clip(0, None)
            near *= shows[:, None]
            rows[:, self.at.chroma] = (near[:, :, None] * CHROMA[:, c]).reshape(-1, 6)
        rows[:, self.at.light] = (steep * developed)[:, None] * self._fields
        rows[:, self.at.fade] = (gap * is_faded)[:, None] * self._fields
        rows[:, self.at.fade_color.start + c] = fade
        return rows


def _clip(values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Values brought into [0, 1], and whether they were there."""
    clipped = values.clip(0, 1)
    return clipped, clipped == values
