"""Doubt: marks that an enlarged copy doesn't show, and changes of tone that are hardly any."""

from typing import Any

import cv2
import numpy as np
import pytest
from still_network import StillNetwork, look_at

from restore import Restorer
from restore.passes.look import spare_sound
from restore.passes.marks import EditedMarks, KnownMarks, ToldMarks, doubt_dark
from restore.restorer import ArraySource


class ThinFinder(StillNetwork):
    """Takes bright lines of up to four pixels for marks, as far as it isn't told to doubt them."""

    has_close_look = True

    def repair(self, photo: np.ndarray, *args: Any) -> tuple[np.ndarray, np.ndarray]:
        """Change nothing."""
        bright = (photo.max(2) > 0.6).astype(np.uint8)
        thin = bright - cv2.morphologyEx(bright, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        told = args[2]
        doubted = 0 if told is None else told < 0
        return photo, (thin * (1 - doubted)).astype(np.float32)


def draw_lines() -> np.ndarray:
    """A dark photograph with a crack a pixel wide, and an eyebrow of four."""
    photo = np.full((160, 200, 3), 60, np.uint8)
    photo[40, 20:180] = photo[100:104, 60:90] = 255
    return photo


def test_small_photographs_doubt_what_an_enlarged_copy_does_not_show() -> None:
    """The eyebrow, six pixels wide when enlarged, is doubted, and the crack isn't."""
    look = look_at(ThinFinder(), ArraySource(draw_lines()))  # type: ignore[arg-type]
    assert look.told is not None
    told = look.told.rows(0, 160)
    assert (told[40, 20:180] == 0).all()
    assert (told[100:104, 60:90] == -0.125).all()
    assert (told[20:30] == look.told.rows(20, 30)[:10]).all()


@pytest.mark.parametrize(("has_close_look", "size"), [(False, 1), (True, 3)])
def test_nothing_else_is_doubted(has_close_look: bool, size: int) -> None:
    """Not what weights find that couldn't listen, nor marks of large photographs."""
    network = ThinFinder()
    network.has_close_look = has_close_look
    photo = cv2.resize(draw_lines(), None, fx=size, fy=size, interpolation=cv2.INTER_NEAREST)
    look = look_at(network, ArraySource(photo))  # type: ignore[arg-type]
    assert look.doubt is None


def test_known_marks_are_not_doubted() -> None:
    """Where the user says that there is damage, doubt ends."""
    photo = draw_lines()
    marks = np.zeros(photo.shape[:2], bool)
    marks[101, 60:90] = True
    given = EditedMarks(KnownMarks(marks, *marks.shape))
    look = look_at(ThinFinder(), ArraySource(photo), given=given)  # type: ignore[arg-type]
    assert look.told is not None
    told = look.told.rows(98, 106)
    assert (told[3, 60:90] == 1).all()
    assert (told[[2, 4, 5], 60:90] == -0.125).all()
    assert ToldMarks([given.added]).rows(101, 102).min() == 0


@pytest.mark.parametrize(("change", "share"), [(0.01, 0.0), (0.0225, 0.5), (0.08, 1.0)])
def test_hardly_any_change_of_tone_is_none(change: float, share: float) -> None:
    """A sound photograph stays; one that has faded gets all that it needs, at any size of cells."""
    photo = np.random.default_rng(1).random((96, 128, 3), np.float32)
    grid = np.zeros((12, 6, 8), np.float32)
    grid[9:] = change
    np.testing.assert_allclose(spare_sound(photo, grid), share * grid, atol=1e-6)
    grid = np.zeros((12, 3, 4), np.float32)
    grid[[0, 4, 8]] = change / np.sqrt(np.mean(np.square(photo.mean((0, 1)))))
    np.testing.assert_allclose(spare_sound(photo, grid), share * grid, atol=0.03 * change)


class Told(StillNetwork):
    """Notes what it is told of marks, and the luma there."""

    has_close_look = True

    def __init__(self) -> None:
        self.told: list[tuple[np.ndarray, np.ndarray]] = []

    def repair(self, photo: np.ndarray, *args: Any) -> tuple[np.ndarray, np.ndarray]:
        """Change nothing."""
        told = np.zeros(photo.shape[:2], np.float32) if args[2] is None else args[2]
        self.told.append((photo.mean(-1), told))
        return super().repair(photo)


@pytest.mark.parametrize(
    ("toning", "doubted"), [(0, False), (2, True), (30, False)], ids=["grey", "trace", "brown"]
)
def test_dark_marks_are_doubted_beside_a_trace_of_toning(toning: int, doubted: bool) -> None:
    """A rope in a grey JPEG that leans to brown by 2 of 255; neither its cracks, nor a print's."""
    grey = np.full((900, 700, 1), 150)
    grey[:, 300:308], grey[:, 500:504] = 60, 250
    photo = (grey + np.array([toning, 0, -toning])).clip(0, 255).astype(np.uint8)
    network = Told()
    Restorer(network, tile_px=256).restore(photo)  # type: ignore[arg-type]
    luma, told = (np.concatenate([pair[i].ravel() for pair in network.told]) for i in range(2))
    assert (told[luma < 0.3] == (-0.375 if doubted else 0)).all()
    assert (told[luma > 0.9] == 0).all()


def test_known_dark_marks_are_not_doubted() -> None:
    """Where the user says that there is damage, it is."""
    photo = np.full((60, 60, 3), 0.6, np.float32)
    photo[:, 30:33] = 0.1
    told = np.zeros((60, 60), np.float32)
    told[:20], told[20:30] = 1, -0.5
    doubt = doubt_dark(photo, told)
    assert (doubt[:20] == 1).all()
    assert (doubt[20:30] == -0.5).all()
    assert (doubt[30:, 30:33] == -0.375).all()
    assert (doubt[30:, :20] == 0).all()
