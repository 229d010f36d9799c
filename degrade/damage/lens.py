"""Blur of the taking lens: Gaussian, defocus and motion."""

import math
from typing import Any

import cv2
import numpy as np

from degrade.arrays import Deep
from degrade.damage.streams import Draws
from degrade.schema import Frac, PxRange, Ranges, Record


class LensRanges(Ranges, frozen=True, kw_only=True):
    """Lens blur; sigma is log-uniform."""

    prob: Frac = 0.0
    sigma_px_range: PxRange = (0.2, 3.0)
    defocus_prob: Frac = 0.0
    defocus_radius_px_range: PxRange = (1.0, 4.0)
    motion_prob: Frac = 0.0
    motion_length_px_range: PxRange = (2.0, 8.0)


class Lens(Record, frozen=True, kw_only=True):
    """Blur of the taking lens: Gaussian, then defocus disc, then motion along a line."""

    sigma_px: float = 0.0
    defocus_radius_px: float = 0.0
    motion_length_px: float = 0.0
    motion_angle_deg: float = 0.0


def draw_lens(draws: Draws, ranges: LensRanges) -> Lens | None:
    """Draw the blur of a lens, or none."""
    blur, defocus = draws.chance(ranges.prob), draws.chance(ranges.defocus_prob)
    motion = draws.chance(ranges.motion_prob)
    sigma = draws.log_uniform(ranges.sigma_px_range)
    radius = draws.uniform(ranges.defocus_radius_px_range)
    length = draws.uniform(ranges.motion_length_px_range)
    angle = draws.uniform((0, 180))
    if not (blur or defocus or motion):
        return None
    return Lens(
        sigma_px=sigma if blur else 0.0,
        defocus_radius_px=radius if defocus else 0.0,
        motion_length_px=length if motion else 0.0,
        motion_angle_deg=angle if motion else 0.0,
    )


def gaussian_radius_px(sigma_px: float) -> int:
    """Half width of a lens's Gaussian kernel: three deviations."""
    return max(1, math.ceil(3 * sigma_px))


def disc_rows(radius_px: float) -> list[tuple[int, int]]:
    """A defocus disc as rows: (vertical offset, half width) of each run of ones."""
    reach = int(radius_px)
    return [
        (dy, int(math.sqrt(max(radius_px * radius_px - dy * dy, 0.0))))
        for dy in range(-reach, reach + 1)
    ]


def motion_offsets(length_px: float, angle_deg: float) -> list[tuple[int, int]]:
    """A motion blur as the whole-pixel offsets (dx, dy) that are averaged."""
    steps = max(1, round(length_px))
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    offsets = []
    for i in range(steps + 1):
        along = (i / steps - 0.5) * length_px
        offset = (round(along * cos), round(along * sin))
        if offset not in offsets:
            offsets.append(offset)
    return offsets


def _mean_of_runs(photo: Deep, runs: list[tuple[int, int, int]]) -> Deep:
    """Average shifted copies exactly, in integers: runs are (dy, first dx, last dx)."""
    reach = max(max(abs(dy), abs(first), abs(last)) for dy, first, last in runs)
    border = cv2.copyMakeBorder(photo, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    height, width = photo.shape
    # Sums along the rows make each run the difference of two columns.
    sums = np.zeros((border.shape[0], border.shape[1] + 1), np.uint32)
    np.cumsum(border, axis=1, dtype=np.uint32, out=sums[:, 1:])
    count = sum(last - first + 1 for _, first, last in runs)
    kind: type[np.unsignedinteger[Any]] = np.uint32 if count < 1 << 16 else np.uint64
    total = np.zeros(photo.shape, kind)
    for dy, first, last in runs:
        rows = sums[reach + dy : reach + dy + height]
        total += rows[:, reach + last + 1 : reach + last + 1 + width]
        total -= rows[:, reach + first : reach + first + width]
    return ((total + kind(count // 2)) // kind(count)).astype(np.uint16)


def blur_lens(photo: Deep, lens: Lens, ratio: float = 1.0) -> Deep:
    """Blur a photograph as its lens did.

    Args:
        photo: (H, W) or (3, H, W), 16 bit.
        lens: Lengths in px of the recipe.
        ratio: Px of this photograph per px of the recipe.

    Returns:
        Blurred copy, same shape. Borders are reflected (without repeating the edge).
    """
    if photo.ndim == 3:
        return np.stack([blur_lens(channel, lens, ratio) for channel in photo])
    # A reflected border must fit into the photograph.
    most = (min(photo.shape) - 1) // 3
    sigma_px = min(lens.sigma_px * ratio, most / 3)
    if sigma_px > 0.1:
        side = 2 * gaussian_radius_px(sigma_px) + 1
        photo = np.asarray(
            cv2.GaussianBlur(photo, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT_101),
            np.uint16,
        )
    radius_px = min(lens.defocus_radius_px * ratio, float(most))
    if radius_px >= 1:
        photo = _mean_of_runs(photo, [(dy, -half, half) for dy, half in disc_rows(radius_px)])
    length_px = min(lens.motion_length_px * ratio, float(most))
    if length_px >= 1:
        offsets = motion_offsets(length_px, lens.motion_angle_deg)
        photo = _mean_of_runs(photo, [(dy, dx, dx) for dx, dy in offsets])
    return photo
