"""Loss of dyes: each of a colour photograph's three dyes loses density by its own factor.

Kept in the dark, the cyan dye goes first and the picture turns red; then the yellow one, and it
turns magenta or blue. In light magenta goes, and it turns green. Black fades, too: it is the sum of
the three dyes.
"""

from typing import Annotated

import numpy as np
from msgspec import Meta

from degrade.arrays import Deep, Field
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, Ranges, Record, Rgb, Weight
from degrade.textures.pack import Textures
from degrade.textures.placing import spread_sheet

NUM_DYE_KNOTS = 65
"""Points through which the loss of one dye passes, evenly spaced in [0, 1]."""

_KNOT_PLACES = tuple(i / (NUM_DYE_KNOTS - 1) for i in range(NUM_DYE_KNOTS))
_LEVELS = np.arange(4096) / 4095
_GAMMA = 2.2
_DYES = ("cyan", "magenta", "yellow")
_YELLOW_STAIN: Rgb = (0.1, 0.4, 1.0)

Density = Annotated[float, Meta(ge=0, le=5)]
DensityRange = tuple[Density, Density]


class DyesRanges(Ranges, frozen=True, kw_only=True):
    """Loss of dyes.

    Attributes:
        prob: How often dyes have faded at all.
        cyan: Weight with which cyan is the dye that has lost most; the others likewise.
        loss_frac_range: Share of its density that this dye has lost.
        others_frac_range: What each other dye has lost, in shares of that.
        stain_prob: Chance of a stain.
        stain_density_range: Its density in blue, if yellow, or in each channel.
        yellow_prob: Chance that a stain is yellow, rather than of any colour.
        black_density_range: Density of the deepest black before it faded.
        uneven_prob: Chance that the dyes have faded more in some places than in others.
        uneven_frac_range: By what share, at most, a place has been spared.
    """

    prob: Frac = 0.0
    cyan: Weight = 0.7
    magenta: Weight = 0.15
    yellow: Weight = 0.15
    loss_frac_range: FracRange = (0.1, 0.65)
    others_frac_range: FracRange = (0.0, 0.6)
    stain_prob: Frac = 0.0
    stain_density_range: DensityRange = (0.02, 0.25)
    yellow_prob: Frac = 0.75
    black_density_range: DensityRange = (1.9, 2.6)
    uneven_prob: Frac = 0.0
    uneven_frac_range: FracRange = (0.2, 0.8)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_no_weight("cyan", "magenta", "yellow")


class Dyes(Record, frozen=True, kw_only=True):
    """What is left of the dyes: D ← kept_frac · D + stain_density, for each channel.

    D = −log10 of the light that a channel reflects, at most black_density. Cyan dye makes the
    density in red, magenta in green, yellow in blue. Where the field e lies below 1, the photograph
    is mixed of the faded one, e, and of the unfaded one, 1 − e.

    Attributes:
        kept_frac: Factor of the density in red, green and blue.
        stain_density: Density that was added in red, green and blue.
        black_density: Density of the deepest black before it faded.
        uneven_frac: Share by which the most spared place was spared: e = 1 − uneven · texture.
        texture: Field that says where.
        x_frac: Offset into it.
        y_frac: Likewise.
    """

    kept_frac: Rgb
    stain_density: Rgb = (0.0, 0.0, 0.0)
    black_density: float = 2.2
    uneven_frac: float = 0.0
    texture: str = ""
    x_frac: float = 0.0
    y_frac: float = 0.0


