"""The benchmarks of marks, of foreign damage on large photographs and of likeness: their parts."""

import os
import subprocess
import sys
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from store_photos import paint_photo

from benchmarks.picture import foreign_large, marks
from benchmarks.picture.likeness import judge_likeness
from benchmarks.picture.marks_report import format_marks, judge_marks
from benchmarks.picture.outlines import (
    CONDITIONS,
    draw_hairs,
    draw_laying,
    lay_hairs,
    lay_outline,
    read_outlines,
)
from benchmarks.shared.heldout import seed_photo
from benchmarks.shared.large import LargePhoto, find_photos, read_photo
from degrade.build.plan import find_split
from train.measure.marks import measure_widths

ROOT = Path(__file__).resolve().parents[2]
Photo = NDArray[np.uint8]


def paint_outline(side: int = 96) -> Photo:
    """White lines on black, as outlines of damage are."""
    outline = np.zeros((side, side), np.uint8)
    for row in range(8, side, 16):
        outline[row : row + 3] = 255
    return outline


def paint_even(value: int = 128, side: int = 96) -> Photo:
    return np.full((side, side, 3), value, np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of small photographs."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        photo = cv2.GaussianBlur(paint_photo(number, 96, 80), (0, 0), 2)
        cv2.imwrite(str(folder / f"photo_{number}.png"), photo)
    return folder


@pytest.mark.parametrize("condition", CONDITIONS, ids=" ".join)
def test_outline_is_laid_with_the_ink_edge_and_opacity_asked_for(
    condition: tuple[str, str, str],
) -> None:
    """On middle grey light ink lightens and dark ink darkens; half ink half as much; soft edges."""
    clean, ink = paint_even(), condition[0]
    laying = draw_laying(condition, 1, seed_photo(0, "test", "a"))
    damaged, places, visible = lay_outline(clean, [paint_outline()], laying)
    change = damaged[..., 0].astype(int) - 128
    assert (change[places].mean() > 0) == (ink == "light")
    assert np.array_equal(places, visible)
    strongest = np.abs(change).max()
    assert (strongest > 80) == (condition[2] == "opaque")
    assert (len(np.unique(change)) > 2) == (condition[1] == "soft")


def test_layings_and_hairs_repeat_by_seed() -> None:
    """The same seed and name give the same pixels, another name others."""
    clean, outlines = paint_photo(0, 96, 80), [paint_outline(), paint_outline().T.copy()]
    for number in range(3):
        lays = []
        for key in "aab":
            rng = seed_photo(number, "test", key)
            laid = lay_outline(clean, outlines, draw_laying(CONDITIONS[0], 2, rng))
            lays.append((laid.damaged, lay_hairs(clean, draw_hairs(96, 80, rng), "dark").damaged))
        first, again, other = lays
        assert all(map(np.array_equal, first, again))
        assert not np.array_equal(first[1], other[1])


def test_outline_keeps_its_own_resolution_on_photographs_of_any_size() -> None:
    """Lines of 3 px stay 3 px wide where the photograph is larger than the outline."""
    clean = paint_even(side=200)
    laying = draw_laying(("light", "sharp", "opaque"), 1, np.random.default_rng(0))
    places = lay_outline(clean, [paint_outline(64)], laying).marks
    lines = places if places[:, 0].any() and not places[:, 0].all() else places.T
    starts = np.flatnonzero(np.diff(np.pad(lines[:, 0].astype(int), 1)) != 0)
    assert set(np.diff(starts)[::2][1:-1]) <= {3, 6}  # 6 where mirror images meet
    assert places.mean() == pytest.approx((paint_outline(64) > 0).mean(), abs=0.03)


@pytest.mark.parametrize(("ink", "value"), [("light", 255), ("dark", 0)])
def test_hairs_are_flat_thin_and_opaque(ink: str, value: int) -> None:
    """All of their pixels have the ink's value, and a hair is at most 3 px wide."""
    clean = paint_even()
    marked = lay_hairs(clean, draw_hairs(96, 96, np.random.default_rng(1)), ink)
    assert marked.marks.any()
    assert np.all(marked.damaged[marked.marks] == value)
    assert np.all(marked.damaged[~marked.marks] == 128)
    for hair in draw_hairs(96, 96, np.random.default_rng(1)):
        assert measure_widths(lay_hairs(clean, [hair], ink).marks).max() <= 4


def test_marks_that_do_not_show_are_not_asked_for() -> None:
    """A white hair on white paper is there, and invisible."""
    marked = lay_hairs(paint_even(252), draw_hairs(96, 96, np.random.default_rng(1)), "light")
    assert marked.marks.any()
    assert not marked.visible.any()


@pytest.mark.parametrize("ink", ["light", "dark"])
def test_classical_fill_finds_and_fills_hairs_of_its_ink(ink: str) -> None:
    """On an even photograph it finds them all and leaves no trace of them; of the other, none."""
    clean = paint_even()
    hairs = draw_hairs(96, 96, np.random.default_rng(2))[:2]
    marked = lay_hairs(clean, hairs, ink)
    restored, found = marks.fill_classically(marked.damaged, ink)
    row = marks.measure_task(
        marks.Task("hairs", (), "a", clean, marked, ink), lambda damaged, ink: (restored, found)
    )
    assert row.slices["all"].recall > 0.95
    assert np.abs(restored.astype(int) - clean).mean() < 1
    other = "dark" if ink == "light" else "light"
    assert not marks.fill_classically(marked.damaged, other)[1].any()


def test_marks_benchmark_measures_grey_copies(photos: Path) -> None:
    """On request no method sees a colour."""
    files, outlines = find_photos([photos], val_frac=1, exclude=None, limit=1), [paint_outline()]

    def look(damaged: Photo, ink: str) -> tuple[Photo, Photo]:
        seen.append(int(np.ptp(damaged, axis=2).max()))
        return damaged, np.zeros(damaged.shape[:2], np.uint8)

    for grey in (False, True):
        seen: list[int] = []
        marks.measure_photos(files, outlines, {"ours": look}, num_draws=2, grey=grey)
        assert (max(seen) == 0) == grey


def test_marks_benchmark_tells_a_perfect_method_from_an_idle_one(photos: Path) -> None:
    """Full recall and no error against none and all of it; unmarked photographs have no marks."""
    truth: dict[bytes, tuple[Photo, NDArray[np.bool_]]] = {}
    files, outlines = find_photos([photos], val_frac=1, exclude=None, limit=4), [paint_outline()]
    for number, file in enumerate(files):
        for task in marks.iterate_tasks(read_photo(file), outlines, number, each=2, seed=0):
            truth[task.marked.damaged.tobytes()] = task.clean, task.marked.marks

    def restore_perfectly(damaged: Photo, ink: str) -> tuple[Photo, Photo]:
        clean, places = truth[damaged.tobytes()]
        return clean, np.where(places, 255, 0).astype(np.uint8)

    methods = {"ours": restore_perfectly, "nothing": marks.keep_as_is}
    sections = marks.measure_photos(files, outlines, methods, num_draws=10)
    for name in ("outlines", "white hairs", "black hairs"):
        ours, nothing = (sections[name]["methods"][method] for method in methods)
        shares = ("recall", "precision", "f1")
        assert [ours[s]["value"] for s in shares] == [1, 1, 1]
        assert ours["inside_error"]["value"] == 0
        assert nothing["recall"]["value"] == 0
        assert nothing["inside_error"]["value"] == nothing["inside_missed_error"]["value"] > 10
        assert sections[name]["ours_minus"]["ours"]["nothing"]["inside_error"]["high"] < 0
    assert sections["unmarked"]["methods"]["ours"]["called_marks_percent"]["value"] == 0
    words = {f"outlines, {word}" for condition in CONDITIONS for word in condition}
    assert words <= set(sections)
    bars = judge_marks(sections, "ours")
    assert len(bars) == 5
    assert all(bar["met"] for bar in bars)
    text = format_marks({"sections": sections, "bars": bars, "minutes": 0})
    assert "white hairs, ours by slice" in text


def test_marks_bars_are_missed_by_false_alarms_and_bad_fills() -> None:
    """Calling a tenth of a percent marks is too much; so is a fill worse than the classical one."""

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "low": value, "high": value}

    sections = {
        "unmarked": {"methods": {"ours": {"called_marks_percent": estimate(0.1)}}},
        "white hairs": {
            "methods": {"ours": {"recall": estimate(0.98)}},
            "ours_minus": {"ours": {"classical": {"inside_error": estimate(1.0)}}},
        },
    }
    verdicts = {bar["claim"]: bar["met"] for bar in judge_marks(sections, "ours")}
    assert len(verdicts) == 3
    assert [claim for claim, met in verdicts.items() if met] == [
        "white hairs: recall at least 0.97"
    ]


