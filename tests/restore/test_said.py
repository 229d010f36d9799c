"""What the network said of a photograph is kept, and fused again with other settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from photo_zoo import draw_photo, load_restorer
from still_network import StillNetwork

from restore import Restorer, RestoreSettings
from restore.hints import parse_hint
from restore.passes.local import Band
from restore.passes.look import Look
from restore.passes.part import Part, ask_part, fuse_part, read_part
from restore.passes.run import RestoredRows, ask, fuse_said
from restore.passes.windows import Tile
from restore.restorer import ArraySource
from restore.ycc import to_ycc

CHANGED = load_restorer("tiny", tile_px=256)
LARGE = draw_photo(700, 520)
PHOTOS = {"large": LARGE, "small": draw_photo(90, 120), "grey": LARGE[..., 1:2]}
SETTINGS = [
    RestoreSettings(),
    RestoreSettings(strength=0.6, tone=0.2, regrain=0.5),
    RestoreSettings(colorize=False, denoise=0),
    RestoreSettings(strength=0),
]


def _rows(events: Iterator[Any]) -> tuple[np.ndarray, np.ndarray]:
    rows = [event for event in events if isinstance(event, RestoredRows)]
    return np.concatenate([r.samples for r in rows]), np.concatenate([r.marks for r in rows])


@pytest.mark.parametrize(
    ("name", "mode"), [("large", "edit"), ("small", "add"), ("grey", "replace")]
)
def test_kept_answers_give_the_bytes_of_a_new_run(name: str, mode: Any) -> None:
    """The network is asked once; every setting of the strengths is as if asked again."""
    photo = PHOTOS[name]
    marks = np.full((200, 300), 128, np.uint8)
    marks[50:60], marks[100:140] = 255, 0
    source = ArraySource(photo)
    base = RestoreSettings(marks_mode=mode)
    kept = [
        event
        for event in ask(CHANGED.network, source, base, marks_in=marks, tile_px=256)
        if isinstance(event, Look | Band)
    ]
    for settings in SETTINGS:
        wanted = RestoreSettings(**{**vars(settings), "marks_mode": mode})
        again = _rows(fuse_said(source, wanted, kept))
        anew = _rows(CHANGED.restore_rows(source, wanted, marks_in=marks))
        assert (again[0] == anew[0]).all()
        assert (again[1] == anew[1]).all()


def test_closing_while_asking_ends_the_work() -> None:
    """Between two tiles."""
    events = ask(CHANGED.network, ArraySource(LARGE), RestoreSettings(), marks_in=None, tile_px=128)
    assert isinstance(next(events), Look)
    next(events)
    events.close()
    assert list(events) == []


@pytest.mark.parametrize("photo", [LARGE, LARGE[..., 1:2]], ids=["color", "grey"])
@pytest.mark.parametrize(
    "inner", [Tile(300, 420, 200, 330), Tile(0, 100, 0, 90), Tile(611, 700, 470, 520)]
)
def test_part_is_what_the_whole_has_there(photo: np.ndarray, inner: Tile) -> None:
    """At native resolution, with marks and grain: within 2/255."""
    marks = np.full(photo.shape[:2], 128, np.uint8)
    marks[320:330, 210:300] = 255
    settings = RestoreSettings(regrain=0.7, marks_mode="edit")
    source = ArraySource(photo)
    look = next(ask(CHANGED.network, source, settings, marks_in=marks, tile_px=256))
    assert isinstance(look, Look)
    *_, part = ask_part(CHANGED.network, source, look, inner, tile_px=256)
    assert isinstance(part, Part)
    restored, found = fuse_part(part, settings)
    whole, whole_found = _rows(CHANGED.restore_rows(source, settings, marks_in=marks))
    place = (slice(inner.y0, inner.y1), slice(inner.x0, inner.x1))
    assert np.abs(restored.astype(int) - whole[place]).max() <= 2
    assert np.abs(found.astype(int) - whole_found[place]).max() <= 2
    own = np.rint(255 * read_part(source, inner))
    assert (own == np.broadcast_to(photo[place], own.shape)).all()


def test_edited_marks_add_and_erase() -> None:
    """White is damage, black is none, grey is what the network finds."""
    edits = np.full(LARGE.shape[:2], 128, np.uint8)
    edits[:200], edits[500:] = 255, 0
    settings = RestoreSettings(marks_mode="edit")
    found = CHANGED.restore(LARGE).marks
    edited = CHANGED.restore(LARGE, settings, marks_in=edits).marks
    assert (edited[:200] == 255).all()
    assert (edited[500:] == 0).all()
    assert np.abs(edited[250:450].astype(int) - found[250:450]).max() <= 40
    plain = CHANGED.restore(LARGE, settings, marks_in=np.full_like(edits, 128))
    assert (plain.marks == found).all()
    assert (plain.restored == CHANGED.restore(LARGE).restored).all()


def test_erased_mark_is_left_as_it_was() -> None:
    """Where the user says that there is no damage, repair and denoise change nothing."""
    off = {"tone": 0.0, "color": 0.0}
    settings = RestoreSettings(**off, marks_mode="replace")
    edit = RestoreSettings(**off, marks_mode="edit")
    none = np.zeros(LARGE.shape[:2], np.uint8)
    replaced = CHANGED.restore(LARGE, settings, marks_in=none).restored
    erased = CHANGED.restore(LARGE, edit, marks_in=none).restored
    assert np.abs(replaced.astype(int) - erased).max() <= 1


class Painter(StillNetwork):
    """Lays red on what is bright; hints count in the third of the picture that they lie in."""

    def choose_chroma(self, luma: np.ndarray, hints: np.ndarray | None) -> np.ndarray:
        """Chroma of the photograph."""
        laid = super().choose_chroma(luma, hints)
        laid[..., 1] = np.where(luma > 0.5, 0.1, 0)
        if hints is not None:
            thirds = np.array_split(np.arange(luma.shape[1]), 3)
            for columns in thirds:
                given = hints[:, columns, 2] > 0
                if given.any():
                    laid[:, columns] = hints[:, columns][given][:, :2].mean(axis=0)
        return laid


PAINTER = Restorer(Painter())  # type: ignore[arg-type]
GREEN = (parse_hint("90%,50%=#20a040"),)


def _chroma(photo: np.ndarray) -> np.ndarray:
    return to_ycc(photo.astype(np.float32) / 255)[..., 1:]


def test_laid_colours_are_those_of_the_network() -> None:
    """On a grey photograph, sharp where luma is, neither averaged nor bent."""
    grey = np.full((400, 520), 90, np.uint8)
    grey[:, 300:] = 180
    laid = _chroma(PAINTER.restore(grey).restored)
    np.testing.assert_allclose(laid[:, :290, 1], 0, atol=0.01)
    np.testing.assert_allclose(laid[:, 310:, 1], 0.1, atol=0.01)
    edge = laid[200, 290:310, 1]
    assert (np.abs(edge - 0) < 0.02).sum() + (np.abs(edge - 0.1) < 0.02).sum() >= 18


def test_strong_hints_are_not_bent() -> None:
    """A hint may be more colourful than photographs usually are."""
    grey = np.full((400, 520), 90, np.uint8)
    hints = (parse_hint("90%,50%=#c00000"),)
    restored = PAINTER.restore(grey, RestoreSettings(hints=hints)).restored
    wanted = _chroma(np.array([[[0xC0, 0, 0]]]))[0, 0]
    np.testing.assert_allclose(_chroma(restored)[200, 500], wanted, atol=0.02)


def test_hints_change_a_colour_photograph_where_they_reach() -> None:
    """And nowhere else: there it stays as without them, bit for bit."""
    plain = PAINTER.restore(LARGE).restored
    hinted = PAINTER.restore(LARGE, RestoreSettings(hints=GREEN)).restored
    np.testing.assert_array_equal(hinted[:, :330], plain[:, :330])
    wanted = _chroma(np.array([[[0x20, 0xA0, 0x40]]]))[0, 0]
    reached = _chroma(hinted)[120:, 380:500]
    assert np.abs(reached - wanted).mean() < 0.03
    assert np.abs(_chroma(plain)[120:, 380:500] - wanted).mean() > 0.1
    luma = [to_ycc(p.astype(np.float32) / 255)[..., 0] for p in (plain, hinted)]
    assert np.abs(luma[0] - luma[1]).max() < 0.01


def test_weights_without_hints_say_so() -> None:
    """In one line, and nothing is coloured by other means."""
    from restore import RestoreError

    settings = RestoreSettings(hints=(parse_hint("50%,50%=#ff0000"),))
    with pytest.raises(RestoreError, match="tiny can't take hints"):
        CHANGED.restore(LARGE, settings)
