"""The benchmark of colours: held-out photographs, grey copies, hints, faded dyes, verdicts."""

from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from store_photos import encode, paint_photo
from write_models import MODELS

from benchmarks.picture.casts import average, measure_cast, measure_harm
from benchmarks.picture.color import copy_grey, measure_grey_copies
from benchmarks.picture.color_photos import (
    SIDE_PX,
    CleanPhoto,
    Fading,
    draw_fading,
    draw_grey_copy,
    fade_dyes,
    make_grey,
    read_heldout,
)
from benchmarks.picture.color_report import GREY_COPIES, compare_ratios, judge_colors
from benchmarks.picture.hinted import (
    NUM_POINTS,
    Photo,
    choose_places,
    find_object,
    make_hint,
    measure_hints,
    summarise_hints,
)
from benchmarks.shared.album import Album
from benchmarks.shared.heldout import find_heldout, seed_photo
from benchmarks.shared.measured import measure_section
from degrade.build.plan import find_split
from restore import Restorer
from restore.hints import Hint
from train.measure.baselines import keep_as_is, lay_true_chroma


def paint(seed: int = 0, side_px: int = SIDE_PX) -> Photo:
    return paint_photo(seed, side_px, side_px)


def paint_two(left: tuple[int, int, int], right: tuple[int, int, int]) -> Photo:
    """(256, 256, 3): a square of one colour at the left, in another."""
    photo = np.empty((SIDE_PX, SIDE_PX, 3), np.uint8)
    photo[:] = right
    photo[60:160, 20:120] = left
    return photo


def test_held_out_are_the_names_of_the_validation_split(tmp_path: Path) -> None:
    """By the name without suffix, whatever the folder; excluded names are left out."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    for number in range(40):
        (tmp_path / "one" / f"{number}.jpg").touch()
        (tmp_path / "two" / f"{number}.webp").touch()
    held = sorted(str(n) for n in range(40) if find_split(str(n), 0.3) == "val")
    (tmp_path / "earlier.txt").write_text(f"{held[1]}\nsomething\n")
    folders = [tmp_path / "one", tmp_path / "two"]
    found = find_heldout(folders, tmp_path / "earlier.txt", 0.3)
    assert [file.stem for file in found] == [held[0], *held[2:]]
    assert len(find_heldout(folders, None, 0.3)) == len(held)
    with pytest.raises(click.ClickException, match="no held-out"):
        find_heldout(folders, None, 0.0)
    (tmp_path / "earlier.txt").write_text(f"{held[0]}.webp\n")
    assert [file.stem for file in find_heldout(folders, tmp_path / "earlier.txt", 0.3)] == held[1:]
    (tmp_path / "earlier.txt").write_text("something\n")
    with pytest.raises(click.ClickException, match="none of these names"):
        find_heldout(folders, tmp_path / "earlier.txt", 0.3)


def test_sources_that_a_build_trains_on_are_not_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Builds hash their keys, with suffix: what is in their training part is left out by name."""
    for number in range(40):
        (tmp_path / f"{number}.jpg").touch()
    held = [file.stem for file in find_heldout([tmp_path], None, 0.3)]
    monkeypatch.setattr(
        "benchmarks.shared.heldout.name_trained", lambda pairs: {held[0], "another"}
    )
    found = find_heldout([tmp_path], None, 0.3, [tmp_path / "pairs"])
    assert [file.stem for file in found] == held[1:]


def test_what_is_grey_small_or_broken_is_passed_over(tmp_path: Path) -> None:
    """The next photograph takes its place, and each is a square of 256 px."""
    grey = np.repeat(paint(5)[..., :1], 3, -1)
    files = {"a": encode(grey), "b": encode(paint(1, 200)), "c": b"no photograph", "d": b""}
    files |= {name: encode(paint_photo(seed, 300, 280)) for seed, name in enumerate("efg")}
    for name, content in files.items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    files_found = sorted(tmp_path.iterdir())
    chosen = list(read_heldout(files_found, 7))
    assert {photo.name for photo in chosen} == set("efg")
    assert all(photo.photo.shape == (SIDE_PX, SIDE_PX, 3) for photo in chosen)
    assert len(list(read_heldout(files_found, 2))) == 2


