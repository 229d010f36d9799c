"""Marks of handling: their shadows, their numbers, and what lies upon what."""

import msgspec
import numpy as np
import pytest

from degrade.damage.draw import draw_recipe
from degrade.damage.marks.layers import apply_marks, mark_layers
from degrade.damage.marks.records import KindRanges, Mark, MarksRanges, Rim
from degrade.profile import Profile, load_profile
from degrade.recipe import decode_recipe, encode_recipe
from degrade.textures import Textures

SIDE = 96
SHADOW = Rim(opacity_frac=0.6, width_px=1.0, x_px=3.0, y_px=0.0, ink=(0.1, 0.1, 0.1))


@pytest.fixture(scope="module")
def textures():
    return Textures.load()


def draw_many(marks: MarksRanges, textures: Textures, num: int = 60) -> list[tuple[Mark, ...]]:
    """The marks of several recipes of a profile that has nothing else."""
    profile = Profile(name="test", marks=marks)
    return [
        draw_recipe(
            profile, textures, seed=1, key=str(i), variant=0, source_size=(SIDE, SIDE),
            size_px=SIDE,
        ).marks
        for i in range(num)
    ]  # fmt: skip


def lay(mark: Mark, textures: Textures, grey: float = 0.5) -> np.ndarray:
    """A grey print, (3, H, W), with one mark."""
    print_ = np.full((3, SIDE, SIDE), grey, np.float32)
    apply_marks(print_, mark_layers((mark,), textures, SIDE, SIDE))
    return print_


def test_rim_darkens_one_side_of_a_mark_and_nothing_else(textures):
    """A shadow to the right: darker than the print there, and never where the mark is opaque."""
    mark = Mark(
        kind="tape", texture="masks/tape-00.png", box=(0.3, 0.3, 0.7, 0.7), ink=(1.0, 1.0, 1.0)
    )
    plain = lay(mark, textures)
    rimmed = lay(msgspec.structs.replace(mark, rim=SHADOW), textures)
    change = (rimmed - plain)[1]
    assert change.max() <= 1e-6
    row = change[SIDE // 2]
    assert row[66:70].min() < -0.15
    assert row[:26].min() > -0.01
    assert row[80:].min() > -0.01


def test_rim_lies_farther_off_in_a_larger_photograph(textures):
    """At twice the size the shadow is twice as wide and as far away; none lies under the mark."""
    mark = Mark(kind="tear", texture="masks/tear-03.png", box=(0.2, 0.0, 0.8, 0.8), rim=SHADOW)
    small, large = (mark_layers((mark,), textures, SIDE * k, SIDE * k, float(k)) for k in (1, 2))
    for shadow, body in (small, large):
        assert shadow.mask.max() > 100
        assert not shadow.mask[body.mask == 255].any()
    halved = large[0].mask.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3))
    places = np.arange(SIDE)
    # Rows that the mark crosses: how far right of it the shadow's weight lies.
    offsets = []
    for shadow, body in ((small[0].mask, small[1].mask), (halved, small[1].mask)):
        rows = (shadow.sum(axis=1) > 0) & (body.sum(axis=1) > 0)
        centre = (shadow[rows] * places).sum(axis=1) / shadow[rows].sum(axis=1)
        middle = (body[rows] * places).sum(axis=1) / body[rows].sum(axis=1)
        offsets.append(float(np.median(centre - middle)))
    assert offsets[0] > 2
    assert offsets[1] == pytest.approx(offsets[0], abs=0.7)


def test_rims_are_drawn_by_their_chance_and_shift_nothing(textures):
    """Kinds get shadows as often as stated; all else of the marks stays."""
    kinds = {"crack": KindRanges(prob=1.0), "fold": KindRanges(prob=1.0)}
    plain = draw_many(MarksRanges(kinds=kinds), textures)
    kinds["fold"] = KindRanges(prob=1.0, rim_prob=0.5)
    rimmed = draw_many(MarksRanges(kinds=kinds), textures)
    folds = [m for marks in rimmed for m in marks if m.kind == "fold"]
    share = sum(isinstance(mark.rim, Rim) for mark in folds) / len(folds)
    assert 0.3 < share < 0.7
    assert all(
        mark.rim is msgspec.UNSET for marks in rimmed for mark in marks if mark.kind != "fold"
    )
    bare = [
        tuple(msgspec.structs.replace(mark, rim=msgspec.UNSET) for mark in marks)
        for marks in rimmed
    ]
    assert bare == plain


def test_recipes_tell_of_rims_only_where_there_are_any(textures):
    """The JSON of a mark without a shadow is as it was before there were shadows."""
    recipe = draw_recipe(
        load_profile("badly-damaged"), textures, seed=2, key="b", variant=0,
        source_size=(SIDE, SIDE), size_px=SIDE,
    )  # fmt: skip
    mark = Mark(kind="dust", texture="masks/dust-00.png")
    for marks in ((mark,), (msgspec.structs.replace(mark, rim=SHADOW),)):
        one = msgspec.structs.replace(recipe, marks=marks)
        assert (b'"rim"' in encode_recipe(one)) == (marks[0].rim is not msgspec.UNSET)
        assert decode_recipe(encode_recipe(one)) == one


def test_severity_acts_on_numbers_where_asked(textures):
    """Numbers spread with it, and stay as they were without."""
    ranges = MarksRanges(severity_sigma=0.8, kinds={"dust": KindRanges(prob=1.0, num_range=(3, 3))})
    plain = [len(marks) for marks in draw_many(ranges, textures)]
    acting = msgspec.structs.replace(ranges, severity_in_numbers=True)
    spread = [len(marks) for marks in draw_many(acting, textures)]
    happened = [num > 0 for num in plain]
    assert set(plain) <= {0, 3}
    assert [num > 0 for num in spread] == happened
    assert min(num for num in spread if num) < 3 < max(spread) <= 8


@pytest.mark.parametrize("below", [False, True])
def test_foxing_lies_lowest_or_above_dust(below, textures):
    """It grows in the paper: below all else where asked; in older profiles above dust."""
    kinds = {name: KindRanges(prob=1.0) for name in ("foxing", "stain", "dust", "crack")}
    for marks in draw_many(MarksRanges(foxing_below=below, kinds=kinds), textures, num=10):
        names = [mark.kind for mark in marks]
        expected = ["stain", "dust", "foxing", "crack"]
        if below:
            expected = ["foxing", "stain", "dust", "crack"]
        assert names == expected
