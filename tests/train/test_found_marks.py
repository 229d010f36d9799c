"""Measures of marks and detail: tolerance, slices, errors apart, bands."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from train.measure.bands import BANDS_PX, count_bands, summarise_bands
from train.measure.marks import (
    TOLERANCE_PX,
    add_slices,
    count_found,
    count_near,
    count_slices,
    describe_slices,
    format_slices,
    measure_contrasts,
    measure_widths,
    summarise_found,
)

Places = NDArray[np.bool_]


def paint_row(first: int, width_px: int = 1, side: int = 64) -> Places:
    """A mark across the photograph."""
    marks = np.zeros((side, side), bool)
    marks[first : first + width_px] = True
    return marks


@pytest.mark.parametrize(("off_px", "share"), [(0, 1), (TOLERANCE_PX, 1), (TOLERANCE_PX + 1, 0)])
def test_found_marks_may_be_off_by_the_tolerance(off_px: int, share: float) -> None:
    """A line beside a mark counts up to 2 px away, for recall and for precision."""
    counts = count_near(paint_row(20 + off_px), paint_row(20))
    assert counts.recall == counts.precision == counts.f1 == share


def test_found_marks_that_nobody_sees_are_neither_asked_for_nor_wrong() -> None:
    """Half of a mark is invisible: finding only the other half is full recall, all is no fault."""
    marks = paint_row(20)
    visible = marks.copy()
    visible[:, :32] = False
    assert count_near(visible, marks, visible).recall == 1
    assert count_near(marks, marks, visible).precision == 1
    assert count_near(marks, visible).precision < 1


def test_finding_nothing_has_no_recall_and_no_false_alarm() -> None:
    """Doing nothing: recall 0, precision 1, F1 0."""
    counts = count_near(np.zeros((64, 64), bool), paint_row(20))
    assert (counts.recall, counts.precision, counts.f1) == (0, 1, 0)


@pytest.mark.parametrize(
    ("width_px", "slice_"),
    [(1, "to 2 px"), (2, "to 2 px"), (4, "to 4 px"), (8, "to 8 px"), (12, "over 8 px")],
)
def test_marks_are_sliced_by_their_width(width_px: int, slice_: str) -> None:
    """A line counts in the slice of its width, and in no other."""
    marks = paint_row(20, width_px)
    counts = count_slices(np.zeros((64, 64, 3), np.uint8), marks, marks)
    found = [name for name, c in counts.items() if name.startswith("width") and c.true]
    assert found == [f"width {slice_}"]
    assert counts[f"width {slice_}"].precision == 1


def test_widths_of_slanted_lines_are_not_overrated() -> None:
    """A diagonal line of three pixels a row is only two across."""
    marks = np.abs(np.subtract.outer(np.arange(64), np.arange(64))) <= 1
    assert measure_widths(marks)[8:-8].max() == 2


@pytest.mark.parametrize("change", [10, 25, -50, 100])
def test_contrast_is_that_with_the_surroundings(change: int) -> None:
    """A line lighter or darker than an even photograph stands out by the difference."""
    marks = paint_row(30, 3)
    luma = np.full((64, 64), 120, np.float32)
    luma[marks] += change
    assert measure_contrasts(luma, marks)[marks] == pytest.approx(abs(change), abs=0.1)


def test_precision_by_width_is_by_what_was_found() -> None:
    """A wide false alarm lowers the precision of wide finds, and not that of thin ones."""
    marks, found = paint_row(10), paint_row(10) | paint_row(30, 20)
    counts = count_slices(np.zeros((64, 64, 3), np.uint8), found, marks)
    assert counts["width to 2 px"].precision == 1
    assert counts["width over 8 px"].precision == 0
    broad = count_slices(np.zeros((64, 64, 3), np.uint8), paint_row(9, 4), marks)
    assert broad["width to 4 px"].precision == 1
    assert broad["width to 2 px"].found == 0


def test_recall_by_kind_is_of_the_marks_of_that_kind() -> None:
    """One of two scratches is found, no hair."""
    scratches, hairs = paint_row(10) | paint_row(20), paint_row(40)
    counts = count_slices(
        np.zeros((64, 64, 3), np.uint8), paint_row(10), scratches | hairs,
        kinds={"scratch": scratches, "hair": hairs},
    )  # fmt: skip
    assert counts["kind scratch"].recall == 0.5
    assert counts["kind hair"].recall == 0


def test_slices_add_up_over_photographs_and_empty_ones_say_nothing() -> None:
    """Pixels are summed up, not shares; a slice without marks has no recall."""
    photo = np.zeros((64, 64, 3), np.uint8)
    found_all = count_slices(photo, paint_row(10, 3), paint_row(10, 3))
    found_none = count_slices(photo, np.zeros((64, 64), bool), paint_row(10))
    values = describe_slices(add_slices([found_all, found_none]))
    assert values["all"]["recall"] == 0.75
    assert values["width over 8 px"]["recall"] is None
    assert "width over 8 px" not in format_slices(values)
    assert "0.750" in format_slices(values)


def test_errors_inside_marks_are_told_apart() -> None:
    """What was found and filled badly counts apart from what was missed."""
    marks, found = paint_row(10) | paint_row(20), paint_row(10)
    error = np.zeros((64, 64), np.float32)
    error[10], error[20], error[30] = 7, 90, 50
    values = summarise_found(count_found(error, found, marks))
    assert values["error_inside_found"] == 7
    assert values["error_inside_missed"] == 90
    assert values["marks_recall"] == 0.5


def test_faint_marks_may_be_found_and_need_not_be() -> None:
    """Found, they are no false alarms; missed, no fault, and errors in them aren't counted."""
    plain, faint = paint_row(10), paint_row(30)
    error = np.zeros((64, 64), np.float32)
    error[10], error[30] = 7, 90
    for found in (plain, plain | faint):
        values = summarise_found(count_found(error, found, plain | faint, plain))
        assert values["marks_precision"] == values["marks_recall"] == 1
        assert values["error_inside_found"] == 7


def measure_bands(restored: torch.Tensor, clean: torch.Tensor) -> dict[str, float]:
    counts = count_bands(restored, clean)
    return counts | summarise_bands(counts)


def test_bands_of_the_clean_photograph_are_perfect() -> None:
    """No error in any band, and all of the detail."""
    clean = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    values = measure_bands(clean, clean)
    for period in BANDS_PX:
        assert values[f"detail_error_{period}px"] == 0
        assert values[f"detail_frac_{period}px"] == pytest.approx(1)


def test_bands_tell_blur_from_noise() -> None:
    """Blur takes fine detail and leaves coarse; noise adds fine detail: both are errors."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(1, 3, 128, 128, generator=generator)
    blurred = F.avg_pool2d(clean, 3, 1, 1, count_include_pad=False)
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=generator)
    blur, noise = measure_bands(blurred, clean), measure_bands(noisy, clean)
    assert blur["detail_frac_2px"] < 0.6 < 0.8 < blur["detail_frac_16px"]
    assert noise["detail_frac_2px"] > 1.1
    assert min(blur["detail_error_2px"], noise["detail_error_2px"]) > 10
