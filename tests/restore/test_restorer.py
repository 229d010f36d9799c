"""The Python interface: what each setting does, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_zoo import MODELS, draw_photo, load_restorer

from restore import ModelError, Restorer, RestoreSettings
from restore.passes.fusion import GlobalPass, fit_gamut
from restore.passes.marks import find_unmarked
from restore.passes.run import RestoredRows
from restore.restorer import ArraySource
from restore.ycc import measure_own_color, to_rgb, to_ycc

CHANGED = load_restorer("tiny", tile_px=256)
LARGE = draw_photo(400, 520)  # two passes
SMALL = draw_photo(90, 120)  # one pass
LARGE_GREY = LARGE[..., 1]
OFF = {"denoise": 0.0, "repair": 0.0, "tone": 0.0, "color": 0.0}


def _change(photo: np.ndarray, **options: float | bool) -> np.ndarray:
    restored = CHANGED.restore(photo, RestoreSettings(**options)).restored
    return restored.astype(int) - (photo if photo.ndim == 3 else photo[..., None])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photo", [LARGE, SMALL, LARGE_GREY], ids=["large", "small", "grey"])
@pytest.mark.parametrize("off", [{"strength": 0.0}, OFF], ids=["strength", "aspects"])
def test_zero_is_the_identity(photo: np.ndarray, dtype: type, off: dict[str, float]) -> None:
    """Strength 0, or every aspect at 0, gives the photograph back bit for bit."""
    photo = photo.astype(dtype) * (257 if dtype == np.uint16 else 1)
    restored = CHANGED.restore(photo, RestoreSettings(**off)).restored
    assert restored.dtype == photo.dtype
    assert restored.shape == photo.shape
    assert (restored == photo).all()


@pytest.mark.parametrize("photo", [LARGE, SMALL], ids=["large", "small"])
def test_untrained_network_is_the_identity(photo: np.ndarray) -> None:
    """A network that changes nothing leaves the photograph bit for bit."""
    assert (load_restorer("identity").restore(photo).restored == photo).all()


@pytest.mark.parametrize("photo", [LARGE, SMALL], ids=["large", "small"])
def test_aspects_add_up(photo: np.ndarray) -> None:
    """The changes of the single aspects sum to the whole restoration."""
    photo = (photo // 2 + 64).astype(np.uint8)  # away from the gamut's edge
    parts = sum(_change(photo, **{**OFF, name: 1.0}) for name in OFF)
    whole = _change(photo)
    assert np.abs(whole).mean() > 1
    assert np.abs(parts - whole).max() <= 3


def test_strength_scales_the_change() -> None:
    """Half the strength is half the change."""
    photo = (LARGE // 2 + 64).astype(np.uint8)
    assert np.abs(_change(photo, strength=0.5) * 2 - _change(photo)).max() <= 2


def test_tone_changes_low_frequencies_only() -> None:
    """Tone alone doesn't touch colour, and is smooth."""
    change = _change((LARGE // 2 + 64).astype(np.uint8), **{**OFF, "tone": 1.0})
    assert np.abs(change).max() > 0
    assert np.abs(np.diff(change.mean(axis=-1), axis=0)).max() <= 2
    assert np.abs(change - change.mean(axis=-1, keepdims=True)).max() <= 2


def test_repair_changes_marks_only() -> None:
    """Outside the marks the repair alone changes nothing."""
    marks = np.zeros(LARGE.shape[:2], np.uint8)
    marks[100:140, 100:200] = 255
    settings_ = RestoreSettings(**OFF | {"repair": 1.0}, marks_mode="replace")
    found = CHANGED.restore(LARGE, settings_, marks_in=marks)
    outside = found.marks == 0
    assert (found.restored[outside] == LARGE[outside]).all()
    assert (found.restored[~outside] != LARGE[~outside]).any()


def test_denoise_leaves_sure_marks_alone() -> None:
    """What is damage for sure isn't noise."""
    marks = np.zeros(LARGE.shape[:2], np.uint8)
    marks[100:140, 100:200] = 255
    settings_ = RestoreSettings(**{**OFF, "denoise": 1.0})
    restored = CHANGED.restore(LARGE, settings_, marks_in=marks).restored
    assert (restored[105:135, 105:195] == LARGE[105:135, 105:195]).all()


def test_color_leaves_luma_alone() -> None:
    """Colour alone changes no brightness."""
    change = _change((LARGE // 2 + 64).astype(np.uint8), **{**OFF, "color": 1.0})
    assert np.abs(change).max() > 1
    assert np.abs(to_ycc(change.astype(np.float32))[..., 0]).max() <= 1


@pytest.mark.parametrize("photo", [LARGE_GREY, SMALL[..., 1]], ids=["large", "small"])
def test_no_colorize_keeps_grey(photo: np.ndarray) -> None:
    """Grey comes out as grey, and in three channels as neutral."""
    plain = RestoreSettings(colorize=False)
    grey = CHANGED.restore(photo, plain).restored
    assert grey.shape == photo.shape
    assert (grey != photo).any()
    three = CHANGED.restore(np.repeat(photo[..., None], 3, axis=-1), plain).restored
    assert (three.max(axis=-1) - three.min(axis=-1)).max() == 0
    assert (three[..., 0] == grey).all()


def test_colorize_gives_colour() -> None:
    """By default a grey photograph comes out in colour."""
    restored = CHANGED.restore(LARGE_GREY).restored
    assert restored.shape == (*LARGE_GREY.shape, 3)
    assert (restored.max(axis=-1).astype(int) - restored.min(axis=-1)).max() > 3


def test_regrain_is_repeatable_and_follows_tone() -> None:
    """Grain of the strength asked for: most in mid-tones, none in black, always the same."""
    steps = np.repeat(np.array([0, 60, 128, 255], np.uint8), 200)[None, :, None]
    photo = np.repeat(np.repeat(steps, 300, axis=0), 3, axis=2)
    identity = load_restorer("identity")
    grained = identity.restore(photo, RestoreSettings(regrain=1)).restored
    again = identity.restore(photo, RestoreSettings(regrain=1)).restored
    half = identity.restore(photo, RestoreSettings(regrain=0.5)).restored
    spread = [grained[:, 200 * i : 200 * i + 200, 0].std() / 255 for i in range(4)]
    assert (grained == again).all()
    assert spread[0] == 0
    assert spread[2] == pytest.approx(0.04, rel=0.1)
    assert spread[3] < spread[1] < spread[2]
    assert half[:, 400:600].std() == pytest.approx(grained[:, 400:600].std() / 2, rel=0.05)


@pytest.mark.parametrize("scale", [0.25, 1, 2])
def test_marks_in_are_added_or_taken_instead(scale: float) -> None:
    """Painted marks, of any size, count besides those found, or instead."""
    height, width = LARGE.shape[:2]
    painted = np.zeros((round(height * scale), round(width * scale)), np.uint8)
    painted[: round(100 * scale), : round(100 * scale)] = 255
    found = CHANGED.restore(LARGE).marks
    added = CHANGED.restore(LARGE, marks_in=painted)
    instead = CHANGED.restore(LARGE, RestoreSettings(marks_mode="replace"), marks_in=painted)
    assert (added.marks[:90, :90] == 255).all()
    assert (added.marks[200:, 200:] == found[200:, 200:]).all()
    assert (instead.marks[:90, :90] == 255).all()
    assert (instead.marks[200:] == 0).all()


@pytest.mark.parametrize("scale", [1, 3])
def test_painted_mark_is_repaired(scale: int) -> None:
    """A scratch that the network doesn't find is filled where the user painted it."""
    photo = np.full((200 * scale, 260 * scale, 3), 120, np.uint8)
    photo[101:103] = 255
    painted = (photo[..., 0] == 255).astype(np.uint8) * 255
    restored = load_restorer("identity").restore(photo, marks_in=painted).restored
    assert np.abs(restored.astype(int) - 120).max() <= 4


class BarPainter:
    """Finds bright bars of up to 14 px, and paints them and what is known in grey."""

    alignment = 8
    takes_hints = False
    has_close_look = False
    repairs_neutral = False

    def look(self, reduced: np.ndarray) -> np.ndarray:
        """Settle nothing."""
        return np.zeros((12, 1, 1), np.float32)

    def repair(
        self, window: np.ndarray, grid: np.ndarray, place: object, known: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paint the bars."""
        bright = (window.min(axis=-1) > 0.9).astype(np.uint8)
        marks = (bright - cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((15, 15)))).astype("f4")
        hidden = (marks if known is None else np.maximum(marks, known))[..., None]
        return window * (1 - hidden) + np.float32(0.4) * hidden, marks


def test_mark_too_wide_for_the_local_pass_is_repaired() -> None:
    """What only the reduced copy shows to be damage is painted over at native resolution, too."""
    photo = (LARGE // 4 + 64).repeat(2, axis=0).repeat(2, axis=1)
    photo[300:324, 200:500] = 255

    rows = [
        event
        for event in Restorer(BarPainter(), tile_px=256).restore_rows(ArraySource(photo))  # type: ignore[arg-type]
        if isinstance(event, RestoredRows)
    ]
    restored = np.concatenate([r.samples for r in rows])
    marks = np.concatenate([r.marks for r in rows])
    assert (marks[304:320, 204:496] == 255).all()
    assert np.abs(restored[304:320, 204:496].astype(int) - 102).max() <= 30
    assert (marks[340:] == 0).all()
    sees_all = BarPainter()
    sees_all.has_close_look = True
    [*rows, _] = Restorer(sees_all, tile_px=256).restore_rows(ArraySource(photo))  # type: ignore[arg-type]
    found = np.concatenate([r.marks for r in rows if isinstance(r, RestoredRows)])
    assert (found == 0).all()


class NeutralPainter(BarPainter):
    """Takes toning away, and paints as before."""

    has_close_look = True
    repairs_neutral = True

    def repair(self, window: np.ndarray, *args: Any) -> tuple[np.ndarray, np.ndarray]:
        """Paint the bars of a grey copy."""
        painted, marks = super().repair(window, *args)
        grey = cv2.cvtColor(np.ascontiguousarray(painted, np.float32), cv2.COLOR_RGB2GRAY)
        return grey[..., None].repeat(3, axis=2), marks


@pytest.mark.parametrize("size", [1, 3])
def test_mended_place_of_a_brown_print_is_brown(size: int) -> None:
    """A white bar takes the toning around it, where the photograph stays as brown as it is."""
    photo = np.full((200 * size, 260 * size, 3), (130, 100, 70), np.uint8)
    photo[60:68, 40:220] = 255
    restored = (
        Restorer(NeutralPainter(), tile_px=256)  # type: ignore[arg-type]
        .restore(photo, RestoreSettings(colorize=False))
        .restored.astype(int)
    )
    assert np.abs(restored[100:] - photo[100:]).max() <= 1
    mended = restored[62:66, 60:200]
    assert np.abs(mended[..., 0] - mended[..., 2] - 60).max() <= 6
    assert np.abs(mended.mean(-1) - 102).max() <= 6


def test_restorer_may_be_shared_between_threads() -> None:
    """Several photographs at a time give what one after the other gives."""
    photos = [np.roll(SMALL, 10 * i, axis=0) for i in range(6)]
    expected = [CHANGED.restore(photo).restored for photo in photos]
    results: list[np.ndarray] = [SMALL] * len(photos)

    def work(i: int) -> None:
        results[i] = CHANGED.restore(photos[i]).restored

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(photos))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, wanted in zip(results, expected, strict=True):
        assert (result == wanted).all()


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
    ids=["four bands", "float", "empty", "flat"],
)
def test_what_is_no_photo_is_refused(photo: np.ndarray) -> None:
    """The error says what was expected."""
    with pytest.raises(ValueError, match="expected"):
        CHANGED.restore(photo)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 2), (33, 5)])
def test_tiny_photos_are_restored(size: tuple[int, int]) -> None:
    """However small or narrow."""
    photo = np.full((*size, 3), 90, np.uint8)
    assert CHANGED.restore(photo).restored.shape == photo.shape


@pytest.mark.parametrize("name", ["strength", "denoise", "repair", "tone", "color", "regrain"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    """Settings are checked when they are made."""
    with pytest.raises(ValueError, match=name):
        RestoreSettings(**{name: value})


def test_missing_default_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line that says what to do."""
    monkeypatch.setattr("restore.engine.network.default_model_path", lambda: tmp_path / "none")
    with pytest.raises(ModelError, match=r"default weights are missing.*--model"):
        Restorer.load()


def test_load_knows_the_model(tmp_path: Path) -> None:
    """A restorer says which model it uses."""
    assert Restorer.load(MODELS / "tiny.zip", "cpu").name == "tiny"


def test_sepia_is_no_colour() -> None:
    """An even tint doesn't count as colours; a colour photograph does."""
    grey = LARGE_GREY[..., None].astype(np.float32) / 255
    sepia = np.concatenate([grey**0.8, grey, grey**1.3], axis=-1).astype(np.float32)
    assert measure_own_color(np.repeat(grey, 3, axis=-1)) == 0
    assert measure_own_color(sepia) < 0.2
    assert measure_own_color(LARGE.astype(np.float32) / 255) == 1
    marks = np.zeros(sepia.shape[:2], np.float32)
    marks[:, 250:270] = 1
    seen = find_unmarked(marks)
    sepia[:, 250:270] = (0.9, 0.8, 0.1)
    assert measure_own_color(sepia) > 0.9
    assert measure_own_color(sepia, seen) < 0.2
    assert measure_own_color(sepia, np.zeros_like(seen)) > 0.9  # all hidden: all that there is


def test_what_goes_brown_from_its_edges_is_no_colour() -> None:
    """A grey print on a brown and a blue edge has none; one whose middle is as uneven has."""
    grey = LARGE_GREY[..., None].astype(np.float32).repeat(3, axis=-1) / 255
    brown, blue = np.float32([0.06, 0, -0.06]), np.float32([-0.06, 0, 0.06])
    edges, middle = grey.copy(), grey.copy()
    edges[:50], edges[-50:] = edges[:50] + brown, edges[-50:] + blue
    middle[150:200], middle[200:250] = middle[150:200] + brown, middle[200:250] + blue
    assert measure_own_color(edges) == 0
    assert measure_own_color(middle) > 0.5


def test_colour_laid_beyond_an_edge_is_drawn_back() -> None:
    """On a grey photograph; what a colour photograph has of soft colours is left soft."""
    luma = np.full((96, 128), 0.7, np.float32)
    luma[:, 64:] = 0.4
    grey, unmarked = np.repeat(luma[..., None], 3, axis=-1), np.zeros_like(luma)
    hard = np.where(np.arange(128) < 64, 0.1, -0.05).astype(np.float32)
    soft = np.convolve(np.pad(hard, 12, mode="edge"), np.full(25, 1 / 25), mode="valid")
    red = np.broadcast_to(soft, luma.shape)
    laid = to_rgb(np.stack([luma, np.zeros_like(luma), red], axis=-1).astype(np.float32))
    errors = {}
    for own_color in (0.0, 1.0):
        global_pass = GlobalPass(grey, laid, unmarked, own_color=own_color, height=96, width=128)
        errors[own_color] = np.abs(global_pass.chroma(0, 96, luma)[48, :, 1] - hard)
    near, far = slice(48, 80), np.r_[0:32, 96:128]
    assert errors[0.0][near].mean() < 0.7 * errors[1.0][near].mean()
    assert errors[0.0][far].max() < 0.01


@given(st.lists(st.floats(-2, 3, width=32), min_size=3, max_size=3))
def test_ycc_round_trip(values: list[float]) -> None:
    """There and back is the same colour."""
    rgb = np.array([values], np.float32)
    assert np.abs(to_rgb(to_ycc(rgb)) - rgb).max() < 1e-5


@given(
    st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3),
    st.lists(st.floats(-1, 2, width=32), min_size=3, max_size=3),
)
def test_gamut_keeps_luma(before: list[float], after: list[float]) -> None:
    """Colours are pulled into the range without a change of brightness where there is room."""
    photo, changed = np.array([before], np.float32), np.array([after], np.float32)
    fitted = fit_gamut(photo, changed)
    assert fitted.min() >= -1e-5
    assert fitted.max() <= 1 + 1e-5
    luma = float(to_ycc(changed)[0, 0])
    assert float(to_ycc(fitted)[0, 0]) == pytest.approx(min(max(luma, 0), 1), abs=1e-4)


def test_restore_knows_no_package_of_the_trainer_or_the_builder(tmp_path: Path) -> None:
    """A photograph is restored, with a report, where their packages are missing."""
    blocked = ("torch", "torchvision", "fastai", "lmdb", "train", "degrade", "albumentations")
    code = f"""
import sys
for name in {blocked!r}: sys.modules[name] = None
from restore.cli import main
main(sys.argv[1:])
"""
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), SMALL)
    command = [sys.executable, "-c", code, str(photo), "--report", "--model"]
    subprocess.run([*command, str(MODELS / "tiny.zip")], check=True)
    assert (tmp_path / "photo.report.html").exists()


def test_help_imports_nothing_heavy() -> None:
    """`restore --help` answers without NumPy, OpenCV, libvips or ONNX Runtime."""
    code = """
import sys
for name in ("numpy", "cv2", "pyvips", "onnxruntime", "scipy", "torch"): sys.modules[name] = None
from restore.cli import main
main(["--help"])
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
