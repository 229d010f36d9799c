"""The printing screen given by its period: dots as far apart, and as slanted, as stated."""

import numpy as np
import pytest

from degrade.damage.draw import draw_recipe
from degrade.damage.halftone import Halftone, apply_screen, screen_field
from degrade.profile import load_profile
from degrade.recipe import decode_recipe, encode_recipe
from degrade.textures import Textures


@pytest.fixture(scope="module")
def textures():
    return Textures.load()


def dots(period_px: float, *angles_deg: float) -> Halftone:
    return Halftone(
        texture="", x_px=5, y_px=9, scale=1.0, hardness=1.5, period_px=period_px,
        angles_deg=angles_deg,
    )  # fmt: skip


@pytest.mark.parametrize("period_px", [3.2, 5.0, 9.7])
@pytest.mark.parametrize("angle_deg", [0.0, 15.0, 45.0, 73.5])
def test_dots_have_the_stated_period_and_angle(period_px, angle_deg, textures):
    """The strongest waves of the screen are one period long and run along the angle or across."""
    side = 256
    field = screen_field(dots(period_px, angle_deg), textures, side, side)
    assert field.shape == (side, side)
    assert field.min() >= 0
    assert field.max() <= 1
    assert field.mean() == pytest.approx(0.5, abs=0.01)
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((field - field.mean()) * window * window[:, None]))
    v, u = np.unravel_index(int(power.argmax()), power.shape)
    u, v = np.fft.fftfreq(side)[u], np.fft.fftfreq(side)[v]
    assert 1 / np.hypot(u, v) == pytest.approx(period_px, rel=0.05)
    slant = np.degrees(np.arctan2(v, u)) - angle_deg
    assert abs((slant + 45) % 90 - 45) < 3


def test_screen_keeps_the_tone_on_average(textures):
    """A flat tone, printed, is on average as light as it was."""
    halftone = dots(4.3, 45.0)
    screen = screen_field(halftone, textures, 128, 128)
    for tone in (0.3, 0.5, 0.7):
        flat = np.full((128, 128), tone, np.float32)
        assert float(apply_screen(flat, halftone, screen).mean()) == pytest.approx(tone, abs=0.06)


def test_screens_of_three_inks_are_slanted_apart(textures):
    """With three angles each channel has dots of its own; a silver image takes the first."""
    halftone = dots(4.0, 15.0, 75.0, 0.0)
    screens = screen_field(halftone, textures, 64, 64)
    assert screens.shape == (3, 64, 64)
    assert np.abs(screens[0] - screens[1]).mean() > 0.1
    silver = np.full((64, 64), 0.5, np.float32)
    single = apply_screen(silver, dots(4.0, 15.0), screens[0])
    assert np.array_equal(apply_screen(silver, halftone, screens), single)


def test_screen_finer_than_two_pixels_beats_with_them(textures):
    """Dots 1.02 px apart come out as waves many pixels long: moiré."""
    field = screen_field(dots(1.02, 0.0), textures, 128, 128)
    power = np.abs(np.fft.fft(field[0] - field[0].mean()))[:64]
    assert 1 / (int(power.argmax()) / 128) > 20


def test_screens_by_texture_are_recorded_as_before(textures):
    """Recipes of older profiles don't know periods and angles."""
    found = 0
    for i in range(40):
        recipe = draw_recipe(
            load_profile("press-print"), textures, seed=1, key=str(i), variant=0,
            source_size=(64, 64), size_px=64,
        )  # fmt: skip
        if recipe.halftone is not None:
            found += 1
            encoded = encode_recipe(recipe)
            assert b"period_px" not in encoded
            assert b"angles_deg" not in encoded
            assert encode_recipe(decode_recipe(encoded)) == encoded
    assert found
