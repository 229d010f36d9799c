"""What the camera does: lens blur and uneven light."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Lens, Vignette

Field = NDArray[np.float32]
Deep = NDArray[np.uint16]


def gaussian_radius_px(sigma_px: float) -> int:
    """Half width of the Gaussian kernel used everywhere: three deviations."""
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
    total = np.zeros(photo.shape, np.uint32)
    count = 0
    for dy, first, last in runs:
        rows = sums[reach + dy : reach + dy + height]
        total += rows[:, reach + last + 1 : reach + last + 1 + width]
        total -= rows[:, reach + first : reach + first + width]
        count += last - first + 1
    return ((total + np.uint32(count // 2)) // np.uint32(count)).astype(np.uint16)


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
