"""The colour of a silver image: neutral, sepia, selenium or cyanotype."""

import numpy as np

from degrade.arrays import Field
from degrade.damage.streams import Draws
from degrade.schema import FracRange, Ranges, Record, Rgb, Weight

_TONES: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "sepia": ((0.13, 0.07, 0.03), (0.58, 0.49, 0.37), (0.97, 0.91, 0.78)),
    "selenium": ((0.09, 0.05, 0.08), (0.52, 0.49, 0.51), (0.98, 0.97, 0.95)),
    "cyanotype": ((0.03, 0.10, 0.30), (0.32, 0.50, 0.66), (0.94, 0.97, 0.98)),
}


class ToneRanges(Ranges, frozen=True, kw_only=True):
    """Weights of the colours of a silver image, and how strong they are."""

    neutral: Weight = 1.0
    sepia: Weight = 0.0
    selenium: Weight = 0.0
    cyanotype: Weight = 0.0
    strength_frac_range: FracRange = (0.3, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_no_weight("neutral", "sepia", "selenium", "cyanotype")


class Tone(Record, frozen=True, kw_only=True):
    """Colour of the silver image: what black, middle grey and white become."""

    kind: str
    shadow: Rgb
    middle: Rgb
    highlight: Rgb


def draw_tone(draws: Draws, ranges: ToneRanges) -> Tone | None:
    """Draw the colour of a silver image; None is neutral."""
    kind = draws.pick({name: getattr(ranges, name) for name in (*_TONES, "neutral")})
    strength = draws.uniform(ranges.strength_frac_range)
    jitter = [0.05 * (draws.unit() - 0.5) for _ in range(3)]
    if kind == "neutral":
        return None

    def toned(grey: float, color: Rgb) -> Rgb:
        red, green, blue = (
            round(min(max(grey + strength * (c - grey + j), 0.0), 1.0), 5)
            for c, j in zip(color, jitter, strict=True)
        )
        return red, green, blue

    shadow, middle, highlight = _TONES[kind]
    return Tone(
        kind=kind,
        shadow=toned(0.0, shadow),
        middle=toned(0.5, middle),
        highlight=toned(1.0, highlight),
    )


def apply_tone(photo: Field, tone: Tone | None) -> Field:
    """Colour a silver image; a photograph in colour passes unchanged.

    Args:
        photo: (H, W) or (3, H, W) in [0, 1].
        tone: None is neutral.

    Returns:
        (3, H, W).
    """
    if photo.ndim == 3:
        return photo
    if tone is None:
        return np.stack([photo, photo, photo])
    toned = np.empty((3, *photo.shape), np.float32)
    above_middle = np.maximum(photo - np.float32(0.5), np.float32(0))
    part = np.empty_like(photo)
    colors = zip(tone.shadow, tone.middle, tone.highlight, strict=True)
    for plane, (shadow, middle, highlight) in zip(toned, colors, strict=True):
        np.multiply(photo, np.float32(2 * (middle - shadow)), out=plane)
        np.multiply(above_middle, np.float32(2 * (shadow - 2 * middle + highlight)), out=part)
        plane += part
        plane += np.float32(shadow)
    return toned
