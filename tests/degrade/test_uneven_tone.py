"""Uneven toning: where it lies, what it mixes, and what it leaves as it was."""

import numpy as np
import pytest

from degrade.damage.draw import draw_recipe
from degrade.damage.tone import Tone, apply_tone
from degrade.damage.uneven_tone import UnevenTone, tone_unevenly, uneven_tone_field
from degrade.profile import load_profile
from degrade.recipe import decode_recipe, encode_recipe
from degrade.textures import Textures

BROWN = Tone(
    kind="sepia", shadow=(0.2, 0.1, 0.0), middle=(0.6, 0.5, 0.3), highlight=(1.0, 0.9, 0.7)
)
FIELD = "masks/field-01.png"


@pytest.fixture(scope="module")
def textures():
    return Textures.load()


@pytest.mark.parametrize("edge_px", [0.0, 30.0])
def test_uneven_tone_lies_between_both_tones(edge_px, textures):
    """Each point is a mixture of the neutral print and of the brown one; some are, some aren't."""
    silver = np.tile(np.linspace(0, 1, 96, dtype=np.float32), (96, 1))
    uneven = UnevenTone(tone=BROWN, share_frac=0.9, texture=FIELD, edge_px=edge_px)
    field = uneven_tone_field(uneven, textures, 96, 96)
    neutral, brown = apply_tone(silver, None), apply_tone(silver, BROWN)
    mixed = tone_unevenly(neutral.copy(), silver, uneven, field)
    assert np.allclose(mixed, neutral + field * (brown - neutral), atol=1e-6)
    assert field.min() == 0
    assert 0.7 < field.max() <= 0.9
    assert 0.1 < field.mean() < 0.8


def test_uneven_tone_from_the_edges_spares_the_middle(textures):
    """With edge_px, there is more at the border than within, and nothing in the middle."""
    uneven = UnevenTone(tone=BROWN, share_frac=1.0, texture=FIELD, edge_px=20.0)
    field = uneven_tone_field(uneven, textures, 96, 96)
    border = np.ones((96, 96), bool)
    border[4:-4, 4:-4] = False
    assert field[border].mean() > 0.6
    assert not field[32:64, 32:64].any()


def test_uneven_tone_passes_a_photograph_in_color(textures):
    """What is in colour has no silver to tone."""
    photo = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    uneven = UnevenTone(tone=BROWN, share_frac=1.0, texture=FIELD)
    toned = tone_unevenly(photo.copy(), photo, uneven, np.ones((8, 8), np.float32))
    assert np.array_equal(toned, photo)


def test_uneven_tone_is_off_in_older_profiles(textures):
    """Their recipes don't even name it."""
    for i in range(20):
        recipe = draw_recipe(
            load_profile("badly-damaged"), textures, seed=1, key=str(i), variant=0,
            source_size=(64, 64), size_px=64,
        )  # fmt: skip
        assert b"uneven_tone" not in encode_recipe(recipe)
        assert decode_recipe(encode_recipe(recipe)) == recipe
