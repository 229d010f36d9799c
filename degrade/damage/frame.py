"""The print's own frame: white border, deckle edge, rounded corners, card mount.

It stands on the clean and on the damaged photograph alike: a frame is no damage, and the
model learns to leave it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from degrade.recipe import Frame
from degrade.textures.pack import Textures
from degrade.textures.placing import blend_over, sheet_window

Field = NDArray[np.float32]


class FrameFields(NamedTuple):
    """(H, W) in [0, 1]: 1 where the picture shows, and 1 where the print (not the backdrop) is."""

    picture: Field
    print_area: Field


def _rectangle(
    height: int, width: int, sides: tuple[float, float, float, float], radius: float
) -> Field:
    """Anti-aliased rectangle with rounded corners, inset by sides (left, top, right, bottom)."""
    left, top, right, bottom = (np.float32(s) for s in sides)
    x = np.arange(width, dtype=np.float32) + np.float32(0.5)
    y = np.arange(height, dtype=np.float32) + np.float32(0.5)
    dx = np.minimum(x - left, np.float32(width) - right - x)
    dy = np.minimum(y - top, np.float32(height) - bottom - y)
    if radius < 1:
        half = np.float32(0.5)
        return np.clip(dx + half, 0, 1)[None, :] * np.clip(dy + half, 0, 1)[:, None]
    r = np.float32(radius)
    cx = np.maximum(r - dx, 0)[None, :]
    cy = np.maximum(r - dy, 0)[:, None]
    return np.clip(r - np.sqrt(cx * cx + cy * cy) + np.float32(0.5), 0, 1)


def _ellipse(height: int, width: int, sides: tuple[float, float, float, float]) -> Field:
    left, top, right, bottom = (np.float32(s) for s in sides)
    rx, ry = (np.float32(width) - left - right) / 2, (np.float32(height) - top - bottom) / 2
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5) - left - rx) / rx
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5) - top - ry) / ry
    distance = np.sqrt((x * x)[None, :] + (y * y)[:, None])
    return np.clip((np.float32(1) - distance) * np.minimum(rx, ry) + np.float32(0.5), 0, 1)


def frame_fields(
    frame: Frame, textures: Textures, height: int, width: int, ratio: float = 1.0
) -> FrameFields:
    """Where the picture, the frame and the backdrop are."""
    sides = (
        frame.left_px * ratio, frame.top_px * ratio, frame.right_px * ratio,
        frame.bottom_px * ratio,
    )  # fmt: skip
    if frame.oval:
        picture = _ellipse(height, width, sides)
    else:
        picture = _rectangle(height, width, sides, frame.radius_px * ratio)
    if frame.deckle_px <= 0 or not frame.texture:
        return FrameFields(picture, np.ones((height, width), np.float32))
    # Each edge takes another row of the texture as its profile.
    depth = np.float32(frame.deckle_px * ratio / 255)
    length = max(height, width)
    scale = max(0.05, frame.deckle_px * ratio / 24)
    rows = sheet_window(textures, frame.texture, frame.texture_x_px, 0, scale, 256, length)
    profile = [rows[i * 60].astype(np.float32) * depth for i in range(4)]
    x = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    inside = np.minimum(
        np.minimum(
            x - profile[0][:height, None], np.float32(width) - profile[1][:height, None] - x
        ),
        np.minimum(y - profile[2][None, :width], np.float32(height) - profile[3][None, :width] - y),
    )
    return FrameFields(picture, np.clip(inside + np.float32(0.5), 0, 1))


def apply_frame(photo: Field, frame: Frame, fields: FrameFields) -> Field:
    """Lay the frame around a picture, in place.

    Args:
        photo: (3, H, W) in [0, 1]; changed and returned.
        frame: Its colours.
        fields: From `frame_fields`.

    Returns:
        (3, H, W) in [0, 1].
    """
    blend_over(photo, np.float32(1) - fields.picture, frame.paper)
    if frame.deckle_px > 0:
        blend_over(photo, np.float32(1) - fields.print_area, frame.backdrop)
    return photo
