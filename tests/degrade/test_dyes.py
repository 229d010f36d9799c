"""Loss of dyes: the equation, its casts, unevenness, and what it leaves as it was."""

import msgspec
import numpy as np
import pytest

from degrade.damage.crop import Crop
from degrade.damage.draw import draw_recipe
from degrade.damage.dyes import Dyes, DyesRanges, dye_knots, dyes_field, fade_dyes
from degrade.damage.render import render
from degrade.profile import load_profile
from degrade.recipe import Recipe, decode_recipe, encode_recipe
from degrade.textures import Textures

FIELD = "masks/field-00.png"


@pytest.fixture(scope="module")
def textures():
    return Textures.load()


def grey_planes(value: int, side: int = 64) -> np.ndarray:
    """(3, H, W), 16 bit, of one tone."""
    return np.full((3, side, side), value, np.uint16)


def fade(planes: np.ndarray, dyes: Dyes, textures: Textures) -> np.ndarray:
    return fade_dyes(planes, dyes, dyes_field(dyes, textures, *planes.shape[1:]))


def density_of(tone: float) -> float:
    return -2.2 * np.log10(tone)


def test_dyes_that_have_lost_nothing_leave_the_photograph(textures):
    """All density kept and no stain is the identity, but for the table's steps."""
    planes = np.random.default_rng(0).integers(0, 65536, (3, 64, 64)).astype(np.uint16)
    faded = fade(planes, Dyes(kept_frac=(1.0, 1.0, 1.0)), textures)
    assert faded.dtype == np.uint16
    assert np.abs(faded.astype(int) - planes).max() <= 16


@pytest.mark.parametrize(("kept", "stain"), [(0.35, 0.0), (0.6, 0.12), (0.9, 0.05), (1.0, 0.12)])
@pytest.mark.parametrize("tone", [0.25, 0.5, 0.9])
def test_dyes_keep_the_stated_share_of_density(kept, stain, tone, textures):
    """Measured on flat tones, D' = k · D + stain, to within .01 of density."""
    dyes = Dyes(kept_frac=(kept,) * 3, stain_density=(stain,) * 3, black_density=5.0)
    faded = fade(grey_planes(round(tone * 65535)), dyes, textures)[0, 0, 0] / 65535
    assert density_of(faded) == pytest.approx(kept * density_of(tone) + stain, abs=0.01)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_each_dye_that_goes_leaves_the_cast_of_its_channel(channel, textures):
    """Without cyan a grey turns red, without magenta green, without yellow blue; white stays."""
    kept = [0.95, 0.95, 0.95]
    kept[channel] = 0.5
    dyes = Dyes(kept_frac=tuple(kept))
    grey = fade(grey_planes(30000), dyes, textures)[:, 0, 0].astype(int)
    assert int(grey.argmax()) == channel
    assert grey[channel] > np.delete(grey, channel).max() + 4000
    assert (fade(grey_planes(65535), dyes, textures) == 65535).all()


def test_black_fades_the_less_the_deeper_it_was(textures):
    """Half of a density of 2 is greyer than half of a density of 4, and neither is black."""
    blacks = [
        int(fade(grey_planes(0), Dyes(kept_frac=(0.5,) * 3, black_density=d), textures)[0, 0, 0])
        for d in (2.0, 4.0)
    ]
    assert 65535 * 0.3 < blacks[0] < 65535 * 0.4
    assert 65535 * 0.1 < blacks[1] < 65535 * 0.15


def test_uneven_loss_spares_some_places_and_exceeds_the_even_one_nowhere(textures):
    """Every point lies between the unfaded and the evenly faded photograph; points differ."""
    even = Dyes(kept_frac=(0.4, 0.8, 0.7))
    uneven = msgspec.structs.replace(even, uneven_frac=0.9, texture=FIELD)
    planes = grey_planes(20000)
    most, some = fade(planes, even, textures), fade(planes, uneven, textures)
    assert (some <= most).all()
    assert (some >= planes - 16).all()
    assert np.ptp(some[0].astype(int)) > 0.4 * (int(most[0, 0, 0]) - 20000)


def test_knots_rise_with_the_tone():
    """No loss and no stain turns the order of tones about."""
    for kept in (0.0, 0.35, 1.0):
        knots = dye_knots(Dyes(kept_frac=(kept,) * 3, stain_density=(0.2,) * 3), 0)
        assert knots == sorted(knots)
        assert knots[0] >= 0
        assert knots[-1] <= 1


def test_silver_has_no_dyes(textures):
    """A photograph of one channel passes unchanged."""
    silver = np.full((8, 8), 3000, np.uint16)
    assert fade_dyes(silver, Dyes(kept_frac=(0.4, 1.0, 1.0)), np.ones((8, 8), np.float32)) is silver


def test_dyes_can_be_skipped(textures):
    """`--skip dyes` leaves a recipe without the loss."""
    recipe = Recipe(
        seed=0, key="k", variant=0, profile="test", width_px=32, height_px=32, crop=Crop(),
        dyes=Dyes(kept_frac=(0.4, 0.9, 0.8)),
    )  # fmt: skip
    photo = np.full((32, 32, 3), 90, np.uint8)
    assert render(photo, recipe, textures).damaged[0, 0, 0] > 130
    kept = render(photo, recipe, textures, skip=frozenset({"dyes"})).damaged
    assert np.array_equal(kept, photo)


def test_dyes_shift_no_draw_of_other_stages_nor_older_recipes(textures):
    """Switched on, they add themselves to a recipe; switched off, its JSON doesn't know them."""
    without_dyes = load_profile("kodachrome-faded")
    with_dyes = msgspec.structs.replace(
        without_dyes, dyes=DyesRanges(prob=1.0, stain_prob=1.0, uneven_prob=1.0)
    )
    for i in range(5):
        old, new = (
            draw_recipe(
                profile, textures, seed=3, key=str(i), variant=0, source_size=(96, 96), size_px=96
            )
            for profile in (without_dyes, with_dyes)
        )
        assert new.dyes is not None
        assert b"dyes" not in encode_recipe(old)
        assert decode_recipe(encode_recipe(old)) == old
        assert decode_recipe(encode_recipe(new)) == new
        fields = {name: getattr(new, name) for name in new.__struct_fields__}
        fields |= {"dyes": None, "textures": old.textures}
        assert Recipe(**fields) == old


@pytest.mark.parametrize("profile", ["faded-color-print", "faded-slide"])
def test_faded_profiles_lose_cyan_most_often(profile, textures):
    """All of their photographs are in colour and faded; more than half have lost most of cyan."""
    first = []
    for i in range(80):
        recipe = draw_recipe(
            load_profile(profile), textures, seed=5, key=str(i), variant=0, source_size=(64, 64),
            size_px=64,
        )  # fmt: skip
        assert recipe.tone is None
        assert recipe.uneven_tone is None
        kept = recipe.dyes.kept_frac
        assert 0.3 <= min(kept) <= 0.9
        assert max(recipe.dyes.stain_density) <= 0.25
        first.append(int(np.argmin(kept)))
    shares = np.bincount(first, minlength=3) / len(first)
    assert shares[0] > 0.5
    assert shares[1:].min() > 0.02