def test_a_photograph_that_leans_to_one_colour_has_a_cast(tmp_path: Path) -> None:
    """A red room has one, a photograph of opposite colours has none."""
    red, both = paint_two((200, 60, 40), (180, 90, 60)), paint_two((220, 60, 60), (120, 130, 130))
    for name, photo in (("red", red), ("both", both)):
        (tmp_path / f"{name}.png").write_bytes(encode(photo, ".png"))
    found = {p.name: p.has_cast for p in read_heldout(sorted(tmp_path.iterdir()), 2)}
    assert found == {"red": True, "both": False}


def test_grey_copies_repeat_by_seed_and_name() -> None:
    """The same bytes whichever other photographs there are; another seed or name gives others."""
    photos = [CleanPhoto(name, paint(seed), False) for seed, name in enumerate("ab")]
    both, alone = list(copy_grey(photos, 3)), list(copy_grey(photos[1:], 3))
    assert np.array_equal(both[1].damaged, alone[0].damaged)
    assert not np.array_equal(both[1].damaged, next(copy_grey(photos[1:], 4)).damaged)
    renamed = [photos[1]._replace(name="c")]
    assert not np.array_equal(both[1].damaged, next(copy_grey(renamed, 3)).damaged)


def test_grey_copies_are_grey_with_little_noise() -> None:
    """Three equal bands; of a flat photograph at most 2 % deviation remains."""
    flat, deviations = np.full((64, 64, 3), 128, np.uint8), []
    for number in range(30):
        grey = make_grey(flat, draw_grey_copy(np.random.default_rng(number)))
        assert np.array_equal(grey[..., 0], grey[..., 2])
        assert grey.mean() == pytest.approx(128, abs=0.5)
        deviations.append(grey.std() / 255)
    assert max(deviations) < 0.022
    assert np.ptp(deviations) > 0.01


def test_responses_differ() -> None:
    """Red is light on one copy and dark on another; the weights always sum up to 1."""
    copies = [draw_grey_copy(np.random.default_rng(number)) for number in range(50)]
    assert all(sum(copy.response) == pytest.approx(1) for copy in copies)
    assert np.ptp([copy.response[0] for copy in copies]) > 0.15


def test_fading_follows_the_equation() -> None:
    """D' = k · D + stain, channel by channel, of a density of 1 in linear light."""
    tone = round(255 * (1.055 * 0.1 ** (1 / 2.4) - 0.055))
    faded = fade_dyes(np.full((1, 1, 3), tone, np.uint8), Fading((0.5, 1.0, 0.8), (0.1, 0.0, 0.0)))
    light = ((faded[0, 0] / 255 + 0.055) / 1.055) ** 2.4
    assert -np.log10(light) == pytest.approx([0.6, 1.0, 0.8], abs=0.01)


def test_fading_of_nothing_changes_nothing() -> None:
    """Whole dyes and no stain are the identity, but for what is blacker than any print."""
    photo = paint().clip(20)
    assert np.abs(fade_dyes(photo, Fading((1, 1, 1), (0, 0, 0))).astype(int) - photo).max() <= 1


def test_one_dye_has_faded_most_and_any_may_be_it() -> None:
    """Factors lie in .35 to .9, stains in 0 to .12."""
    drawn = [draw_fading(np.random.default_rng(number)) for number in range(60)]
    kept = np.array([fading.kept_frac for fading in drawn])
    assert ((kept >= 0.35) & (kept <= 0.9)).all()
    assert ((kept < 0.6).sum(1) == 1).all()
    assert set(kept.argmin(1)) == {0, 1, 2}
    assert max(max(fading.stain_density) for fading in drawn) <= 0.12


