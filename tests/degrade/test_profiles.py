"""Profiles: every shipped one loads; what is wrong is named with file, key and range."""

import pytest

from degrade.damage.draw import draw_recipe
from degrade.errors import ProfileError
from degrade.profile import list_profiles, load_profile, profile_text, profile_to_json
from degrade.textures import Textures

SHIPPED = (
    "badly-damaged", "badly-fixed", "broken-print", "cabinet-card", "chipped-print",
    "dirty-scan",
    "faded-color-print", "faded-slide", "family-album", "family-collection", "grey-copies",
    "grey-copy", "harsh-copy",
    "kodachrome-faded", "lightly-worn", "newsprint", "original-2019", "phone-copy", "polaroid",
    "press-print", "small-copy", "snapshot-1920s", "web-copy", "wet-plate",
)  # fmt: skip


def test_profiles_are_all_shipped_and_described():
    """All profiles are listed with a description each."""
    profiles = list_profiles()
    assert tuple(profiles) == SHIPPED
    assert all(profiles.values())


def test_profile_json_tells_profiles_apart():
    """Each profile has JSON of its own, the same every time."""
    texts = {profile_to_json(load_profile(name)) for name in SHIPPED}
    assert len(texts) == len(SHIPPED)
    assert profile_to_json(load_profile("family-album")) in texts


def test_profile_of_ones_own_can_start_from_a_shipped_one(tmp_path):
    """The text of a shipped profile is a valid file to edit."""
    path = tmp_path / "mine.toml"
    path.write_text(profile_text("polaroid"), encoding="utf-8")
    assert load_profile(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[grain]\nprob = 1.5\n", ("grain.prob", "<= 1")),
        ("[grain]\nstrenght = 1\n", ("strenght", "grain")),
        ("[lens]\nsigma_px_range = [3.0, 1.0]\n", ("sigma_px_range", "3.0", "1.0", "lens")),
        ("[marks.kinds.scratchs]\nprob = 1.0\n", ("scratchs", "scratch")),
        ("[lens\n", ("mine.toml",)),
        ("name = 'x'\n", ("name",)),
        ("[mix]\nno-such = 1.0\n", ("no-such",)),
        ("[mix]\npolaroid = 0.0\n", ("mix", "0")),
        ("[mix]\nmine = 1.0\n", ("itself",)),
    ],
)
def test_profile_errors_name_file_key_and_range(tmp_path, text, parts):
    """A wrong profile is refused in one line that says where and what is allowed."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load_profile(str(path))
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_profile_that_does_not_exist_lists_those_that_do():
    """An unknown name is answered with the known ones."""
    with pytest.raises(ProfileError, match=r"sepia-toned.*family-album"):
        load_profile("sepia-toned")


def test_original_profile_stays_within_the_first_recipes_ranges():
    """Contrast .5–3, brightness .2–.8, white ramps of 1–120 px on 512, hairs of grey 170–255."""
    profile, textures = load_profile("original-2019"), Textures.load()
    for i in range(40):
        recipe = draw_recipe(
            profile, textures, seed=1, key=str(i), variant=0, source_size=(512, 512), size_px=512
        )
        assert 0.5 <= recipe.curve.gain[0] <= 3
        assert 0.2 <= recipe.curve.brightness[0] <= 0.8
        assert recipe.vignette.white
        assert all(1 <= ramp <= 120 for ramp in recipe.vignette.ramps_px)
        assert recipe.grain.law == "multiplicative"
        for mark in recipe.marks:
            assert mark.blend == "lighten"
            assert 170 <= 255 * mark.opacity_frac * min(mark.ink) + 1 <= 256


@pytest.mark.parametrize(
    ("line", "light", "dark"), [("", True, False), ("light_prob = 0.0", False, True),
                                ("light_prob = 0.5", True, True)]
)  # fmt: skip
def test_losses_bare_pale_paper_unless_a_share_is_dark(tmp_path, line, light, dark):
    """A peeled place is pale; `light_prob` of its kind leaves the rest as dark as what is below."""
    path, textures = tmp_path / "mine.toml", Textures.load()
    path.write_text(f"[marks.kinds.peel]\nprob = 1.0\n{line}\n", encoding="utf-8")
    profile, greens = load_profile(str(path)), set()
    for i in range(20):
        recipe = draw_recipe(
            profile, textures, seed=1, key=str(i), variant=0, source_size=(64, 64), size_px=64
        )
        greens |= {mark.ink[1] for mark in recipe.marks}
    assert any(green > 0.7 for green in greens) == light
    assert any(green < 0.3 for green in greens) == dark


@pytest.mark.parametrize(
    ("section", "names"),
    [("tone", ("neutral",)), ("frame", ("border",)), ("dyes", ("cyan", "magenta", "yellow"))],
)
def test_weights_of_nothing_are_refused(tmp_path, section, names):
    """Something must be chosen."""
    path = tmp_path / "own.toml"
    zeros = "\n".join(f"{name} = 0.0" for name in names)
    path.write_text(f"[{section}]\n{zeros}\n")
    with pytest.raises(ProfileError, match=f"{names[0]}.*at least one weight must exceed 0"):
        load_profile(path)
