"""Film grain whose strength follows the tone."""

import math
from typing import Literal

import cv2
import numpy as np

from degrade.arrays import Field, to_bytes
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, PxRange, Ranges, Record
from degrade.textures.pack import Textures, turn
from degrade.textures.painters.tiles import GRAIN_DEVIATION
from degrade.textures.placing import sheet_window

GRAIN_SIGMA_TABLE = (
    0.0, 0.1202, 0.1626, 0.1899, 0.2083, 0.2201, 0.2267, 0.2286, 0.2263,
    0.2198, 0.2093, 0.1944, 0.1748, 0.1497, 0.1176, 0.0746, 0.0012,
)  # fmt: skip
"""Deviation of filtered grain at grey 0, 1/15.94 … 1, for r / σ_f = 1.

Source:
    Newson, Delon, Galerne, A stochastic film grain model for resolution-independent
    rendering, 2017: the Boolean model for grains small beside the filter.

The torch twin of this stage has the table, too; tests hold the two together.
"""

_GRAIN_SIGMAS = np.interp(np.arange(256), (*range(0, 256, 16), 255), GRAIN_SIGMA_TABLE)


class GrainRanges(Ranges, frozen=True, kw_only=True):
    """Grain: strength r / σ_f (log-uniform), spread of one grain, share of colour noise.

    Tiles whose grains spread so far are taken, or all where the pack has none; those of the pack
    that ships spread up to 1.5 px.
    """

    prob: Frac = 0.0
    strength_frac_range: FracRange = (0.03, 0.3)
    sigma_px_range: PxRange = (0.6, 1.5)
    chroma_frac_range: FracRange = (0.0, 0.0)
    multiplicative: bool = False


class Grain(Record, frozen=True, kw_only=True):
    """Film grain: a texture of unit deviation times a strength that follows the tone.

    Attributes:
        texture: Name of the tile.
        x_px: Crop offset into it.
        y_px: Likewise.
        flip: Whether it is mirrored.
        strength_frac: Grain radius over filter spread (r / σ_f); multiplies the table σ(u).
        chroma_frac: Share of independent noise per colour channel; 0 for silver.
        law: boolean (σ follows the Boolean model) or multiplicative (the first recipe:
            x · (1 + strength · noise)).
    """

    texture: str
    x_px: int
    y_px: int
    flip: bool = False
    strength_frac: float
    chroma_frac: float = 0.0
    law: Literal["boolean", "multiplicative"] = "boolean"


def draw_grain(draws: Draws, ranges: GrainRanges, textures: Textures, color: bool) -> Grain | None:
    """Draw the grain of a photograph, or none; only one in colour has grain of several colours."""
    low, high = ranges.sigma_px_range
    infos = textures.of_kind("grain")
    infos = tuple(i for i in infos if low <= i.sigma_px <= high) or infos
    happens = draws.chance(ranges.prob)
    if not happens or not infos:
        return None
    return Grain(
        texture=draws.texture(infos).name,
        x_px=draws.offset(),
        y_px=draws.offset(),
        flip=draws.chance(0.5),
        strength_frac=draws.log_uniform(ranges.strength_frac_range),
        chroma_frac=draws.uniform(ranges.chroma_frac_range) if color else 0.0,
        law="multiplicative" if ranges.multiplicative else "boolean",
    )


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
