"""The earlier copy: its blocks, its quality, and at another size."""

import cv2
import numpy as np
import pytest

from degrade.damage.copy import Copy, CopyRanges, draw_copy, save_copy
from degrade.damage.streams import sample_draws


def paint_waves(side: int = 128) -> np.ndarray:
    """A smooth photograph, in which blocks are easily seen."""
    y, x = np.mgrid[0:side, 0:side] / side
    grey = 0.5 + 0.3 * np.sin(7 * x + 3 * y) + 0.1 * np.cos(11 * y)
    return np.rint(np.stack([grey, grey * 0.9, grey * 0.8], axis=-1) * 255).astype(np.uint8)


def find_steps(photo: np.ndarray) -> np.ndarray:
    """Mean change of luma from each column to the next."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(float)
    return np.abs(np.diff(grey, axis=1)).mean(axis=0)


@pytest.mark.parametrize("x_px", [0, 3, 7])
def test_copy_has_blocks_where_it_says(x_px):
    """Columns jump where blocks of 8 px begin, counted from x_px."""
    steps = find_steps(save_copy(paint_waves(), Copy(scale_frac=1.0, jpeg_quality=6, x_px=x_px)))
    means = [steps[start::8].mean() for start in range(8)]
    assert int(np.argmax(means)) == (x_px - 1) % 8


def test_copy_of_half_the_size_has_blocks_twice_as_large():
    """Blocks of 8 px of the copy cover 16 px of the photograph."""
    steps = find_steps(save_copy(paint_waves(256), Copy(scale_frac=0.5, jpeg_quality=6)))
    # Between the joints of 16 px lie those that blocks of 8 px would have.
    means = [steps[start::16].mean() for start in range(16)]
    assert int(np.argmax(means)) == 15
    assert means[15] > 1.8 * means[7]


def test_copy_of_lower_quality_is_farther_off():
    """Each quality below the one before changes the photograph more."""
    photo = paint_waves().astype(int)
    noisy = np.clip(photo + np.random.default_rng(0).integers(-20, 21, photo.shape), 0, 255)
    noisy = noisy.astype(np.uint8)
    changes = [
        np.abs(save_copy(noisy, Copy(scale_frac=1.0, jpeg_quality=q)).astype(int) - noisy).mean()
        for q in (90, 30, 10, 5)
    ]
    assert changes == sorted(changes)


def test_copy_at_twice_the_size_has_the_same_blocks():
    """Rendered larger, the photograph shows the copy that was made, only enlarged."""
    copy = Copy(scale_frac=0.5, jpeg_quality=8)
    small, large = save_copy(paint_waves(128), copy), save_copy(paint_waves(256), copy, ratio=2.0)
    halved = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(halved - small).mean() < 3


def test_copy_is_drawn_within_its_ranges():
    """Sizes, qualities and offsets lie in the ranges; with a probability of 0 there is none."""
    ranges = CopyRanges(prob=1.0, scale_frac_range=(0.6, 0.9), jpeg_quality_range=(5.0, 20.0))
    offsets = set()
    for i in range(60):
        copy = draw_copy(sample_draws(1, str(i), 0)["copy"], ranges)
        assert copy is not None
        assert 0.6 <= copy.scale_frac <= 0.9
        assert 5 <= copy.jpeg_quality <= 20
        offsets.add(copy.x_px)
    assert offsets == set(range(8))
    assert draw_copy(sample_draws(1, "a", 0)["copy"], CopyRanges()) is None
