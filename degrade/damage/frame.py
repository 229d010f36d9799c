"""The print's own frame: white border, deckle edge, rounded corners, card mount.

It stands on the clean and on the damaged photograph alike: a frame is no damage, and the
model learns to leave it.
"""

from typing import NamedTuple

import numpy as np

from degrade.arrays import Field, blend_over
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, Ranges, Record, Rgb, Weight
from degrade.textures.pack import Textures
from degrade.textures.placing import sheet_window


class FrameRanges(Ranges, frozen=True, kw_only=True):
    """The print's own frame."""

    prob: Frac = 0.0
    border: Weight = 1.0
    deckle: Weight = 0.0
    rounded: Weight = 0.0
    mount: Weight = 0.0
    width_frac_range: FracRange = (0.02, 0.08)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_no_weight("border", "deckle", "rounded", "mount")


class Frame(Record, frozen=True, kw_only=True):
    """The print's own frame, on clean and damaged alike.

    Attributes:
        kind: border, deckle, rounded or mount (a card with an opening).
        left_px: Width of the frame on the left; the others likewise.
        radius_px: Radius of the rounded corners of the picture.
        deckle_px: Depth of the ragged outer edge.
        oval: Whether a mount's opening is an ellipse.
        paper: Colour of the frame.
        backdrop: Colour outside the print's edge, as the scanner sees it.
        texture: Field whose rows shape the ragged edge.
        texture_x_px: Offset into it.
    """

    kind: str
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    radius_px: float = 0.0
    deckle_px: float = 0.0
    oval: bool = False
    paper: Rgb = (1.0, 1.0, 1.0)
    backdrop: Rgb = (1.0, 1.0, 1.0)
    texture: str = ""
    texture_x_px: int = 0


def draw_frame(
    draws: Draws, ranges: FrameRanges, textures: Textures, short_px: int
) -> Frame | None:
    """Draw the frame of a print of a given short side, or none."""
    if not draws.chance(ranges.prob):
        return None
    names = ("border", "deckle", "rounded", "mount")
    kind = draws.pick({name: getattr(ranges, name) for name in names})
    width = draws.uniform(ranges.width_frac_range) * short_px
    sides = [width * draws.uniform((0.8, 1.2)) for _ in range(4)]
    # The print rarely fills the scan evenly: some sides may be cut off.
    sides = [side if draws.chance(0.85) else 0.0 for side in sides]
    paper = draws.tint((0.90, 0.88, 0.83), (1.0, 1.0, 1.0))
    backdrop = draws.tint((0.02, 0.02, 0.02), (1.0, 1.0, 1.0))
    radius, deckle, oval = 0.0, 0.0, False
    if kind == "rounded":
        radius = short_px * draws.uniform((0.03, 0.1))
        sides = [side * 0.3 for side in sides]
        paper = backdrop
    elif kind == "deckle":
        deckle = short_px * draws.uniform((0.006, 0.02))
    elif kind == "mount":
        sides = [side * 1.6 for side in sides]
        sides[3] *= draws.uniform((1.0, 2.0))
        oval = draws.chance(0.25)
        paper = draws.tint((0.25, 0.20, 0.16), (0.95, 0.92, 0.85))
    fields = textures.of_kind("field")
    info = draws.texture(fields) if fields else None
    left, top, right, bottom = (round(side, 3) for side in sides)
    return Frame(
        kind=kind,
        left_px=left,
        top_px=top,
        right_px=right,
        bottom_px=bottom,
        radius_px=round(radius, 3),
        deckle_px=round(deckle, 3) if info else 0.0,
        oval=oval,
        paper=paper,
        backdrop=backdrop,
        texture=info.name if info else "",
        texture_x_px=draws.offset(),
    )


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
    rx, ry = np.maximum(rx, np.float32(0.5)), np.maximum(ry, np.float32(0.5))
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
