"""Uneven light: fall-off towards the corners or the sides."""

import numpy as np

from degrade.arrays import Field
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, Ranges, Record


class VignetteRanges(Ranges, frozen=True, kw_only=True):
    """Light fall-off: radial, and linear ramps on one side or on four."""

    radial_prob: Frac = 0.0
    radial_frac_range: FracRange = (0.1, 0.5)
    ramp_prob: Frac = 0.0
    four_sided_prob: Frac = 0.0
    ramp_frac_range: FracRange = (0.1, 0.4)
    ramp_width_frac_range: FracRange = (0.05, 0.4)
    white_prob: Frac = 0.0


class Vignette(Record, frozen=True, kw_only=True):
    """Uneven light: darkens (or whitens) towards the sides.

    Attributes:
        white: Whether it whitens instead of darkening.
        radial_frac: Strength at the corners of the radial part.
        inner_frac: Where it begins, in fractions of the half diagonal.
        centre_x_frac: Centre of the radial part.
        centre_y_frac: Likewise.
        ramps_px: Widths of four linear ramps: left, top, right, bottom (0: none).
        ramp_frac: Strength of the ramps at the edge.
    """

    white: bool = False
    radial_frac: float = 0.0
    inner_frac: float = 0.3
    centre_x_frac: float = 0.5
    centre_y_frac: float = 0.5
    ramps_px: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    ramp_frac: float = 0.0


def draw_vignette(draws: Draws, ranges: VignetteRanges, short_px: int) -> Vignette | None:
    """Draw the fall-off of light on a photograph of a given short side, or none."""
    radial, ramp = draws.chance(ranges.radial_prob), draws.chance(ranges.ramp_prob)
    white, four = draws.chance(ranges.white_prob), draws.chance(ranges.four_sided_prob)
    radial_frac = draws.uniform(ranges.radial_frac_range)
    inner, x, y = (
        draws.uniform((0.2, 0.6)),
        draws.uniform((0.35, 0.65)),
        draws.uniform((0.35, 0.65)),
    )
    ramp_frac = draws.uniform(ranges.ramp_frac_range)
    widths = [round(draws.uniform(ranges.ramp_width_frac_range) * short_px, 3) for _ in range(4)]
    side = draws.whole((0, 3))
    if not (radial or ramp):
        return None
    if not four:
        widths = [width * 2 if i == side else 0.0 for i, width in enumerate(widths)]
    return Vignette(
        white=white,
        radial_frac=radial_frac if radial else 0.0,
        inner_frac=inner,
        centre_x_frac=x,
        centre_y_frac=y,
        ramps_px=(widths[0], widths[1], widths[2], widths[3]) if ramp else (0.0, 0.0, 0.0, 0.0),
        ramp_frac=ramp_frac if ramp else 0.0,
    )


def vignette_field(vignette: Vignette, height: int, width: int, ratio: float = 1.0) -> Field:
    """How strongly the light fails at each point.

    Args:
        vignette: Lengths in px of the recipe.
        height: Rows.
        width: Columns.
        ratio: Px of this photograph per px of the recipe.

    Returns:
        (H, W) in [0, 1]: 0 where nothing changes. Ramps compose as a + b − ab.
    """
    one = np.float32(1)
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / np.float32(width)
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / np.float32(height)
    fall_off = np.zeros((height, width), np.float32)
    if vignette.radial_frac > 0:
        dx = (x - np.float32(vignette.centre_x_frac)) * np.float32(2)
        dy = (y - np.float32(vignette.centre_y_frac)) * np.float32(2)
        # Squared distance, 1 at the corners of a centred vignette.
        squared = (dx * dx * np.float32(0.5))[None, :] + (dy * dy * np.float32(0.5))[:, None]
        inner = np.float32(vignette.inner_frac**2)
        squared -= inner
        squared /= one - inner
        t = np.clip(squared, 0, 1, out=squared)
        np.subtract(np.float32(2), t, out=fall_off)
        fall_off *= t
        fall_off *= np.float32(vignette.radial_frac)
    if vignette.ramp_frac > 0:
        left, top, right, bottom = (r * ratio for r in vignette.ramps_px)
        frac = np.float32(vignette.ramp_frac)
        columns = np.ones(width, np.float32)
        rows = np.ones(height, np.float32)
        for axis, near, far in ((columns, left, right), (rows, top, bottom)):
            place = np.arange(len(axis), dtype=np.float32)
            if near > 0:
                axis *= one - frac * np.clip(one - place / np.float32(near), 0, 1)
            if far > 0:
                axis *= one - frac * np.clip(one - place[::-1] / np.float32(far), 0, 1)
        # 1 − (1 − a) k = a k + (1 − k)
        kept = columns[None, :] * rows[:, None]
        fall_off *= kept
        fall_off += np.subtract(one, kept, out=kept)
    return np.clip(fall_off, 0, 1, out=fall_off)


def apply_vignette(photo: Field, vignette: Vignette, field: Field) -> Field:
    """Darken (or whiten) a photograph where the light fails, in place.

    Args:
        photo: (H, W) or (3, H, W) in [0, 1]; changed and returned.
        vignette: Tells which of the two.
        field: From `vignette_field`.

    Returns:
        The same shape, in [0, 1].
    """
    if vignette.white:
        photo += field * (np.float32(1) - photo)
    else:
        photo *= np.float32(1) - field
    return photo
