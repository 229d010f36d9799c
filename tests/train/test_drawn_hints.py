"""Hints drawn in training: how many, how large, of which colours."""

import numpy as np
import pytest
import torch

from restore.ycc import to_ycc
from train.data.batches import unpack_hints
from train.data.hints import Hint, draw_hints, draw_points, paint_hints, recolor_thing

RED, BLUE = (200, 40, 40), (30, 60, 180)


@pytest.fixture
def halves() -> np.ndarray:
    """A photograph (32, 32, 3), red at the left and blue at the right."""
    photo = np.empty((32, 32, 3), np.uint8)
    photo[:, :16], photo[:, 16:] = RED, BLUE
    return photo


def chroma_of(color: tuple[int, int, int]) -> np.ndarray:
    return to_ycc(np.array(color, np.float32) / np.float32(255))[1:]


def test_a_third_has_no_hints_and_the_others_up_to_twenty() -> None:
    """Numbers are log-uniform from 1 to 20, sides 1 to 15 px, a quarter are strokes."""
    rng = np.random.default_rng(0)
    drawn = [draw_hints(64, rng) for _ in range(3000)]
    nums = np.array([len(hints) for hints in drawn])
    assert (nums == 0).mean() == pytest.approx(1 / 3, abs=0.03)
    assert nums.max() == 20
    some = nums[nums > 0]
    assert (some <= 4).mean() == pytest.approx(np.log(5) / np.log(21), abs=0.04)
    hints = [hint for each in drawn for hint in each]
    assert {hint.side_px for hint in hints} == set(range(1, 16))
    assert np.mean([hint.width_px > 0 for hint in hints]) == pytest.approx(0.25, abs=0.02)
    assert all(0 <= hint.x_px < 64 and 0 <= hint.y_px < 64 for hint in hints)


def test_point_is_painted_with_the_mean_chroma_of_what_it_covers(halves: np.ndarray) -> None:
    """A point across the border has a colour half-way; nothing else is painted."""
    painted = paint_hints(halves, [Hint(16, 8, 4), Hint(4, 20, 3)])
    assert painted.dtype == np.int8
    assert painted[..., 2].sum() == 16 + 9
    assert not painted[painted[..., 2] == 0].any()
    between = (chroma_of(RED) + chroma_of(BLUE)) / 2
    assert painted[7, 15, :2] / 254 == pytest.approx(between, abs=1 / 254)
    assert painted[20, 4, :2] / 254 == pytest.approx(chroma_of(RED), abs=1 / 254)


def test_point_at_the_border_stays_within_the_photograph(halves: np.ndarray) -> None:
    """It is cut off there."""
    painted = paint_hints(halves, [Hint(31, 31, 15), Hint(0, 0, 15)])
    assert painted[31, 31, 2] == painted[0, 0, 2] == 1
    assert painted[31, 31, :2] / 254 == pytest.approx(chroma_of(BLUE), abs=1 / 254)


def test_stroke_stays_where_the_colour_is_that_it_began_with(halves: np.ndarray) -> None:
    """A stroke from red into blue ends at the border."""
    painted = paint_hints(halves, [Hint(4, 10, 3, 28, 10, 3)])
    assert painted[9:12, 4:16, 2].all()
    assert not painted[:, 16:].any()
    assert painted[10, 12, :2] / 254 == pytest.approx(chroma_of(RED), abs=1 / 254)


def test_hints_follow_from_their_draws(halves: np.ndarray) -> None:
    """The same generator gives the same hints, another one others."""
    ours, again, other = (draw_hints(32, np.random.default_rng(s)) for s in (5, 5, 6))
    assert ours == again != other
    assert np.array_equal(paint_hints(halves, ours), paint_hints(halves, again))
    assert len(draw_points(10, 32, 6, np.random.default_rng(0))) == 10


def test_no_hints_are_exactly_zero_and_others_within_rounding(halves: np.ndarray) -> None:
    """Chroma travels as bytes: none stays none, and a colour moves by half a level at most."""
    none = unpack_hints(torch.from_numpy(paint_hints(halves, []))[None])
    assert none.shape == (1, 3, 32, 32)
    assert not none.any()
    hints = unpack_hints(torch.from_numpy(paint_hints(halves, [Hint(4, 4, 3)]))[None])
    assert hints[0, 2].sum() == 9
    assert hints[0, :2, 4, 4].numpy() == pytest.approx(chroma_of(RED), abs=0.51 / 254)


def test_thing_under_a_hint_is_dyed_and_nothing_else(halves: np.ndarray) -> None:
    """Luma stays; chroma changes by a turn of 45 degrees at least, within the thing."""
    photo = np.full((32, 32, 3), 120, np.uint8)
    photo[8:18, 8:18] = RED
    dyed = recolor_thing(photo, Hint(12, 12, 3), np.random.default_rng(1))
    before, after = (to_ycc(p.astype(np.float32) / np.float32(255)) for p in (photo, dyed))
    assert np.abs(after - before)[..., 0].max() < 0.02
    outside = np.ones((32, 32), bool)
    outside[5:21, 5:21] = False
    assert (dyed == photo)[outside].all()
    old, new = chroma_of(RED), after[13, 13, 1:]
    turn = old @ new / np.linalg.norm(old) / np.linalg.norm(new)
    assert turn < 0.75
    assert (recolor_thing(halves, Hint(3, 3, 3), np.random.default_rng(1)) == halves).all()