def test_likeness_bars_ask_for_each_face_that_is_lost() -> None:
    """One face in a hundred that the detector no longer finds is too many."""

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "low": value, "high": value}

    for lost, met in ((0.0, True), (0.01, False)):
        figures = {"worst": estimate(0.3), "lost_frac": estimate(lost)}
        bars = judge_likeness({"old": {"methods": {"ours": figures}}})
        assert [bar["met"] for bar in bars] == [True, met]


def test_large_photographs_are_held_out_as_builds_do(photos: Path, tmp_path: Path) -> None:
    """By the hash of the name alone; names that are excluded are left out."""
    held = find_photos([photos], val_frac=0.5, exclude=None, limit=99)
    names = [f"photo_{number}" for number in range(6)]
    assert [file.stem for file in held] == [n for n in names if find_split(n, 0.5) == "val"]
    (tmp_path / "names.txt").write_text(f"{held[0].stem}\nother\n", encoding="utf-8")
    rest = find_photos([photos], val_frac=0.5, exclude=tmp_path / "names.txt", limit=99)
    assert rest == held[1:]
    assert len(find_photos([photos, photos], val_frac=1, exclude=None, limit=99)) == 6
    assert len(find_photos([photos], val_frac=1, exclude=None, limit=2)) == 2
    with pytest.raises(click.ClickException, match="no held-out photographs"):
        find_photos([photos], val_frac=0, exclude=None, limit=99)


