"""What the emulsion and the print do: response, curve, grain, screen, tone, ageing.

Inside the renderer a photograph is (H, W) while it is a silver image and (3, H, W) once it
has colour: planes, because arithmetic on them is several times faster than on pixels.
"""

import math

import numpy as np
from numpy.typing import NDArray

from degrade.placing import sheet_window
from degrade.recipe import Ageing, Curve, Emulsion, Grain, Halftone, Rgb, Tone
from degrade.textures import GRAIN_DEVIATION, Textures

Field = NDArray[np.float32]

NUM_KNOTS = 33
"""Points through which a characteristic curve is drawn, evenly spaced in [0, 1]."""

GRAIN_SIGMA_TABLE = (
    0.0, 0.1202, 0.1626, 0.1899, 0.2083, 0.2201, 0.2267, 0.2286, 0.2263,
    0.2198, 0.2093, 0.1944, 0.1748, 0.1497, 0.1176, 0.0746, 0.0012,
)  # fmt: skip
"""Deviation of filtered grain at grey 0, 1/15.94 … 1, for r / σ_f = 1.

Source:
    Newson, Delon, Galerne, A stochastic film grain model for resolution-independent
    rendering, 2017: the Boolean model for grains small beside the filter.
"""

_LUT_SIZE = 4096


def respond(photo: NDArray[np.uint8], emulsion: Emulsion | None) -> NDArray[np.uint16]:
    """Expose an emulsion.

    Args:
        photo: (H, W, 3) RGB.
        emulsion: None keeps the colours.

    Returns:
        16 bit; (H, W) where the three rows of the matrix are equal, else (3, H, W).
    """
    if emulsion is None:
        planes = np.ascontiguousarray(photo.transpose(2, 0, 1))
        return planes.astype(np.uint16) * np.uint16(257)
    channels = [photo[..., i].astype(np.float32) * np.float32(257) for i in range(3)]
    rows = emulsion.matrix
    if rows[0] == rows[1] == rows[2]:
        return _to_deep(_mix(channels, rows[0]))
    return np.stack([_to_deep(_mix(channels, row)) for row in rows])


def _mix(channels: list[Field], weights: Rgb) -> Field:
    red, green, blue = (np.float32(w) for w in weights)
    return channels[0] * red + channels[1] * green + channels[2] * blue


def _to_deep(field: Field) -> NDArray[np.uint16]:
    return np.clip(np.rint(field), 0, 65535).astype(np.uint16)


def curve_knots(curve: Curve, channel: int) -> list[float]:
    """The curve of one channel at NUM_KNOTS evenly spaced inputs, rounded to 1e-6.

    Rounding hides the last bit, in which the C libraries' `pow` may differ.
    """
    gamma, gain = curve.gamma[channel], curve.gain[channel]
    brightness, contrast = curve.brightness[channel], curve.contrast
    black, white = curve.black[channel], curve.white[channel]
    knots = []
    for i in range(NUM_KNOTS):
        x = (i / (NUM_KNOTS - 1)) ** gamma
        t = min(max(gain * (x - 0.5) + brightness, 0.0), 1.0)
        if contrast != 1:
            up, down = t**contrast, (1 - t) ** contrast
            t = up / (up + down)
        knots.append(round(black + (white - black) * t, 6))
    return knots


def apply_curve(photo: NDArray[np.uint16], curve: Curve | None) -> Field:
    """Develop: send exposures through the characteristic curve.

    Args:
        photo: (H, W) or (3, H, W), 16 bit.
        curve: None is a straight line.

    Returns:
        float32 [0, 1], same shape.
    """
    if curve is None:
        return photo.astype(np.float32) * np.float32(1 / 65535)
    levels = np.arange(_LUT_SIZE) / (_LUT_SIZE - 1)
    inputs = np.arange(NUM_KNOTS) / (NUM_KNOTS - 1)
    index = photo >> 4
    if photo.ndim == 2:
        lut = np.interp(levels, inputs, curve_knots(curve, 0)).astype(np.float32)
        return np.take(lut, index)
    luts = [np.interp(levels, inputs, curve_knots(curve, c)).astype(np.float32) for c in range(3)]
    return np.stack([np.take(luts[c], index[c]) for c in range(3)])


def grain_sigma_lut(strength_frac: float) -> Field:
    """Deviation of the grain at each of 256 greys, for a grain of radius r = strength · σ_f."""
    inputs = np.array([0, *(16 * i for i in range(1, 16)), 255], np.float64)
    table = np.interp(np.arange(256), inputs, GRAIN_SIGMA_TABLE)
    return (table * strength_frac).astype(np.float32)


