"""Tiles against the whole, and what happens when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from photo_zoo import draw_photo, load_restorer

from restore.errors import RestoreError
from restore.events import Notice, Progress
from restore.passes.local import Band, restore_bands
from restore.passes.windows import BORDER_PX, MARGIN_PX, Cutting
from restore.scan.profiles import Srgb

Floats = NDArray[np.float32]
STILL = np.zeros((12, 1, 1), np.float32)


class Blur:
    """A network that sees 5 px far: vertical and horizontal means."""

    alignment = 4

    def repair(
        self, window: Floats, grid: Floats, place: object, known: Floats | None
    ) -> tuple[Floats, Floats]:
        """Blur a window; what is known are its marks."""
        height, width = window.shape[:2]
        assert height % 4 == width % 4 == 0
        padded = np.pad(window, ((5, 5), (5, 5), (0, 0)), mode="edge")
        rows = np.stack([padded[i : i + height, 5:-5] for i in range(11)]).mean(0)
        columns = np.stack([padded[5:-5, i : i + width] for i in range(11)]).mean(0)
        return (rows + columns) / 2, window[..., 0] if known is None else known


class Limited(Blur):
    """Fails for windows of more than so many pixels."""

    def __init__(self, area_px: int, error: Exception) -> None:
        self.area_px, self.error = area_px, error

    def repair(
        self, window: Floats, grid: Floats, place: object, known: Floats | None
    ) -> tuple[Floats, Floats]:
        """Blur, if it may."""
        if window.shape[0] * window.shape[1] > self.area_px:
            raise self.error
        return super().repair(window, grid, place, known)


class Pixels:
    """Gives rows in unbroken order only, as a decoder does."""

    traced = False

    def __init__(self, photo: NDArray[Any]) -> None:
        self.photo = photo
        self.height, self.width = photo.shape[:2]
        self.to_photo = Srgb().to_srgb

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A strict reader."""
        place = 0

        def read(y0: int, y1: int) -> NDArray[Any]:
            nonlocal place
            assert y0 == place
            assert y0 < y1 <= len(self.photo)
            place = y1
            return self.photo[y0:y1]

        return read


def _run(
    photo: NDArray[Any],
    network: Any = None,
    *,
    tile_px: int = 1024,
    margin_px: int = MARGIN_PX,
    border_px: int = BORDER_PX,
) -> list[Band | Notice | Progress]:
    network = network or Blur()
    cutting = Cutting.of(
        *photo.shape[:2], network.alignment, margin_px=margin_px, border_px=border_px
    )
    return list(restore_bands(network, Pixels(photo), STILL, None, cutting, tile_px=tile_px))


def _restored(events: list[Band | Notice | Progress]) -> NDArray[np.uint16]:
    bands = [event for event in events if isinstance(event, Band)]
    assert [band.y0 for band in bands[1:]] == [band.y1 for band in bands[:-1]]
    return np.concatenate([band.restored for band in bands])


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    tile_px=st.integers(64, 128),
    margin_px=st.integers(8, 40),
    border_px=st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_tiles_are_the_whole_where_margins_suffice(
    height: int, width: int, tile_px: int, margin_px: int, border_px: int
) -> None:
    """Any size, tile and margin gives what one run over the whole gives."""
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    tiled = _run(photo, tile_px=tile_px, margin_px=margin_px, border_px=border_px)
    whole = _run(photo, tile_px=4096, margin_px=margin_px, border_px=border_px)
    assert np.abs(_restored(tiled).astype(int) - _restored(whole)).max() <= 1


def test_bands_carry_the_samples() -> None:
    """A band holds the rows that it was made from."""
    photo = draw_photo(200, 90)
    for band in _run(photo, tile_px=64):
        if isinstance(band, Band):
            assert (band.samples == photo[band.y0 : band.y1]).all()


def test_progress_rises_to_one() -> None:
    """After each tile it is told how much of the photograph is done, and at the end all is."""
    done = [e.done_frac for e in _run(draw_photo(300, 200), tile_px=64) if isinstance(e, Progress)]
    assert done == sorted(set(done))
    assert len(done) == 15
    assert done[-1] == pytest.approx(1)


def test_tiles_have_as_many_pixels_as_a_square_whatever_their_shape() -> None:
    """A megapixel of any proportions is one tile, so that nothing is looked at twice."""
    cutting = Cutting.of(700, 1450, 32)
    (band,) = cutting.bands(1024)
    assert cutting.fits(band, 1024)
    cutting = Cutting.of(3000, 4100, 32)
    tiles = [tile for band in cutting.bands(1024) for tile in cutting.split(band, 1024)]
    assert all(cutting.fits(tile, 1024) for tile in tiles)
    assert len(tiles) == 14  # in squares they are 15
    assert sum(tile.area_px for tile in tiles) == 3000 * 4100


def test_real_network_has_no_seams() -> None:
    """Tiled against whole: no pixel of a restored photograph differs by more than 2/255."""
    photo = np.random.default_rng(0).integers(0, 256, (500, 420, 3)).astype(np.uint8)
    photo = (draw_photo(500, 420) * 0.8 + photo * 0.2).astype(np.uint8)
    whole = load_restorer("tiny", tile_px=4096).restore(photo)
    tiled = load_restorer("tiny", tile_px=128).restore(photo)
    assert np.abs(whole.restored.astype(int) - photo).mean() > 1
    assert np.abs(whole.restored.astype(int) - tiled.restored).max() <= 2
    assert np.abs(whole.marks.astype(int) - tiled.marks).max() <= 2


def test_out_of_memory_halves_the_tile_and_says_so() -> None:
    """Smaller tiles give the same photograph."""
    photo = draw_photo(400, 500)
    events = _run(photo, Limited(200 * 200, MemoryError()), tile_px=512, margin_px=16)
    whole = _restored(_run(photo, margin_px=16))
    assert np.abs(_restored(events).astype(int) - whole).max() <= 1
    lines = [event.text for event in events if isinstance(event, Notice)]
    assert lines == [f"out of memory: going on with tiles of {px} px" for px in (256, 128)]


def test_no_memory_at_all_is_an_error() -> None:
    """If not even the smallest tile fits, the user is told what to do."""
    with pytest.raises(RestoreError, match="out of memory even for a tile of 64 px"):
        _run(draw_photo(100, 100), Limited(0, MemoryError()))


def test_other_errors_pass() -> None:
    """Only want of memory is mended."""
    with pytest.raises(RuntimeError, match="shapes"):
        _run(draw_photo(100, 100), Limited(0, RuntimeError("shapes don't match")))
