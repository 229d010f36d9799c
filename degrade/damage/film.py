"""What the emulsion and the print do: response, curve, grain, screen, tone, ageing.

Inside the renderer a photograph is (H, W) while it is a silver image and (3, H, W) once it
has colour: planes, because arithmetic on them is several times faster than on pixels. Functions
that say so work in place: a fresh array of this size costs more in page faults than the
arithmetic on it.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Ageing, Curve, Emulsion, Grain, Halftone, Tone
from degrade.textures.pack import GRAIN_DEVIATION, Textures, turn
from degrade.textures.placing import blend_over, sheet_window

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

_KNOT_PLACES = tuple(i / (NUM_KNOTS - 1) for i in range(NUM_KNOTS))
_GRAIN_SIGMAS = np.interp(np.arange(256), (*range(0, 256, 16), 255), GRAIN_SIGMA_TABLE)
_CURVE_LEVELS = np.arange(4096) / 4095


def split_photo(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) to (3, H, W)."""
    planes = np.empty((3, *photo.shape[:2]), np.uint8)
    cv2.split(photo, list(planes))
    return planes


def to_bytes(field: Field) -> NDArray[np.uint8]:
    """[0, 1] to 0 … 255, rounded half to even, same shape of two or three dimensions."""
    # OpenCV takes the absolute value, which is 0 where rounding left a trifle below it.
    flat = cv2.convertScaleAbs(field.reshape(-1, field.shape[-1]), alpha=255)
    return np.asarray(flat, np.uint8).reshape(field.shape)


def respond(photo: NDArray[np.uint8], emulsion: Emulsion | None) -> NDArray[np.uint16]:
    """Expose an emulsion.

    Args:
        photo: (H, W, 3) RGB.
        emulsion: None keeps the colours.

    Returns:
        16 bit; (H, W) where the three rows of the matrix are equal, else (3, H, W).
    """
    if emulsion is None:
        planes = split_photo(photo).astype(np.uint16)
        planes *= np.uint16(257)
        return planes
    # OpenCV works in float32 here. Weights of eight fractional bits make every sum of an emulsion
    # exact in its 24, so that neither the order nor fused multiplication matters.
    weights = np.rint(np.array(emulsion.matrix) * (257 * 256)).astype(np.float32) / np.float32(256)
    exposed = cv2.transform(photo.astype(np.uint16), weights)
    rows = emulsion.matrix
    if rows[0] == rows[1] == rows[2]:
        return np.asarray(cv2.extractChannel(exposed, 0), np.uint16)
    planes = np.empty((3, *photo.shape[:2]), np.uint16)
    cv2.split(exposed, list(planes))
    return planes


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


def apply_curve(photo: NDArray[np.uint16], curve: Curve | None) -> Field:
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


def grain_sigma_lut(strength_frac: float) -> Field:
    """Deviation of the grain at each of 256 greys, for a grain of radius r = strength · σ_f."""
    return (_GRAIN_SIGMAS * strength_frac).astype(np.float32)


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
        unit = turn(tile, 0, grain.flip) * np.float32(1 / GRAIN_DEVIATION)
        unit -= np.float32(128 / GRAIN_DEVIATION)
        return unit

    shared = window(0, 0)
    if grain.chroma_frac == 0:
        return shared
    own = np.float32(grain.chroma_frac)
    norm = np.float32(1 / math.sqrt(1 + grain.chroma_frac**2))
    dyes = np.empty((3, height, width), np.float32)
    for c, dye in enumerate(dyes):
        part = window(171 * c + 97, 131 * c + 211)
        part *= own
        part += shared
        np.multiply(part, norm, out=dye)
    return dyes


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
        grainy = field * np.float32(grain.strength_frac)
        grainy += np.float32(1)
        grainy = grainy * photo
    else:
        place = to_bytes(photo).reshape(-1, photo.shape[-1])
        sigma = cv2.LUT(place, grain_sigma_lut(grain.strength_frac))
        grainy = np.asarray(sigma, np.float32).reshape(photo.shape)
        if grainy.ndim == field.ndim:
            grainy *= field
        else:
            grainy = grainy * field
        grainy += photo
    return np.clip(grainy, 0, 1, out=grainy)


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
    edge = photo - screen
    edge *= np.float32(halftone.hardness)
    edge += np.float32(0.5)
    return np.clip(edge, 0, 1, out=edge)


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
    colours = zip(tone.shadow, tone.middle, tone.highlight, strict=True)
    for plane, (shadow, middle, highlight) in zip(toned, colours, strict=True):
        np.multiply(photo, np.float32(2 * (middle - shadow)), out=plane)
        np.multiply(above_middle, np.float32(2 * (shadow - 2 * middle + highlight)), out=part)
        plane += part
        plane += np.float32(shadow)
    return toned


def is_even(ageing: Ageing) -> bool:
    """Whether a print has aged everywhere alike."""
    return ageing.uneven_frac == 0 or not ageing.texture


def ageing_field(
    ageing: Ageing, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """How far each point has aged, (H, W), about 1 on average; read only where it is even."""
    if is_even(ageing):
        return np.broadcast_to(np.float32(1), (height, width))
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
        near *= near
        near *= np.float32(2)
        field *= np.float32(0.4)
        field += near
    uneven = np.float32(ageing.uneven_frac)
    field *= uneven
    field += np.float32(1) - uneven
    return field


def age(photo: Field, ageing: Ageing, field: Field) -> Field:
    """Fade and stain a print, in place.

    Args:
        photo: (3, H, W) in [0, 1]; changed and returned.
        ageing: Strengths and colours.
        field: From `ageing_field`.

    Returns:
        (3, H, W) in [0, 1].
    """
    one = np.float32(1)
    if is_even(ageing):
        field = field[:1, :1]
    if ageing.fade_frac > 0:
        amount = field * np.float32(ageing.fade_frac)
        blend_over(photo, np.clip(amount, 0, 1, out=amount), ageing.fade_colour)
    if ageing.stain_frac > 0:
        amount = field * np.float32(ageing.stain_frac)
        np.clip(amount, 0, 1, out=amount)
        for plane, colour in zip(photo, ageing.stain_colour, strict=True):
            plane *= one - amount * np.float32(1 - colour)
    return photo