def grain_field(
    grain: Grain, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """The unit-variance grain that a recipe names.

    Returns:
        (H, W) for silver; (3, H, W) for dyes: one shared field and independent parts.
    """

    def window(dx: int, dy: int) -> Field:
        tile = sheet_window(
            textures, grain.texture, grain.x_px + dx, grain.y_px + dy, ratio, height, width
        )
        unit = (tile.astype(np.float32) - np.float32(128)) * np.float32(1 / GRAIN_DEVIATION)
        return unit[:, ::-1] if grain.flip else unit

    shared = window(0, 0)
    if grain.chroma_frac == 0:
        return shared
    own = np.float32(grain.chroma_frac)
    norm = np.float32(1 / math.sqrt(1 + grain.chroma_frac**2))
    parts = [window(171 * c + 97, 131 * c + 211) for c in range(3)]
    return np.stack([(shared + own * part) * norm for part in parts])


def add_grain(photo: Field, grain: Grain, field: Field) -> Field:
    """Add grain whose strength follows the tone.

    Args:
        photo: (H, W) or (3, H, W) in [0, 1].
        grain: Strength and law.
        field: From `grain_field`; (H, W) grain serves three channels too.

    Returns:
        Grainy copy, clipped to [0, 1].
    """
    if grain.law == "multiplicative":
        grainy = photo * (np.float32(1) + np.float32(grain.strength_frac) * field)
    else:
        index = np.rint(photo * np.float32(255)).astype(np.uint8)
        grainy = photo + np.take(grain_sigma_lut(grain.strength_frac), index) * field
    return np.clip(grainy, 0, 1)


def screen_field(
    halftone: Halftone, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """Thresholds of the printing screen, (H, W) in [0, 1]."""
    tile = sheet_window(
        textures, halftone.texture, halftone.x_px, halftone.y_px, halftone.scale * ratio,
        height, width,
    )  # fmt: skip
    return tile.astype(np.float32) * np.float32(1 / 255)


def apply_screen(photo: Field, halftone: Halftone, screen: Field) -> Field:
    """Print through a screen: the tone against the threshold, with a soft edge."""
    edge = (photo - screen) * np.float32(halftone.hardness) + np.float32(0.5)
    return np.clip(edge, 0, 1)


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
    levels = np.arange(1024) / 1023
    points = np.array([tone.shadow, tone.middle, tone.highlight])
    luts = [np.interp(levels, [0, 0.5, 1], points[:, c]).astype(np.float32) for c in range(3)]
    index = np.rint(photo * np.float32(1023)).astype(np.uint16)
    return np.stack([np.take(lut, index) for lut in luts])


def ageing_field(
    ageing: Ageing, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """How far each point has aged, (H, W), about 1 on average where it is even."""
    if ageing.uneven_frac == 0 or not ageing.texture:
        return np.ones((height, width), np.float32)
    side = textures.level(ageing.texture).shape[1]
    scale = max(height, width) / side
    tile = sheet_window(
        textures, ageing.texture, int(ageing.x_frac * side), int(ageing.y_frac * side), scale,
        height, width,
    )  # fmt: skip
    field = tile.astype(np.float32) * np.float32(2 / 255)
    edge_px = ageing.edge_px * ratio
    if edge_px > 0:
        x = np.minimum(np.arange(width), np.arange(width)[::-1]).astype(np.float32)
        y = np.minimum(np.arange(height), np.arange(height)[::-1]).astype(np.float32)
        near = np.clip(
            np.float32(1) - np.minimum(x[None, :], y[:, None]) / np.float32(edge_px), 0, 1
        )
        field = field * np.float32(0.4) + near * near * np.float32(2)
    uneven = np.float32(ageing.uneven_frac)
    return (np.float32(1) - uneven) + uneven * field


def age(photo: Field, ageing: Ageing, field: Field) -> Field:
    """Fade and stain a print.

    Args:
        photo: (3, H, W) in [0, 1].
        ageing: Strengths and colours.
        field: From `ageing_field`.

    Returns:
        (3, H, W) in [0, 1].
    """
    aged = photo
    one = np.float32(1)
    if ageing.fade_frac > 0:
        amount = np.clip(field * np.float32(ageing.fade_frac), 0, 1)
        colour = np.array(ageing.fade_colour, np.float32).reshape(3, 1, 1)
        aged = aged + amount * (colour - aged)
    if ageing.stain_frac > 0:
        amount = np.clip(field * np.float32(ageing.stain_frac), 0, 1)
        lost = one - np.array(ageing.stain_colour, np.float32).reshape(3, 1, 1)
        aged = aged * (one - amount * lost)
    return aged