def test_cast_is_the_distance_of_mean_colours() -> None:
    """The clean photograph has undone it, the faded one nothing."""
    clean = paint()
    faded = fade_dyes(clean, Fading((0.4, 0.8, 0.8), (0, 0, 0)))
    undone, nothing = measure_cast(clean, faded, clean), measure_cast(faded, faded, clean)
    assert (undone["cast_after"], undone["halved"], undone["in_range"]) == (0, 1, 1)
    assert undone["colorfulness_frac"] == 1
    assert nothing["cast_after"] == nothing["cast_before"] > 5
    assert nothing["halved"] == 0


def test_harm_is_bounded_and_told_for_colours_alone() -> None:
    """An equal photograph has 60 dB; a change of luma alone leaves the chroma at 60."""
    photo = paint().clip(30, 200)
    assert measure_harm(photo, photo) == {"psnr_db": 60, "kept": 1, "chroma_psnr_db": 60}
    brighter = measure_harm(photo + np.uint8(10), photo)
    assert brighter["psnr_db"] == pytest.approx(20 * np.log10(25.5), abs=1e-3)
    assert brighter["kept"] == 0
    assert brighter["chroma_psnr_db"] == pytest.approx(60, abs=1e-3)


def test_worst_photograph_is_not_lost_in_the_mean() -> None:
    """The least stands beside it."""
    found = average([{"psnr_db": 50.0, "kept": 1.0}, {"psnr_db": 30.0, "kept": 0.0}])
    assert (found["psnr_db"], found["psnr_db_min"], found["kept"]) == (40, 30, 0.5)


def test_object_of_a_hint_ends_where_the_thing_ends() -> None:
    """A square of one colour is the object of each point within it."""
    photo = paint_two((200, 80, 60), (90, 140, 90))
    thing = find_object(photo, (70, 110))
    assert thing[62:158, 22:118].all()
    assert not thing[:56].any()
    assert thing.mean() == pytest.approx(100 * 100 / SIDE_PX**2, rel=0.05)


def test_first_hint_lies_in_a_thing() -> None:
    """Not in what fills most of the photograph; its colour is the true one."""
    photo = paint_two((200, 80, 60), (90, 140, 90))
    for seed in range(5):
        places = choose_places(photo, np.random.default_rng(seed))
        assert len(places.points) == NUM_POINTS[-1]
        assert places.object is not None
        x, y = places.points[0]
        assert places.object[y, x]
        assert places.object.mean() < 0.3
    assert make_hint(photo, (70, 110)).color == (200, 80, 60)
    flat = np.full_like(photo, 100)
    assert choose_places(flat, np.random.default_rng(0)).object is None


def colour_object(grey: Photo, clean: Photo, hints: tuple[Hint, ...]) -> Photo:
    """What obeys: the things that hints lie in have their true colours."""
    colored = grey.copy()
    truth = lay_true_chroma(grey, clean)
    for hint in hints:
        thing = find_object(clean, (int(hint.x_px), int(hint.y_px)))
        colored[thing] = truth[thing]
    return colored


def tint_all(grey: Photo, clean: Photo, hints: tuple[Hint, ...]) -> Photo:
    """What spreads: the first hint tints the whole photograph."""
    tinted = grey.astype(int) + (np.array(hints[0].color) - 128 if hints else 0)
    return tinted.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("color", "stays"), [(colour_object, True), (tint_all, False)])
def test_hints_are_measured_in_their_thing_and_far_from_it(
    color: Callable[[Photo, Photo, tuple[Hint, ...]], Photo], stays: bool
) -> None:
    """One that obeys halves the error and changes nothing far off; one that spreads does."""
    clean = paint_two((200, 80, 60), (90, 140, 90))
    grey = make_grey(clean, draw_grey_copy(np.random.default_rng(0)))
    places = choose_places(clean, np.random.default_rng(0))
    row = measure_hints(lambda photo, hints: color(photo, clean, hints), grey, clean, places)
    found = summarise_hints([row])
    assert (found["far_change_delta_e"] == 0) == stays
    assert (found["far_visible_frac"] == 0) == stays
    if stays:
        assert found["hinted_object_error_frac"] < 0.1
        assert found["delta_e_fall_to_1"] > 1
        assert found["delta_e_1"] == pytest.approx(found["delta_e_0"] - found["delta_e_fall_to_1"])


