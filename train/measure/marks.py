"""How well marks are found: recall and precision with a tolerance, by kind, width and contrast.

A pixel is *reached* if it lies in a mark and something was found within the tolerance, and *right*
if it was found and a mark lies within the tolerance. Recall is told by the width and the contrast
of the mark, precision by the width and the contrast of what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]
Places = NDArray[np.bool_]
Field = NDArray[np.float32]

TOLERANCE_PX = 2
MIN_OPACITY = 128
"""From this opacity on, of 255, a pixel counts as in a mark."""
FAINT_OPACITY = 64
"""From this one on, of 255, to find it is right, and below the other not to is no fault."""
ALL = "all"
# Upper ends of the slices; marks that are wider or stand out more are in one more slice.
_WIDTHS_PX = (2, 4, 8)
_CONTRASTS = (16, 32, 64)
# What surrounds a mark: the mean of what is no mark in a square of this side, or a wider one.
_SIDES_PX = (15, 61)
_GAP_PX = 1


class MarkCounts(NamedTuple):
    """Numbers of pixels; they add up over photographs."""

    reached: float = 0
    true: float = 0
    right: float = 0
    found: float = 0

    def plus(self, other: Self) -> Self:
        """The sums of both."""
        return type(self)(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def recall(self) -> float:
        """Share of the marks that was reached; 1 where there are none."""
        return self.reached / self.true if self.true else 1.0

    @property
    def precision(self) -> float:
        """Share of what was found that is right; 1 where nothing was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0


class Errors(NamedTuple):
    """Sums of absolute errors, and over how many pixels, inside marks; they add up."""

    found: float = 0
    num_found: float = 0
    missed: float = 0
    num_missed: float = 0


def widen(places: Places, reach_px: int) -> Places:
    """All pixels within a distance of places (H, W)."""
    side = 2 * reach_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.dilate(places.astype(np.uint8), disc) > 0)


def count_near(found: Places, marks: Places, visible: Places | None = None) -> MarkCounts:
    """Count reached and right pixels of one photograph.

    Args:
        found: (H, W) where marks were found.
        marks: (H, W) where they are.
        visible: (H, W) the part of them that can be found at all; None: all of them. What is found
            on the rest is right, and not to find it is no fault.
    """
    to_find = marks if visible is None else visible
    return MarkCounts(
        float((to_find & widen(found, TOLERANCE_PX)).sum()), float(to_find.sum()),
        float((found & widen(marks, TOLERANCE_PX)).sum()), float(found.sum()),
    )  # fmt: skip


def count_slices(
    photo: Photo,
    found: Places,
    marks: Places,
    *,
    visible: Places | None = None,
    kinds: Mapping[str, Places] | None = None,
) -> dict[str, MarkCounts]:
    """Counts by width, by contrast and by kind; also of all.

    Args:
        photo: (H, W, 3) with the marks on it.
        found: As for `count_near`.
        marks: Likewise.
        visible: Likewise.
        kinds: (H, W) where marks of each kind are. Nothing was found as of a kind, so that only
            their recall is known.
    """
    to_find = marks if visible is None else visible
    reached = to_find & widen(found, TOLERANCE_PX)
    right = found & widen(marks, TOLERANCE_PX)
    counts = {ALL: count_near(found, marks, visible)}
    luma = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.float32)
    sliced = (
        ("width", _WIDTHS_PX, " px", measure_widths(marks), measure_widths(found)),
        (
            "contrast",
            _CONTRASTS,
            "",
            measure_contrasts(luma, marks),
            measure_contrasts(luma, found),
        ),
    )
    for name, ends, unit, of_marks, of_found in sliced:
        places = (np.digitize(of_marks, ends, right=True), np.digitize(of_found, ends, right=True))
        for number in range(len(ends) + 1):
            above = f" to {ends[number]}{unit}" if number < len(ends) else f" over {ends[-1]}{unit}"
            true_here, found_here = places[0] == number, places[1] == number
            counts[name + above] = MarkCounts(
                float((reached & true_here).sum()), float((to_find & true_here).sum()),
                float((right & found_here).sum()), float((found & found_here).sum()),
            )  # fmt: skip
    for kind, where in (kinds or {}).items():
        counts[f"kind {kind}"] = MarkCounts(
            float((reached & where).sum()), float((to_find & where).sum())
        )
    return counts


def add_slices(photos: Iterable[Mapping[str, MarkCounts]]) -> dict[str, MarkCounts]:
    """Counts of several photographs together; slices may be missing from some."""
    sums: dict[str, MarkCounts] = {}
    for counts in photos:
        for name, count in counts.items():
            sums[name] = sums.get(name, MarkCounts()).plus(count)
    return sums


