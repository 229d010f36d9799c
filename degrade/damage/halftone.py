"""The printing screen: ink where the tone is darker than a threshold.

A screen is either a texture, at 45°, or given by its period and its angles. What is as fine as the
pixels beats with them, as it does in scans of newspapers (moiré).
"""

import math

import numpy as np

from degrade.arrays import Field
from degrade.damage.streams import Draws
from degrade.schema import ExponentRange, Frac, PxRange, Ranges, Record
from degrade.textures.pack import Textures
from degrade.textures.placing import sheet_window

_NUM_PHASES = 1024
_QUARTER_COSINES = np.array(
    [round(0.25 * math.cos(2 * math.pi * i / _NUM_PHASES), 6) for i in range(_NUM_PHASES)],
    np.float32,
)
_PROCESS_ANGLES_DEG = (15.0, 75.0, 0.0)
"""Of the screens of cyan, magenta and yellow in four-colour print."""


class HalftoneRanges(Ranges, frozen=True, kw_only=True):
    """Printing screen.

    With `period_px_range` (log-uniform) it has a period and angles of its own, and `scale_range`
    doesn't count. A photograph in colour has a screen for each ink then.
    """

    prob: Frac = 0.0
    scale_range: ExponentRange = (0.6, 1.4)
    hardness_range: ExponentRange = (1.2, 4.0)
    period_px_range: PxRange | None = None


class Halftone(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Printing screen: ink where the tone is darker than the screen's threshold.

    Attributes:
        texture: Its thresholds, if they are a texture.
        x_px: Offset into it, or of the dots.
        y_px: Likewise.
        scale: Photograph px per px of the texture.
        hardness: Steepness of the edge between paper and ink.
        period_px: Distance of the dots, if they are no texture.
        angles_deg: Direction of their rows: one for all channels, or one for each.
    """

    texture: str
    x_px: int
    y_px: int
    scale: float
    hardness: float
    period_px: float = 0.0
    angles_deg: tuple[float, ...] = ()


def draw_halftone(
    draws: Draws, ranges: HalftoneRanges, textures: Textures, color: bool
) -> Halftone | None:
    """Draw a printing screen, or none; one for each ink where the photograph is in colour."""
    infos = textures.of_kind("screen")
    if not draws.chance(ranges.prob) or not infos:
        return None
    drawn = Halftone(
        texture=draws.texture(infos).name,
        x_px=draws.offset(),
        y_px=draws.offset(),
        scale=draws.uniform(ranges.scale_range),
        hardness=draws.log_uniform(ranges.hardness_range),
    )
    if ranges.period_px_range is None:
        return drawn
    # Prints lie on the scanner straight, or nearly.
    tilt_deg = draws.uniform((-4.0, 4.0))
    angles_deg = _PROCESS_ANGLES_DEG if color else (45.0,)
    return Halftone(
        texture="",
        x_px=drawn.x_px,
        y_px=drawn.y_px,
        scale=1.0,
        hardness=drawn.hardness,
        period_px=draws.log_uniform(ranges.period_px_range),
        angles_deg=tuple(round(angle + tilt_deg, 3) for angle in angles_deg),
    )


def screen_field(
    halftone: Halftone, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> Field:
    """Thresholds of the printing screen, (H, W) or (3, H, W) in [0, 1]."""
    if halftone.period_px > 0:
        fields = [
            _dot_field(halftone, angle_deg, height, width, ratio)
            for angle_deg in halftone.angles_deg
        ]
        return np.stack(fields) if len(fields) > 1 else fields[0]
    tile = sheet_window(
        textures, halftone.texture, halftone.x_px, halftone.y_px, halftone.scale * ratio,
        height, width,
    )  # fmt: skip
    return tile.astype(np.float32) * np.float32(1 / 255)


def _dot_field(
    halftone: Halftone, angle_deg: float, height: int, width: int, ratio: float
) -> Field:
    """½ + ¼ (cos u + cos v), u and v along and across the rows of dots, in whole phases."""
    unit = 1 << 20
    angle = math.radians(angle_deg)
    period_px = halftone.period_px * ratio
    cosine, sine = (round(part / period_px * unit) for part in (math.cos(angle), math.sin(angle)))
    x = np.arange(width, dtype=np.int64) + round(halftone.x_px * ratio)
    y = np.arange(height, dtype=np.int64) + round(halftone.y_px * ratio)
    field = np.full((height, width), 0.5, np.float32)
    for step_x, step_y in ((cosine, sine), (-sine, cosine)):
        turns = (x * step_x)[None, :] + (y * step_y)[:, None]
        field += _QUARTER_COSINES[(turns & (unit - 1)) * _NUM_PHASES >> 20]
    return field


def apply_screen(photo: Field, halftone: Halftone, screen: Field) -> Field:
    """Print through a screen: the tone against the threshold, with a soft edge.

    Args:
        photo: (H, W) or (3, H, W) in [0, 1].
        halftone: Tells how soft.
        screen: From `screen_field`; a silver image is printed with the first of three.

    Returns:
        The same shape as the photograph, in [0, 1].
    """
    edge = photo - (screen[0] if screen.ndim > photo.ndim else screen)
    edge *= np.float32(halftone.hardness)
    edge += np.float32(0.5)
    return np.clip(edge, 0, 1, out=edge)
