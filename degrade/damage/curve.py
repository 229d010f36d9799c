"""The characteristic curve: exposure to tone, one for each channel."""

import numpy as np

from degrade.arrays import Deep, Field
from degrade.damage.streams import Draws
from degrade.schema import (
    ExponentRange,
    Frac,
    FracRange,
    GainRange,
    LevelRange,
    Ranges,
    Record,
    Rgb,
)

NUM_KNOTS = 33
"""Points through which a characteristic curve passes, evenly spaced in [0, 1]."""

_KNOT_PLACES = tuple(i / (NUM_KNOTS - 1) for i in range(NUM_KNOTS))
# However faded, white stays so much lighter than black.
_LEAST_SPAN = 0.05
_CURVE_LEVELS = np.arange(4096) / 4095


class CurveRanges(Ranges, frozen=True, kw_only=True):
    """Characteristic curve; gamma and contrast are log-uniform."""

    prob: Frac = 0.0
    gamma_range: ExponentRange = (1.0, 1.0)
    contrast_range: ExponentRange = (1.0, 1.0)
    gain_range: GainRange = (1.0, 1.0)
    brightness_range: LevelRange = (0.5, 0.5)
    black_range: FracRange = (0.0, 0.0)
    white_range: FracRange = (1.0, 1.0)


class Curve(Record, frozen=True, kw_only=True):
    """Characteristic curve, one value per channel.

    y = black + (white − black) · S(clip(gain · (x^gamma − ½) + brightness)), where
    S(t) = t^contrast / (t^contrast + (1 − t)^contrast).
    """

    gamma: Rgb = (1.0, 1.0, 1.0)
    gain: Rgb = (1.0, 1.0, 1.0)
    brightness: Rgb = (0.5, 0.5, 0.5)
    contrast: float = 1.0
    black: Rgb = (0.0, 0.0, 0.0)
    white: Rgb = (1.0, 1.0, 1.0)


def draw_curve(
    draws: Draws, ranges: CurveRanges, dye_fade_frac_range: FracRange | None
) -> Curve | None:
    """Draw a characteristic curve, or none.

    Args:
        draws: The stream of the curve.
        ranges: What it may be.
        dye_fade_frac_range: How far the dyes of a colour photograph may have faded; None for
            silver, which has none.
    """
    happens = draws.chance(ranges.prob)
    gamma, contrast = (
        draws.log_uniform(ranges.gamma_range),
        draws.log_uniform(ranges.contrast_range),
    )
    gain, brightness = draws.uniform(ranges.gain_range), draws.uniform(ranges.brightness_range)
    black, white = draws.uniform(ranges.black_range), draws.uniform(ranges.white_range)
    # Each dye fades at its own pace: cyan and yellow go before magenta, the picture reddens.
    fade = 0.0 if dye_fade_frac_range is None else draws.uniform(dye_fade_frac_range)
    shares = [draws.uniform((0.0, 0.35)), draws.uniform((0.3, 1.0)), draws.uniform((0.3, 1.0))]
    if draws.chance(0.3):
        shares = shares[::-1]
    if not happens and fade == 0:
        return None
    if not happens:
        gamma = contrast = gain = white = 1.0
        brightness, black = 0.5, 0.0
    white = max(white, black + 0.2)

    def per_channel(value: float, slope: float) -> Rgb:
        red, green, blue = (round(value + slope * fade * share, 6) for share in shares)
        return red, green, blue

    blacks = per_channel(black, 0.12)
    whites = per_channel(min(white, 1.0), -0.28)
    red, green, blue = (max(w, b + _LEAST_SPAN) for w, b in zip(whites, blacks, strict=True))
    return Curve(
        gamma=per_channel(gamma, 0.35),
        gain=(gain, gain, gain),
        brightness=(brightness, brightness, brightness),
        contrast=contrast,
        black=blacks,
        white=(red, green, blue),
    )


def curve_knots(curve: Curve, channel: int) -> list[float]:
    """The curve of one channel at NUM_KNOTS evenly spaced inputs, rounded to 1e-6.

    Rounding hides the last bit, in which the C libraries' `pow` may differ.
    """
    gamma, gain = curve.gamma[channel], curve.gain[channel]
    brightness, contrast = curve.brightness[channel], curve.contrast
    black, white = curve.black[channel], curve.white[channel]
    span = white - black
    knots = []
    for place in _KNOT_PLACES:
        t = gain * (place**gamma - 0.5) + brightness
        if t <= 0 or t >= 1:
            t = 0.0 if t <= 0 else 1.0
        elif contrast != 1:
            up, down = t**contrast, (1 - t) ** contrast
            t = up / (up + down)
        knots.append((black + span * t) * 1e6)
    rounded: list[float] = (np.rint(knots) / 1e6).tolist()
    return rounded


def apply_curve(photo: Deep, curve: Curve | None) -> Field:
    """Develop: send exposures through the characteristic curve.

    Args:
        photo: (H, W) or (3, H, W), 16 bit.
        curve: None is a straight line.

    Returns:
        float32 [0, 1], same shape.
    """
    if curve is None:
        straight = photo.astype(np.float32)
        straight *= np.float32(1 / 65535)
        return straight
    # Nothing wraps: "wrap" is the fastest of NumPy's modes.
    index = photo >> 4
    if photo.ndim == 2:
        return np.take(_curve_table(curve, 0), index, mode="wrap")
    developed = np.empty(photo.shape, np.float32)
    for c in range(3):
        np.take(_curve_table(curve, c), index[c], mode="wrap", out=developed[c])
    return developed


def _curve_table(curve: Curve, channel: int) -> Field:
    return np.interp(_CURVE_LEVELS, _KNOT_PLACES, curve_knots(curve, channel)).astype(np.float32)
