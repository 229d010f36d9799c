"""Ageing of a print and of its frame: they fade and turn yellow or brown, evenly or not."""

import numpy as np

from degrade.arrays import Field, blend_over
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, Ranges, Record, Rgb
from degrade.textures.pack import Textures
from degrade.textures.placing import spread_sheet


class AgeingRanges(Ranges, frozen=True, kw_only=True):
    """Fading towards the paper and staining (yellow, brown), even or not.

    Of uneven ones alone, `edge_prob` is the chance that they come from the edges.
    """

    fade_prob: Frac = 0.0
    fade_frac_range: FracRange = (0.05, 0.4)
    stain_prob: Frac = 0.0
    stain_frac_range: FracRange = (0.1, 0.6)
    uneven_prob: Frac = 0.5
    uneven_frac_range: FracRange = (0.2, 0.8)
    edge_prob: Frac = 0.2
    edge_width_frac_range: FracRange = (0.05, 0.3)


class Ageing(Record, frozen=True, kw_only=True):
    """Fading towards a colour and staining by another, uneven over the print.

    x ← x + a (fade_colour − x) with a = fade_frac · e, then x ← x · (1 − b (1 − stain_colour))
    with b = stain_frac · e. The field e = 1 − uneven + uneven · t, where t is 2 · texture, or from
    the edges .8 · texture + 2 · (1 − distance / edge_px)².
    """

    fade_frac: float = 0.0
    fade_colour: Rgb = (1.0, 1.0, 1.0)
    stain_frac: float = 0.0
    stain_colour: Rgb = (1.0, 1.0, 1.0)
    uneven_frac: float = 0.0
    edge_px: float = 0.0
    texture: str = ""
    x_frac: float = 0.0
    y_frac: float = 0.0


def draw_ageing(
    draws: Draws, ranges: AgeingRanges, textures: Textures, short_px: int
) -> Ageing | None:
    """Draw how a print of a given short side has aged, if it has."""
    fade, stain = draws.chance(ranges.fade_prob), draws.chance(ranges.stain_prob)
    uneven, edge = draws.chance(ranges.uneven_prob), draws.chance(ranges.edge_prob)
    fade_frac = draws.uniform(ranges.fade_frac_range)
    stain_frac = draws.uniform(ranges.stain_frac_range)
    uneven_frac = draws.uniform(ranges.uneven_frac_range)
    edge_px = draws.uniform(ranges.edge_width_frac_range) * short_px
    fade_colour = draws.tint((0.72, 0.66, 0.55), (0.93, 0.91, 0.86))
    stain_colour = draws.tint((0.72, 0.52, 0.28), (0.98, 0.93, 0.76))
    infos = textures.of_kind("field")
    if not (fade or stain):
        return None
    return Ageing(
        fade_frac=fade_frac if fade else 0.0,
        fade_colour=fade_colour,
        stain_frac=stain_frac if stain else 0.0,
        stain_colour=stain_colour,
        uneven_frac=uneven_frac if uneven and infos else 0.0,
        edge_px=round(edge_px, 3) if edge else 0.0,
        texture=draws.texture(infos).name if uneven and infos else "",
        x_frac=draws.uniform((0, 1)),
        y_frac=draws.uniform((0, 1)),
    )


def is_even(ageing: Ageing) -> bool:
    """Whether a print has aged everywhere alike."""
    return ageing.uneven_frac == 0 or not ageing.texture


def ageing_field(
    ageing: Ageing, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """How far each point has aged, (H, W), about 1 on average; read only where it is even."""
    if is_even(ageing):
        return np.broadcast_to(np.float32(1), (height, width))
    tile = spread_sheet(textures, ageing.texture, ageing.x_frac, ageing.y_frac, height, width)
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
        for plane, color in zip(photo, ageing.stain_colour, strict=True):
            plane *= one - amount * np.float32(1 - color)
    return photo