def draw_dyes(draws: Draws, ranges: DyesRanges, textures: Textures) -> Dyes | None:
    """Draw how far the dyes of a colour photograph have faded, if they have."""
    happens = draws.chance(ranges.prob)
    first = draws.pick({name: getattr(ranges, name) for name in _DYES})
    loss = draws.uniform(ranges.loss_frac_range)
    shares = [draws.uniform(ranges.others_frac_range) for _ in _DYES]
    stained, yellow = draws.chance(ranges.stain_prob), draws.chance(ranges.yellow_prob)
    stain = draws.uniform(ranges.stain_density_range)
    own_stains = [draws.uniform(ranges.stain_density_range) for _ in _DYES]
    uneven = draws.chance(ranges.uneven_prob)
    uneven_frac = draws.uniform(ranges.uneven_frac_range)
    black_density = draws.uniform(ranges.black_density_range)
    x_frac, y_frac = draws.uniform((0, 1)), draws.uniform((0, 1))
    infos = textures.of_kind("field")
    if not happens:
        return None
    lost = [
        loss * (1.0 if name == first else share) for name, share in zip(_DYES, shares, strict=True)
    ]
    stains = [stain * share for share in _YELLOW_STAIN] if yellow else own_stains
    uneven = uneven and bool(infos)
    return Dyes(
        kept_frac=_triple([1 - share for share in lost]),
        stain_density=_triple(stains) if stained else (0.0, 0.0, 0.0),
        black_density=black_density,
        uneven_frac=uneven_frac if uneven else 0.0,
        texture=draws.texture(infos).name if uneven else "",
        x_frac=x_frac,
        y_frac=y_frac,
    )  # fmt: skip


def _triple(values: list[float]) -> Rgb:
    red, green, blue = (round(value, 6) for value in values)
    return red, green, blue


def dyes_field(dyes: Dyes, textures: Textures, height: int, width: int) -> Field:
    """How much of the loss each point has suffered, (H, W) in [0, 1]; 1 where it is even."""
    if dyes.uneven_frac == 0 or not dyes.texture:
        return np.broadcast_to(np.float32(1), (height, width))
    tile = spread_sheet(textures, dyes.texture, dyes.x_frac, dyes.y_frac, height, width)
    return np.float32(1) - tile * np.float32(dyes.uneven_frac / 255)


def dye_knots(dyes: Dyes, channel: int) -> list[float]:
    """What the tones of one channel become, at NUM_DYE_KNOTS evenly spaced ones, to 1e-6.

    Light is the tone to the power of 2.2. What the deepest black reflects is no light of the
    picture: a loss of nothing leaves black at 0, and any other lifts it.

    Rounding hides the last bit, in which the C libraries' `pow` may differ.
    """
    kept, stain = dyes.kept_frac[channel], dyes.stain_density[channel]
    floor = 10.0**-dyes.black_density
    knots = []
    for place in _KNOT_PLACES:
        light = floor + (1 - floor) * place**_GAMMA
        faded = (light**kept * 10.0**-stain - floor) / (1 - floor)
        knots.append(min(max(faded, 0.0), 1.0) ** (1 / _GAMMA) * 1e6)
    rounded: list[float] = (np.rint(knots) / 1e6).tolist()
    return rounded


def fade_dyes(photo: Deep, dyes: Dyes, field: Field) -> Deep:
    """Let the dyes of a photograph fade; a silver image, which has none, passes unchanged.

    Args:
        photo: (H, W) or (3, H, W), 16 bit.
        dyes: What is left of them.
        field: From `dyes_field`.

    Returns:
        16 bit, same shape.
    """
    if photo.ndim == 2:
        return photo
    index = photo >> 4
    if dyes.uneven_frac == 0 or not dyes.texture:
        return np.stack([np.take(_dye_table(dyes, c), index[c], mode="wrap") for c in range(3)])
    faded = np.empty_like(photo)
    for c in range(3):
        change = np.take(_dye_table(dyes, c), index[c], mode="wrap").astype(np.float32)
        change -= photo[c]
        change *= field
        change += photo[c]
        faded[c] = np.rint(np.clip(change, 0, 65535, out=change), out=change)
    return faded


def _dye_table(dyes: Dyes, channel: int) -> Deep:
    levels = np.interp(_LEVELS, _KNOT_PLACES, dye_knots(dyes, channel))
    return np.rint(levels * 65535).astype(np.uint16)
