"""Do hints do what they are for? One, five and twenty true points on grey copies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from restore.hints import Hint

Photo = NDArray[np.uint8]
Floats = NDArray[np.float32]

NUM_POINTS = (1, 5, 20)
_NUM_PLACES = 60
# A hint has the mean colour of a square of so many pixels.
_SQUARE_PX = 5
# What is joined to a place through pixels so near to it in L*, a* and b* is the same thing.
_SAME_COLOR = (25.0, 9.0, 9.0)
_OBJECT_FRACS = (0.005, 0.3)
# Far from a hint is what lies farther than this share of the side and has a chroma so different.
_FAR_FRAC, _OTHER_CHROMA = 0.375, 15.0
# ΔE2000 that one sees side by side in a photograph.
_VISIBLE = 2.0


class Places(NamedTuple):
    """Where hints are given on a photograph.

    Attributes:
        points: Columns and rows.
        object: (H, W) the thing in which the first one lies; None if no place lies in one.
    """

    points: list[tuple[int, int]]
    object: NDArray[np.bool_] | None


def choose_places(photo: Photo, rng: np.random.Generator) -> Places:
    """Draw places; the first in a thing that is neither tiny nor most of the photograph leads."""
    height, width = photo.shape[:2]
    drawn = rng.integers((width, height), size=(_NUM_PLACES, 2)).tolist()
    points = [(x, y) for x, y in drawn]
    for number, point in enumerate(points):
        thing = find_object(photo, point)
        if _OBJECT_FRACS[0] <= thing.mean() <= _OBJECT_FRACS[1]:
            first = points.pop(number)
            return Places([first, *points][: NUM_POINTS[-1]], thing)
    return Places(points[: NUM_POINTS[-1]], None)


def find_object(photo: Photo, point: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (H, W) that are joined to a point through colours like its own."""
    lab = cv2.cvtColor(cv2.medianBlur(photo, 5).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mask = np.zeros((photo.shape[0] + 2, photo.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
    cv2.floodFill(lab, mask, point, (0, 0, 0), _SAME_COLOR, _SAME_COLOR, flags)
    return mask[1:-1, 1:-1] > 0


def make_hint(photo: Photo, point: tuple[int, int]) -> Hint:
    """The true colour of a place."""
    from restore.hints import Hint

    x, y = point
    reach = _SQUARE_PX // 2
    square = photo[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    red, green, blue = (int(v) for v in np.rint(square.reshape(-1, 3).mean(0)))
    return Hint(x + 0.5, y + 0.5, (red, green, blue))


def measure_hints(
    color: Callable[[Photo, tuple[Hint, ...]], Photo],
    grey: Photo,
    clean: Photo,
    places: Places,
) -> dict[str, float]:
    """Colour a grey copy without hints and with more and more of them.

    Args:
        color: What colours it, given hints.
        grey: (H, W, 3), the copy.
        clean: (H, W, 3), the truth.
        places: Of the hints.

    Returns:
        `delta_e_0`, `delta_e_1`, ... of the whole photograph; sums `_object_error`,
        `_hinted_error` and `_objects` of the first hint's thing, and `_far_delta_e`,
        `_far_visible` and `_far` of pixels far from it, for `summarise_hints`.
    """
    from train.measure.evaluate import to_tensor
    from train.measure.metrics import convert_to_lab, map_delta_e

    hints = tuple(make_hint(clean, point) for point in places.points)
    colored = {num: color(grey, hints[:num]) for num in (0, *NUM_POINTS)}
    photos = {num: to_tensor(photo) for num, photo in colored.items()}
    true = to_tensor(clean)
    values = {
        f"delta_e_{num}": float(map_delta_e(photo, true).mean()) for num, photo in photos.items()
    }
    labs = {num: convert_to_lab(photo)[0].numpy() for num, photo in photos.items()}
    true_lab = convert_to_lab(true)[0].numpy()
    thing = places.object
    values |= {"_object_error": 0.0, "_hinted_error": 0.0, "_objects": 0.0}
    if thing is not None:
        errors = [
            float(np.linalg.norm((labs[num] - true_lab)[1:, thing].mean(1))) for num in (0, 1)
        ]
        values |= {"_object_error": errors[0], "_hinted_error": errors[1], "_objects": 1.0}
    far = _find_far(true_lab, places.points[0])
    change = map_delta_e(photos[1], photos[0])[0].numpy()[far]
    values |= {"_far_delta_e": float(change.sum()), "_far": float(far.sum())}
    values["_far_visible"] = float((change > _VISIBLE).sum())
    return values


def _find_far(lab: Floats, point: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels (H, W) that a hint at a point has no business with."""
    height, width = lab.shape[1:]
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(columns - point[0], rows - point[1])
    other = np.linalg.norm(lab[1:] - lab[1:, point[1], point[0], None, None], axis=0)
    return (distance > _FAR_FRAC * min(height, width)) & (other > _OTHER_CHROMA)


def summarise_hints(rows: Iterable[dict[str, float]]) -> dict[str, float]:
    """Means over photographs, and by how much ΔE falls from each number of points to the next."""
    table = list(rows)
    totals = {name: sum(row[name] for row in table) for name in table[0]}
    means = {name: total / len(table) for name, total in totals.items() if name[0] != "_"}
    for fewer, more in zip((0, *NUM_POINTS), NUM_POINTS, strict=False):
        means[f"delta_e_fall_to_{more}"] = means[f"delta_e_{fewer}"] - means[f"delta_e_{more}"]
    objects, far = max(totals["_objects"], 1e-9), max(totals["_far"], 1e-9)
    means["object_chroma_error"] = totals["_object_error"] / objects
    means["hinted_object_chroma_error"] = totals["_hinted_error"] / objects
    means["hinted_object_error_frac"] = totals["_hinted_error"] / max(totals["_object_error"], 1e-9)
    means["far_change_delta_e"] = totals["_far_delta_e"] / far
    means["far_visible_frac"] = totals["_far_visible"] / far
    return means