def describe_slices(slices: Mapping[str, MarkCounts]) -> dict[str, dict[str, float | None]]:
    """JSON values by slice: recall, precision (None where there is nothing to tell) and pixels."""
    return {
        name: {
            "recall": counts.recall if counts.true else None,
            "precision": counts.precision if counts.found else None,
            "num_true": int(counts.true),
            "num_found": int(counts.found),
        }
        for name, counts in slices.items()
    }


def format_slices(slices: Mapping[str, Mapping[str, float | None]]) -> str:
    """What `describe_slices` returned as a plain table."""
    lines = [f"{'':20}{'recall':>10}{'of px':>12}{'precision':>12}{'of px':>12}"]
    for name, values in slices.items():
        shares = (values["recall"], values["precision"])
        recall, precision = ("-" if share is None else f"{share:.3f}" for share in shares)
        true, found = values["num_true"], values["num_found"]
        if true or found:
            lines.append(f"{name:20}{recall:>10}{true:>12}{precision:>12}{found:>12}")
    return "\n".join(lines)


def measure_widths(places: Places) -> Field:
    """Width in px, rounded up to an end of `_WIDTHS_PX`, of the mark at each place (H, W).

    A pixel is in a mark that is wider than w if a disc of w + 1 px fits into the mark near it, so
    that corners and ends count as wide as the rest.
    """
    widths = np.full(places.shape, _WIDTHS_PX[0], np.float32)
    wider = (*_WIDTHS_PX[1:], _WIDTHS_PX[-1] + 1)
    mask = places.astype(np.uint8)
    for width, value in zip(_WIDTHS_PX, wider, strict=True):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width + 1, width + 1))
        if width + 1 == 3:
            disc[:] = 1  # OpenCV's disc of 3 px is a cross, which fits into slanted lines of 2 px
        opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc)
        widths[(cv2.dilate(opened, disc) > 0) & places] = value
    return widths


def measure_contrasts(luma: Field, places: Places) -> Field:
    """How much marks stand out from what surrounds them, (H, W) in the units of luma (H, W).

    The mean over the marks nearby, so that their soft edges count like their middles.
    """
    if not places.any():
        return np.zeros_like(luma)
    beside = (~widen(places, _GAP_PX)).astype(np.float32)
    around = np.full_like(luma, float((luma * beside).sum() / max(beside.sum(), 1)))
    for side in reversed(_SIDES_PX):
        share = cv2.blur(beside, (side, side))
        enough = share > 0.05
        mean = cv2.blur(luma * beside, (side, side)) / np.maximum(share, 1e-6)
        around = np.where(enough, mean, around)
    inside = places.astype(np.float32)
    box = (_SIDES_PX[0], _SIDES_PX[0])
    contrast = cv2.blur(np.abs(luma - around) * inside, box)
    return np.asarray(contrast / np.maximum(cv2.blur(inside, box), 1e-6), np.float32)


def split_errors(error: Field, marks: Places, found: Places) -> Errors:
    """Absolute errors (H, W) inside marks, apart for pixels that were found and that weren't."""
    hit, missed = marks & found, marks & ~found
    return Errors(
        float(error[hit].sum()), float(hit.sum()), float(error[missed].sum()), float(missed.sum())
    )


def count_found(
    error: Field, found: Places, marks: Places, visible: Places | None = None
) -> dict[str, float]:
    """What of one photograph's marks was found, and errors inside them, as sums to be added up.

    Args:
        error: (H, W) absolute.
        found: (H, W) where marks were found.
        marks: (H, W) where they are.
        visible: See `count_near`; errors are counted inside these.
    """
    near = count_near(found, marks, visible)._asdict()
    counts = {f"_near_{name}": value for name, value in near.items()}
    errors = split_errors(error, marks if visible is None else visible, found)._asdict()
    return counts | {f"_error_{name}": value for name, value in errors.items()}


def summarise_found(totals: Mapping[str, float]) -> dict[str, float]:
    """Recall, precision and mean errors of what `count_found` returned, summed."""
    counts = MarkCounts(*(totals[f"_near_{name}"] for name in MarkCounts._fields))
    errors = Errors(*(totals[f"_error_{name}"] for name in Errors._fields))
    return {
        "marks_recall": counts.recall,
        "marks_precision": counts.precision,
        "error_inside_found": errors.found / max(errors.num_found, 1),
        "error_inside_missed": errors.missed / max(errors.num_missed, 1),
    }
