"""Estimate the grain of a photograph from what its mean leaves over: how strong at which tone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.passes.grain import GRAIN_SIGMA_TABLE

Floats = NDArray[np.float32]

NUM_TONES = 12
_HIGH_PASS_PX = 5.0
_FLAT_SHARE = 0.6
"""Share of the pixels, the flattest, that the grain is measured in."""
_MIN_PIXELS = 200
_MAD_TO_SIGMA = 1.4826
SIGMA_FLOOR = 2 / 255
"""What rounding, the scan and JPEG leave on any photograph."""


@dataclass(frozen=True)
class GrainEstimate:
    """Deviation of a photograph's grain and noise, as a law of the tone.

    Attributes:
        strength: Of the Boolean law: radius of a grain over the spread of the filter, r / σ_f.
        product: Strength of the multiplicative law.
        noise_frac: What does not depend on the tone: sensor, JPEG.
        size_px: Deviation of the Gaussian spread of one grain, in px of the photograph given.
        tones: (k,) tones of the developed image at which it was measured.
        slopes: (k,) how much of a change there is left in the print, there.
        sigmas: (k,) deviations measured there.
    """

    strength: float
    product: float
    noise_frac: float
    size_px: float
    tones: Floats
    slopes: Floats
    sigmas: Floats

    def sigma(self, tone: Floats, slope: Floats | float = 1.0) -> Floats:
        """Expected deviation in the print.

        Args:
            tone: Developed image, before tint and fading; any shape, in [0, 1].
            slope: How much of a change there is left in the print.

        Returns:
            Of the same shape; never under SIGMA_FLOOR.
        """
        variance = (self.strength * boolean_sigma(tone) * slope) ** 2
        variance = variance + (self.product * tone * slope) ** 2 + self.noise_frac**2
        return np.sqrt(np.maximum(variance, SIGMA_FLOOR**2)).astype(np.float32)

    def field(self, height: int, width: int, *, rng: np.random.Generator) -> Floats:
        """Draw grain of unit deviation and of this size, (height, width)."""
        white = rng.standard_normal((height, width), dtype=np.float32)
        if self.size_px < 0.2:
            return white
        soft = cv2.GaussianBlur(white, (0, 0), self.size_px)
        return np.asarray(soft / max(float(soft.std()), 1e-6), np.float32)


def boolean_sigma(tone: Floats) -> Floats:
    """Deviation of the Boolean law for r / σ_f = 1; any shape."""
    places = np.linspace(0, 1, len(GRAIN_SIGMA_TABLE))
    return np.interp(tone, places, GRAIN_SIGMA_TABLE).astype(np.float32)


def fit_grain(residual: Floats, tone: Floats, slope: Floats, weight: Floats) -> GrainEstimate:
    """Measure the grain.

    Args:
        residual: (H, W) photograph less its expected mean, one channel.
        tone: (H, W) developed image, before tint and fading.
        slope: (H, W) how much of a change there is left in the print.
        weight: (H, W) in [0, 1], 0 where marks hide the photograph.

    Returns:
        The estimate; all zero but for the floor where too little is to be seen.
    """
    fine = _high_pass(residual, weight)
    flat = _find_flat(tone, weight)
    index = np.minimum((tone * NUM_TONES).astype(int), NUM_TONES - 1)
    found = []
    for i in range(NUM_TONES):
        here = flat & (index == i)
        if np.count_nonzero(here) >= _MIN_PIXELS:
            sigma = _MAD_TO_SIGMA * float(np.median(np.abs(fine[here])))
            found.append(
                (float(tone[here].mean()), float(slope[here].mean()), sigma, int(here.sum()))
            )
    if not found:
        nothing = np.zeros(0, np.float32)
        return GrainEstimate(0.0, 0.0, SIGMA_FLOOR, 0.0, nothing, nothing, nothing)
    tones, slopes, sigmas, counts = (np.array(column) for column in zip(*found, strict=True))
    tones = tones.astype(np.float32)
    laws = np.stack([(boolean_sigma(tones) * slopes) ** 2, (tones * slopes) ** 2, tones * 0 + 1])
    strength, product, noise = np.sqrt(_fit_positive(laws, sigmas**2, counts))
    return GrainEstimate(
        strength=float(strength),
        product=float(product),
        noise_frac=float(noise),
        size_px=_grain_size(fine, flat),
        tones=tones,
        slopes=slopes.astype(np.float32),
        sigmas=sigmas.astype(np.float32),
    )


def _high_pass(residual: Floats, weight: Floats) -> Floats:
    """Without what varies slowly, the marks left out of the mean."""
    total = cv2.GaussianBlur(residual * weight, (0, 0), _HIGH_PASS_PX)
    return np.asarray(
        residual - total / (cv2.GaussianBlur(weight, (0, 0), _HIGH_PASS_PX) + 1e-3), np.float32
    )


def _find_flat(tone: Floats, weight: Floats) -> NDArray[np.bool_]:
    """Pixels outside the marks whose surroundings, and tone within its range, are even."""
    soft = cv2.GaussianBlur(tone, (0, 0), 1.0)
    slope_x = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)
    steep = cv2.dilate(np.hypot(slope_x, slope_y), np.ones((3, 3), np.uint8))
    seen = (weight > 0.99) & (soft > 0.01) & (soft < 0.99)
    if not seen.any():
        return seen
    return seen & (steep <= np.quantile(steep[seen], _FLAT_SHARE))


def _fit_positive(laws: NDArray[np.float64], wanted: NDArray[np.float64],
                  counts: NDArray[np.int64]) -> NDArray[np.float64]:  # fmt: skip
    """Weights, none negative, of the laws that come closest to the variances wanted.

    Relative errors count, as a variance is measured to a share of itself. Of so few laws the best
    set of those in use is found by trying every one.
    """
    scale = np.sqrt(np.minimum(counts, 5000)) / np.maximum(wanted, SIGMA_FLOOR**2)
    best, best_cost = np.zeros(len(laws)), math.inf
    for bits in range(1, 1 << len(laws)):
        used = [i for i in range(len(laws)) if bits >> i & 1]
        weights, *_ = np.linalg.lstsq((laws[used] * scale).T, wanted * scale, rcond=None)
        cost = float((((laws[used].T @ weights) - wanted) * scale) @
                     (((laws[used].T @ weights) - wanted) * scale))  # fmt: skip
        # Another law must earn its place.
        cost *= 1.05 ** len(used)
        if weights.min() >= 0 and cost < best_cost:
            best = np.zeros(len(laws))
            best[used] = weights
            best_cost = cost
    return best


def _grain_size(fine: Floats, flat: NDArray[np.bool_]) -> float:
    """Spread of one grain from how alike neighbours are.

    White noise through a Gaussian of deviation s has correlation exp(−1 / 4s²) at one px.
    """
    limit = 4 * _MAD_TO_SIGMA * float(np.median(np.abs(fine[flat])))
    fine = fine.clip(-limit, limit)
    variance = float((fine[flat] ** 2).mean())
    covariances = []
    for here, there, flat_here, flat_there in (
        (fine[:-1], fine[1:], flat[:-1], flat[1:]),
        (fine[:, :-1], fine[:, 1:], flat[:, :-1], flat[:, 1:]),
    ):
        both = flat_here & flat_there
        covariances.append(float((here * there)[both].mean()) if both.any() else 0.0)
    alike = float(np.mean(covariances)) / max(variance, 1e-12)
    return 0.0 if alike <= 0.01 else 0.5 / math.sqrt(-math.log(min(alike, 0.95)))
