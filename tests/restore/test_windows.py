"""Tiles against the whole, and what happens when memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from photo_zoo import draw_photo, tiny_generator

from restore.errors import RestoreError
from restore.passes.windows import TiledRun
from restore.restorer import Restorer
from restore.scan.profiles import Srgb

Floats = NDArray[np.float32]


def _blur_marks(photo: Floats, known: Floats | None, original: Floats) -> tuple[Floats, Floats]:
    """A network that sees 5 px far: vertical and horizontal means."""
    assert photo.shape[0] % 4 == photo.shape[1] % 4 == 0
    padded = np.pad(photo, ((5, 5), (5, 5), (0, 0)), mode="edge")
    rows = np.stack([padded[i : i + photo.shape[0], 5:-5] for i in range(11)]).mean(0)
    columns = np.stack([padded[5:-5, i : i + photo.shape[1]] for i in range(11)]).mean(0)
    return (rows + columns) / 2, photo[..., 0] if known is None else known


def _run(photo: NDArray[Any], network: Any = _blur_marks, **options: Any) -> TiledRun:
    return TiledRun(
        network=network,
        alignment=4,
        height=photo.shape[0],
        width=photo.shape[1],
        read=_strict_reader(photo),
        to_photo=Srgb().to_srgb,
        **options,
    )


def _strict_reader(photo: NDArray[Any]) -> Callable[[int, int], NDArray[Any]]:
    """Gives rows in unbroken order only, as a decoder does."""
    place = 0

    def read(y0: int, y1: int) -> NDArray[Any]:
        nonlocal place
        assert y0 == place
        assert y0 < y1 <= len(photo)
        place = y1
        return photo[y0:y1]

    return read


def _restored(run: TiledRun) -> NDArray[np.uint16]:
    bands = list(run.bands())
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
    for band in _run(photo, tile_px=64).bands():
        assert (band.samples == photo[band.y0 : band.y1]).all()


def test_real_network_has_no_seams() -> None:
    """Tiled against whole: no pixel of a restored photograph differs by more than 2/255."""
    photo = np.random.default_rng(0).integers(0, 256, (500, 420, 3)).astype(np.uint8)
    photo = (draw_photo(500, 420) * 0.8 + photo * 0.2).astype(np.uint8)
    generator = tiny_generator()
    whole = Restorer(generator, tile_px=4096, precision="fp32").restore(photo)
    tiled = Restorer(generator, tile_px=128, precision="fp32").restore(photo)
    assert np.abs(whole.restored.astype(int) - photo).mean() > 1
    assert np.abs(whole.restored.astype(int) - tiled.restored).max() <= 2
    assert np.abs(whole.marks.astype(int) - tiled.marks).max() <= 2


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried")])
def test_out_of_memory_halves_the_tile_and_says_so(error: Exception) -> None:
    """Smaller tiles give the same photograph."""
    photo = draw_photo(400, 500)

    def limited(window: Floats, known: Floats | None, original: Floats) -> tuple[Floats, Floats]:
        if window.shape[0] * window.shape[1] > 200 * 200:
            raise error
        return _blur_marks(window, known, original)

    lines: list[str] = []
    run = _run(photo, limited, tile_px=512, margin_px=16, on_notice=lines.append)
    restored = _restored(run)
    assert np.abs(restored.astype(int) - _restored(_run(photo, margin_px=16))).max() <= 1
    assert lines == [f"out of memory: going on with tiles of {px} px" for px in (256, 128)]


def test_no_memory_at_all_is_an_error() -> None:
    """If not even the smallest tile fits, the user is told what to do."""

    def greedy(window: Floats, known: Floats | None, original: Floats) -> tuple[Floats, Floats]:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RestoreError, match="out of memory even for a tile of 64 px"):
        list(_run(draw_photo(100, 100), greedy).bands())


def test_other_errors_pass() -> None:
    """Only want of memory is mended."""

    def broken(window: Floats, known: Floats | None, original: Floats) -> tuple[Floats, Floats]:
        raise RuntimeError("shapes don't match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(_run(draw_photo(100, 100), broken).bands())
