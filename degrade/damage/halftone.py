"""The printing screen: ink where the tone is darker than a threshold."""

import numpy as np

from degrade.arrays import Field
from degrade.damage.streams import Draws
from degrade.schema import ExponentRange, Frac, Ranges, Record
from degrade.textures.pack import Textures
from degrade.textures.placing import sheet_window


class HalftoneRanges(Ranges, frozen=True, kw_only=True):
    """Printing screen."""

    prob: Frac = 0.0
    scale_range: ExponentRange = (0.6, 1.4)
    hardness_range: ExponentRange = (1.2, 4.0)


class Halftone(Record, frozen=True, kw_only=True):
    """Printing screen: ink where the tone is darker than the screen's threshold."""

    texture: str
    x_px: int
    y_px: int
    scale: float
    hardness: float


def draw_halftone(draws: Draws, ranges: HalftoneRanges, textures: Textures) -> Halftone | None:
    """Draw a printing screen, or none."""
    infos = textures.of_kind("screen")
    if not draws.chance(ranges.prob) or not infos:
        return None
    return Halftone(
        texture=draws.texture(infos).name,
        x_px=draws.offset(),
        y_px=draws.offset(),
        scale=draws.uniform(ranges.scale_range),
        hardness=draws.log_uniform(ranges.hardness_range),
    )


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
