"""What is put in the place of marks: the two fills."""

from collections.abc import Callable

import pytest
import torch

from train.network.local.fill import decide_hidden, fill_evenly, fill_from_around, find_hidden

Fill = Callable[..., torch.Tensor]


def paint_hair(height: int = 64, width: int = 96) -> torch.Tensor:
    """A slanted opaque line of three pixels with half-opaque rims, (1, 1, H, W)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = (rows - 20 - 0.3 * columns).abs()
    return (2.0 - distance).clamp(0, 1)[None, None]


@pytest.mark.parametrize("fill", [fill_from_around, fill_evenly])
def test_fill_keeps_the_visible_photograph(fill: Fill) -> None:
    """Without marks, filling changes nothing."""
    photo = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(fill(photo, torch.zeros(1, 1, 64, 64)), photo)


@pytest.mark.parametrize(
    ("fill", "columns", "rows", "num_scales", "tolerance"),
    [
        (fill_from_around, slice(5, 60), slice(20, 30), 5, 5e-3),
        (fill_evenly, slice(20, 30), slice(20, 30), 5, 2e-2),
        (fill_evenly, slice(20, 44), slice(20, 44), 2, 2e-2),
    ],
)
def test_fill_continues_a_flat_photograph(
    fill: Fill, columns: slice, rows: slice, num_scales: int, tolerance: float
) -> None:
    """A hole in a flat grey, also one six cells of the pyramid wide, is filled with that grey."""
    photo = torch.full((1, 3, 64, 64), 0.25)
    marks = torch.zeros(1, 1, 64, 64)
    marks[..., rows, columns] = 1.0
    covered = photo + 0.75 * marks
    torch.testing.assert_close(fill(covered, marks, num_scales), photo, atol=tolerance, rtol=0)


def test_even_fill_of_a_tile_is_that_of_the_whole() -> None:
    """Also in a hole that reaches out of the tile; five cells of the coarsest scale are enough."""
    torch.manual_seed(0)
    photo, marks = torch.rand(1, 3, 96, 96), torch.zeros(1, 1, 96, 96)
    marks[..., 30:70, 20:80] = 1.0
    whole = fill_evenly(photo, marks, num_scales=2)
    tile = fill_evenly(photo[..., 16:80, 16:80], marks[..., 16:80, 16:80], num_scales=2)
    expected = whole[..., 36:60, 36:60]
    torch.testing.assert_close(tile[..., 20:44, 20:44], expected, atol=1e-5, rtol=0)


def test_even_fill_shows_no_rim() -> None:
    """Under a hair across a slope of grey it errs by less than half of what push-pull does."""
    slope = torch.linspace(0.1, 0.9, 96).expand(1, 3, 64, 96)
    marks = paint_hair()
    damaged, hidden = slope + marks * (1 - slope), find_hidden(marks)
    errors = [
        float((fill(damaged, hidden) - slope).abs()[marks.expand_as(slope) > 0.5].mean())
        for fill in (fill_evenly, fill_from_around)
    ]
    assert errors[0] < errors[1] / 2
    assert errors[0] < 2 / 255


def ask(*places: tuple[float, tuple[slice, slice]]) -> torch.Tensor:
    """What is hidden (64, 128) where marks are so likely at some places, and nowhere else."""
    probability = torch.full((1, 1, 64, 128), 0.01)
    for value, place in places:
        probability[0, 0][place] = value
    return decide_hidden(torch.logit(probability))[0, 0]


def test_doubtful_marks_count_where_they_go_on_from_sure_ones() -> None:
    """A crack that fades is hidden as far as it is followed; the same doubt by itself is not."""
    crack, sure = (slice(20, 22), slice(10, 100)), (slice(20, 22), slice(10, 14))
    assert not ask((0.6, crack)).any()
    hidden = ask((0.6, crack), (0.95, sure))
    assert (hidden[20:22, 10:60] == 1).all()
    assert not hidden[:, 66:].any()
    assert hidden.sum() == hidden[20:22].sum()


def test_marks_are_followed_over_small_gaps_only() -> None:
    """Of one pixel, but not of four."""
    rows = slice(20, 22)
    sure, near, far = (rows, slice(4, 8)), (rows, slice(9, 20)), (rows, slice(24, 40))
    hidden = ask((0.95, sure), (0.6, near), (0.6, far))
    assert (hidden[20:22, 9:20] == 1).all()
    assert not hidden[:, 24:].any()


def test_what_surely_is_a_mark_is_hidden_by_itself() -> None:
    """A speck of one pixel; half sure is half hidden, and no more than it may be."""
    assert ask((0.95, (slice(5, 6), slice(5, 6)))).sum() == 1
    torch.testing.assert_close(ask((0.835, (slice(5, 6), slice(5, 6)))).sum(), torch.tensor(0.5))