def test_large_photographs_are_reduced_only_where_asked(photos: Path) -> None:
    """The short side becomes what is asked for, and never more than it was."""
    file = photos / "photo_0.png"
    assert read_photo(file).photo.shape == (80, 96, 3)
    assert min(read_photo(file, 40).photo.shape[:2]) == 40
    assert read_photo(file, 400).photo.shape == (80, 96, 3)


def test_unreadable_photographs_and_missing_outlines_are_named(tmp_path: Path) -> None:
    """One line each, with what to do."""
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(click.ClickException, match=r"broken\.png: not an image"):
        read_photo(tmp_path / "broken.png")
    with pytest.raises(click.ClickException, match="no outlines"):
        read_outlines(tmp_path)


@pytest.mark.parametrize("name", foreign_large.LARGE_DAMAGES)
def test_foreign_damage_of_large_photographs_repeats(name: str) -> None:
    """The same seed gives the same bytes; hairs are white and are the only marks."""
    clean = paint_photo(0, 96, 80)
    first, again = (
        foreign_large.LARGE_DAMAGES[name](clean, seed_photo(1, name, "a")) for _ in range(2)
    )
    assert np.array_equal(first.damaged, again.damaged)
    assert first.damaged.shape == clean.shape
    if "hairs" in name:
        assert first.marks.any()
        assert np.all(first.damaged[first.marks > 0] == 255)


def test_gain_over_doing_nothing_is_asked_for_under_each_damage() -> None:
    """Half a decibel is too little."""

    def section(gain: float) -> dict[str, object]:
        estimate = {"value": gain, "low": gain, "high": gain}
        return {"ours_minus": {"ours": {"nothing": {"luma_psnr_db": estimate}}}}

    bars = foreign_large.judge_gains({"bopbtl": section(0.5), "real-esrgan": section(1.5)})
    assert [bar["met"] for bar in bars] == [False, True]


def test_hairs_are_to_be_filled_as_well_as_the_top_hat_does() -> None:
    """A gain over doing nothing is not enough where the classical fill leaves less error."""
    gain, worse = ({"value": v, "low": v, "high": v} for v in (2.0, 0.1))
    minus = {"nothing": {"luma_psnr_db": gain}, "top-hat fill": {"error_inside_marks": worse}}
    bars = foreign_large.judge_gains({foreign_large.HAIRS: {"ours_minus": {"ours": minus}}})
    assert [bar["met"] for bar in bars] == [True, False]


def test_conditions_take_turns_over_photographs() -> None:
    """Four photographs with two outlines each see all eight conditions."""
    seen = []
    for number in range(4):
        photo = LargePhoto(str(number), paint_even())
        tasks = marks.iterate_tasks(photo, [paint_outline()], number, each=2, seed=0)
        seen += [task.conditions for task in tasks if task.conditions]
    assert len(seen) == len(set(seen)) == 8


@pytest.mark.parametrize("script", ["foreign_large", "likeness", "marks"])
def test_benchmark_of_repair_explains_itself(script: str) -> None:
    """--help works as a file and as a module, without the packages that only measuring needs."""
    blocked = "import sys; sys.modules['dlib'] = None; import runpy; sys.argv = ['x', '--help']; "
    run = f"runpy.run_module('benchmarks.picture.{script}', run_name='__main__')"
    for words in ([f"benchmarks/picture/{script}.py", "--help"], ["-c", blocked + run]):
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, check=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert "Usage" in done.stdout
