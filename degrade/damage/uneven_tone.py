"""Uneven toning: in some places of a silver print another tone takes the place of its own.

Fixer that was not washed out, mounts and mirrors of silver turn a print brown in patches and from
its edges, while the rest stays neutral, or the other way round.
"""

import numpy as np

from degrade.arrays import Field
from degrade.damage.streams import Draws
from degrade.damage.tone import Tone, ToneRanges, apply_tone, draw_tone
from degrade.schema import Frac, FracRange, Ranges, Record
from degrade.textures.pack import Textures
from degrade.textures.placing import spread_sheet


class UnevenToneRanges(Ranges, frozen=True, kw_only=True):
    """Uneven toning.

    Attributes:
        prob: How often it happens.
        tone: The second tone.
        share_frac_range: Its share where there is most of it.
        edge_prob: How often it comes from the edges, rather than in patches.
        edge_width_frac_range: How far in it reaches.
    """

    prob: Frac = 0.0
    tone: ToneRanges = ToneRanges(neutral=0.3, sepia=0.6, selenium=0.1)
    share_frac_range: FracRange = (0.4, 1.0)
    edge_prob: Frac = 0.3
    edge_width_frac_range: FracRange = (0.1, 0.5)


class UnevenTone(Record, frozen=True, kw_only=True):
    """A second tone of a silver print: x ← x + e (second − x), by a field e.

    Attributes:
        tone: The second tone; None is neutral.
        share_frac: Largest e.
        texture: Field that says where, in patches or, with edge_px, how ragged.
        x_frac: Offset into it.
        y_frac: Likewise.
        edge_px: How far it reaches in from the edges; 0 for patches.
    """

    tone: Tone | None
    share_frac: float
    texture: str
    x_frac: float = 0.0
    y_frac: float = 0.0
    edge_px: float = 0.0


def draw_uneven_tone(
    draws: Draws, ranges: UnevenToneRanges, textures: Textures, short_px: int
) -> UnevenTone | None:
    """Draw the second tone of a silver print of a given short side, or none."""
    infos = textures.of_kind("field")
    if not draws.chance(ranges.prob) or not infos:
        return None
    from_edges = draws.chance(ranges.edge_prob)
    edge_px = draws.uniform(ranges.edge_width_frac_range) * short_px
    return UnevenTone(
        tone=draw_tone(draws, ranges.tone),
        share_frac=draws.uniform(ranges.share_frac_range),
        texture=draws.texture(infos).name,
        x_frac=draws.uniform((0, 1)),
        y_frac=draws.uniform((0, 1)),
        edge_px=round(edge_px, 3) if from_edges else 0.0,
    )


def uneven_tone_field(
    uneven: UnevenTone, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """The share of the second tone at each point, (H, W) in [0, share_frac]."""
    tile = spread_sheet(textures, uneven.texture, uneven.x_frac, uneven.y_frac, height, width)
    field = tile.astype(np.float32) * np.float32(2 / 255)
    edge_px = np.float32(uneven.edge_px * ratio)
    if edge_px > 0:
        x = np.minimum(np.arange(width), np.arange(width)[::-1]).astype(np.float32)
        y = np.minimum(np.arange(height), np.arange(height)[::-1]).astype(np.float32)
        # The texture moves the border in and out by half of its depth.
        field -= np.minimum(x[None, :], y[:, None]) * (np.float32(2) / edge_px)
        field += np.float32(0.5)
    else:
        field -= np.float32(0.5)
    np.clip(field, 0, 1, out=field)
    field *= np.float32(uneven.share_frac)
    return field


def tone_unevenly(photo: Field, silver: Field, uneven: UnevenTone, field: Field) -> Field:
    """Mix a second tone into a toned print, in place; one in colour passes unchanged.

    Args:
        photo: (3, H, W) in [0, 1], toned by `apply_tone`; changed and returned.
        silver: The photograph before, (H, W) or, in colour, (3, H, W).
        uneven: Holds the second tone.
        field: From `uneven_tone_field`.

    Returns:
        (3, H, W) in [0, 1].
    """
    if silver.ndim == 3:
        return photo
    second = apply_tone(silver, uneven.tone)
    second -= photo
    second *= field
    photo += second
    return photo
