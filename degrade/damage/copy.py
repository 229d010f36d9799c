"""An earlier copy: what was once saved small, as a JPEG, and then enlarged and saved again.

Blocks of the first copy are larger than those of the second, and lie elsewhere.
"""

import cv2
import numpy as np

from degrade.arrays import Photo, encode_jpeg
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, QualityRange, Ranges, Record


class CopyRanges(Ranges, frozen=True, kw_only=True):
    """The earlier copy: its size, and its JPEG quality (log-uniform)."""

    prob: Frac = 0.0
    scale_frac_range: FracRange = (0.4, 1.0)
    jpeg_quality_range: QualityRange = (5.0, 30.0)


class Copy(Record, frozen=True, kw_only=True):
    """The earlier copy.

    Attributes:
        scale_frac: Its size.
        jpeg_quality: Its quality, 1 to 100.
        x_px: How far its blocks lie to the right of the photograph's left side, 0 to 7.
        y_px: How far they lie below its top.
    """

    scale_frac: float
    jpeg_quality: int
    x_px: int = 0
    y_px: int = 0


def draw_copy(draws: Draws, ranges: CopyRanges) -> Copy | None:
    """Draw an earlier copy, or none."""
    happens = draws.chance(ranges.prob)
    scale_frac = draws.uniform(ranges.scale_frac_range)
    quality = draws.log_uniform(ranges.jpeg_quality_range)
    x_px, y_px = draws.whole((0, 7)), draws.whole((0, 7))
    if not happens:
        return None
    return Copy(scale_frac=scale_frac, jpeg_quality=round(quality), x_px=x_px, y_px=y_px)


def save_copy(photo: Photo, copy: Copy, ratio: float = 1.0) -> Photo:
    """Save a photograph as the earlier copy was saved, and enlarge it again.

    Args:
        photo: (H, W, 3) RGB.
        copy: What was done.
        ratio: Px of this photograph per px of the recipe: the copy has the size that it had.

    Returns:
        (H, W, 3) RGB.
    """
    height, width = photo.shape[:2]
    scale = min(copy.scale_frac / ratio, 1.0)
    small = max(8, round(width * scale)), max(8, round(height * scale))
    shrunk = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
    # Encoded from x px further left and y px further up, so that the blocks begin there.
    left, top = (8 - copy.x_px) % 8, (8 - copy.y_px) % 8
    padded = cv2.copyMakeBorder(shrunk, top, 0, left, 0, cv2.BORDER_REPLICATE)
    encoded = encode_jpeg(np.asarray(padded, np.uint8), copy.jpeg_quality)
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    decoded = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)[top:, left:]
    enlarged = cv2.resize(decoded, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.uint8)