@pytest.mark.slow
def test_grey_copies_are_measured_beside_all_others(tmp_path: Path) -> None:
    """Equal weights have equal figures; what was restored is kept, with the truth and the floor."""
    restorer = Restorer.load(MODELS / "identity.zip", "cpu")
    photos = [CleanPhoto(f"p{seed}", paint(seed), False) for seed in range(3)]
    restorers = {"ours": restorer, "previous": restorer}
    section = measure_grey_copies(photos, restorers, num_draws=5, seed=0, save=tmp_path)
    methods = section["methods"]
    assert list(methods) == ["ours", "previous", "nothing", "classical", "floor"]
    assert methods["ours"] == methods["previous"]
    assert methods["floor"]["delta_e"]["value"] < 0.5 * methods["nothing"]["delta_e"]["value"]
    assert methods["floor"]["hue_spread_frac"]["value"] > 0.9
    kept = {folder.name for folder in tmp_path.iterdir()}
    assert kept == {"ours", "previous", "nothing", "classical", "floor", "grey", "truth"}
    assert np.array_equal(
        cv2.imread(str(tmp_path / "truth" / "p1.png"))[..., ::-1], photos[1].photo
    )


def test_album_keeps_each_restoration_under_its_photograph(tmp_path: Path) -> None:
    """The picture of a method is that of the photograph under way."""
    photos = [CleanPhoto(name, paint(seed), False) for seed, name in enumerate("ab")]
    album = Album(tmp_path)
    method = album.copy("nothing", keep_as_is)
    for item in album.follow(copy_grey(photos, 0)):
        method(item.damaged)
        kept = cv2.imread(str(tmp_path / "nothing" / f"{item.source}.png"))
        assert np.array_equal(kept, item.damaged)


def test_ratios_are_of_the_distance_above_the_floor() -> None:
    """Doing nothing, as ours, leaks nothing; there is no ratio without a classifier."""
    photos = [CleanPhoto(name, paint(seed), False) for seed, name in enumerate("abc")]
    measured = measure_section(copy_grey(photos, 0), {"ours": keep_as_is, "previous": keep_as_is})
    ratios = compare_ratios(measured, 5, 0)
    assert set(ratios) == {"leak_frac_of_floor"}
    assert ratios["leak_frac_of_floor"]["value"] == 0


def test_verdicts_name_each_bar_that_is_missed() -> None:
    """A spread of .5 misses, a colourfulness of .8 is met, too few faded photographs miss."""

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "low": value, "high": value}

    grey = {
        "methods": {"ours": {"hue_spread_frac": estimate(0.5), "colorfulness_frac": estimate(0.8)}},
        "ours_minus": {"ours": {"nothing": {"delta_e": estimate(-0.5)}}},
        "ratios": {"leak_frac_of_floor": estimate(1.6), "kid_frac_of_previous": estimate(0.09)},
    }
    faded = {
        "num_photos": 14,
        "methods": {"ours": {"halved": estimate(1.0), "colorfulness_frac": estimate(1.1)}},
    }
    kept = {"methods": {"ours": {"kept": estimate(0.99)}}}
    bars = judge_colors({GREY_COPIES: grey, "faded dyes": faded, "undamaged": kept})
    met = [bar["met"] for bar in bars]
    # kid, hues, colourfulness, delta_e, leak; faded dyes: halved, colourfulness; undamaged
    assert met == [True, False, True, True, False, False, True, False]


def test_photographs_of_one_seed_share_no_draws() -> None:
    """What is drawn for one purpose says nothing of what is drawn for another."""
    draws = {name: seed_photo(0, name, "a").random() for name in ("grey", "hints", "fading")}
    assert len(set(draws.values())) == 3
