"""The renderer: shapes, identity, replay, scaling, and physics against the published figures."""

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from degrade.damage.crop import Crop, resize_photo
from degrade.damage.curve import Curve
from degrade.damage.draw import draw_recipe
from degrade.damage.emulsion import Emulsion, respond
from degrade.damage.frame import Frame, frame_fields
from degrade.damage.grain import GRAIN_SIGMA_TABLE, Grain, add_grain, grain_field
from degrade.damage.lens import Lens, blur_lens
from degrade.damage.marks.layers import apply_marks, mark_layers
from degrade.damage.marks.records import Mark
from degrade.damage.render import STAGES, cut_photo, render
from degrade.damage.scan import Scan, add_noise, sharpen
from degrade.damage.vignette import Vignette, vignette_field
from degrade.errors import TextureError
from degrade.profile import list_profiles, load_profile
from degrade.recipe import Recipe, decode_recipe, encode_recipe
from degrade.textures import Textures


@pytest.fixture(scope="module")
def textures():
    return Textures.load()


def paint_scene(height: int = 96, width: int = 96) -> np.ndarray:
    """A colourful photograph painted by code: gradients, discs, an edge."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    photo = np.stack([x / width, y / height, 1 - x / width], axis=-1)
    photo[(x - width / 2) ** 2 + (y - height / 3) ** 2 < (height / 5) ** 2] = (0.9, 0.7, 0.6)
    photo[y > 0.8 * height] *= 0.3
    return np.rint(photo * 255).astype(np.uint8)


def plain_recipe(**stages) -> Recipe:
    """A recipe without damage but for the given stages, at 96 px."""
    return Recipe(
        seed=0, key="k", variant=0, profile="test", width_px=96, height_px=96, crop=Crop(), **stages
    )


def test_render_without_stages_is_the_identity(textures):
    """A recipe without stages leaves every pixel as it was, and finds no marks."""
    photo = paint_scene()
    clean, damaged, marks = render(photo, plain_recipe(), textures)
    assert np.array_equal(clean, photo)
    assert np.array_equal(damaged, photo)
    assert not marks.any()


@pytest.mark.parametrize("profile", sorted(list_profiles()))
def test_render_skipping_every_stage_is_the_identity(profile, textures):
    """Switching all stages off undoes any recipe of any profile."""
    photo = paint_scene()
    recipe = draw_recipe(
        load_profile(profile), textures, seed=1, key="a", variant=0, source_size=(96, 96),
        size_px=96,
    )  # fmt: skip
    clean, damaged, marks = render(photo, recipe, textures, skip=frozenset(STAGES))
    assert np.array_equal(clean, photo)
    assert np.array_equal(damaged, photo)
    assert not marks.any()


def test_render_names_an_unknown_stage(textures):
    """A stage that does not exist is refused by name."""
    with pytest.raises(ValueError, match="blurr"):
        render(paint_scene(), plain_recipe(), textures, skip=frozenset({"blurr"}))


@settings(max_examples=40, deadline=None)
@given(
    profile=st.sampled_from(sorted(list_profiles())),
    seed=st.integers(0, 2**40),
    key=st.text(min_size=1, max_size=20),
    crop=st.sampled_from(["square", "whole"]),
)
def test_recipe_survives_json_and_replays_the_same_bytes(profile, seed, key, crop):
    """Any recipe read back from its JSON is equal and renders the same photograph."""
    textures = Textures.load()
    source = paint_scene(70, 110)
    recipe = draw_recipe(
        load_profile(profile), textures, seed=seed, key=key, variant=3, source_size=(110, 70),
        size_px=48, crop=crop,
    )  # fmt: skip
    again = decode_recipe(encode_recipe(recipe))
    assert again == recipe
    assert encode_recipe(again) == encode_recipe(recipe)
    photo = cut_photo(source, recipe)
    assert min(photo.shape[:2]) == 48
    first, second = render(photo, recipe, textures), render(photo, again, Textures.load())
    for a, b in zip(first, second, strict=True):
        assert a.dtype == np.uint8
        assert np.array_equal(a, b)
    assert first.damaged.shape == photo.shape
    assert first.marks.shape == photo.shape[:2]


def test_recipe_draws_depend_on_seed_key_and_variant(textures):
    """Another seed, key or variant gives another recipe; the same three the same one."""
    profile = load_profile("snapshot-1920s")

    def recipe(seed=1, key="a", variant=0):
        return draw_recipe(
            profile, textures, seed=seed, key=key, variant=variant, source_size=(96, 96),
            size_px=96,
        )  # fmt: skip

    assert recipe() == recipe()
    others = [recipe(seed=2), recipe(key="b"), recipe(variant=1)]
    for other in others:
        assert msgspec.structs.asdict(other)["curve"] != msgspec.structs.asdict(recipe())["curve"]


def test_recipe_renders_at_twice_the_size_the_same_damage(textures):
    """At another size a recipe gives the same picture, only finer."""
    recipe = draw_recipe(
        load_profile("cabinet-card"), textures, seed=5, key="b", variant=0, source_size=(192, 192),
        size_px=96,
    )  # fmt: skip
    # Grain and sensor noise are defined per pixel, so they are left out of the comparison.
    skip = frozenset({"grain", "halftone", "scan"})
    small = render(paint_scene(96, 96), recipe, textures, skip=skip).damaged
    large = render(paint_scene(192, 192), recipe, textures, skip=skip).damaged
    halved = large.reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - small).mean() < 6


def test_undamaged_share_of_the_default_profile_is_five_to_ten_percent(textures):
    """Between 5 % and 10 % of the default pairs carry no damage: do no harm is learnt too."""
    profile = load_profile("family-album")
    untouched = 0
    for i in range(600):
        recipe = draw_recipe(
            profile, textures, seed=9, key=str(i), variant=0, source_size=(64, 64), size_px=64
        )
        stages = (recipe.lens, recipe.emulsion, recipe.curve, recipe.grain, recipe.ageing)
        untouched += all(stage is None for stage in stages) and not recipe.marks
    assert 0.05 <= untouched / 600 <= 0.10


@pytest.mark.parametrize("grey", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_grain_deviation_follows_the_boolean_models_table(grey, textures):
    """Measured on flat fields, the grain's deviation is within 15 % of the table."""
    grain = Grain(texture="grain/grain-02.png", x_px=11, y_px=7, strength_frac=0.3)
    field = grain_field(grain, textures, 256, 256)
    flat = np.full((256, 256), grey, np.float32)
    measured = float((add_grain(flat, grain, field) - flat).std())
    expected = 0.3 * np.interp(grey * 255 / 16, range(17), GRAIN_SIGMA_TABLE)
    assert measured == pytest.approx(expected, rel=0.15)


def test_grain_spectrum_follows_its_spread(textures):
    """Neighbouring pixels of a coarser grain are more alike."""
    alike = []
    for info in textures.of_kind("grain")[:8]:
        tile = textures.level(info.name).astype(np.float64) - 128
        alike.append(float((tile[:, 1:] * tile[:, :-1]).mean() / tile.var()))
    assert alike == sorted(alike)
    assert alike[-1] - alike[0] > 0.2


@pytest.mark.parametrize("side_px", [40, 64, 96, 128, 190])
def test_resized_photos_keep_their_light(side_px):
    """Enlarged, or shrunk a little or a lot, a photograph keeps its mean and place."""
    photo = cv2.GaussianBlur(paint_scene(96, 96), (9, 9), 2.0)
    resized = resize_photo(photo, side_px, side_px)
    assert resized.shape == (side_px, side_px, 3)
    assert np.abs(resized.mean(axis=(0, 1)) - photo.mean(axis=(0, 1))).max() < 1
    back = cv2.resize(resized, (96, 96), interpolation=cv2.INTER_LINEAR)
    assert np.abs(back.astype(int) - photo).mean() < 3


def test_lens_blur_has_the_stated_sigma():
    """A point blurred with sigma 2 px has a second moment of 4 px²."""
    photo = np.zeros((97, 97), np.uint16)
    photo[48, 48] = 65535
    x = np.arange(97) - 48
    weights = blur_lens(photo, Lens(sigma_px=2.0)).astype(float).sum(axis=0)
    assert float((weights * x**2).sum() / weights.sum()) == pytest.approx(4, rel=0.05)


def test_emulsions_see_colours_differently(textures):
    """A blue-sensitive plate renders red dark and blue light; panchromatic film does not."""
    photo = np.zeros((96, 96, 3), np.uint8)
    photo[:, :48, 0] = 255
    photo[:, 48:, 2] = 255

    def halves(row):
        emulsion = Emulsion(kind="x", matrix=(row, row, row))
        grey = render(photo, plain_recipe(emulsion=emulsion), textures).damaged
        return int(grey[0, 0, 0]), int(grey[0, -1, 0])

    assert halves((0.0, 0.1, 0.9)) == (0, 230)
    assert halves((0.3, 0.59, 0.11)) == (77, 28)


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_emulsions_respond_exactly(kind):
    """No sum is rounded on its way: the response is that of double precision."""
    photo = np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    row = (0.213, 0.684, 0.103)
    matrix = (row, row, row) if kind == "grey" else (row, (0.05, 0.9, 0.05), (0.3, 0.02, 0.68))
    weights = np.rint(np.array(matrix) * (257 * 256)) / 256
    expected = np.rint(photo @ weights.T).transpose(2, 0, 1)
    response = respond(photo, Emulsion(kind="x", matrix=matrix))
    assert np.array_equal(response, expected[0] if kind == "grey" else expected)


def test_scan_halo_is_exact_and_its_noise_as_strong_as_stated(textures):
    """Sharpening is what double precision gives; noise has its deviation and shifts no tone."""
    photo = paint_scene()
    blurred = cv2.GaussianBlur(photo, (7, 7), 1.0, borderType=cv2.BORDER_REFLECT_101)
    amount = round(0.7123 * 4096) / 4096
    halo = np.clip(np.rint(photo * (1 + amount) - blurred * amount), 0, 255)
    assert np.array_equal(sharpen(photo, 0.7123, 1.0), halo)
    scan = Scan(noise_frac=0.02, noise_texture="grain/grain-00.png")
    noisy = add_noise(np.full((96, 96, 3), 200, np.uint8), scan, textures)
    assert noisy.mean() == pytest.approx(200, abs=0.5)
    assert noisy.std() == pytest.approx(0.02 * 255, rel=0.1)


def test_curve_contrast_keeps_middle_grey_and_spreads_the_rest(textures):
    """Contrast 2 leaves ½ where it is, darkens below and lightens above."""
    ramp = np.repeat(np.arange(96, dtype=np.uint8)[None, :, None] * 2 + 32, 3, axis=2)
    ramp = np.repeat(ramp, 96, axis=0)
    out = render(ramp, plain_recipe(curve=Curve(contrast=2.0)), textures).damaged[0, :, 0]
    before = ramp[0, :, 0].astype(int)
    assert abs(int(out[48]) - 128) <= 1
    assert (out[:40] < before[:40]).all()
    assert (out[56:] > before[56:]).all()


def test_vignette_darkens_corners_by_the_stated_share():
    """The corner of a centred vignette of strength .4 loses .4, the centre nothing."""
    field = vignette_field(Vignette(radial_frac=0.4), 200, 200)
    assert float(field[100, 100]) == 0
    assert float(field[0, 0]) == pytest.approx(0.4, abs=0.02)


def test_original_vignette_composes_ramps_as_a_plus_b_minus_ab():
    """Where two ramps of strength a and b meet, the field is a + b − ab."""
    ramps = (20.0, 20.0, 0.0, 0.0)
    both = vignette_field(Vignette(ramps_px=ramps, ramp_frac=1.0), 64, 64)
    a, b = both[40, 5], both[8, 40]
    assert float(both[8, 5]) == pytest.approx(float(a + b - a * b), abs=1e-6)


def test_marks_are_semi_transparent_light_and_dark(textures):
    """A half-opaque mark moves the photograph half way to its ink, light or dark."""
    grey = np.full((96, 96, 3), 128, np.uint8)
    for ink, expected in ((1.0, 192), (0.0, 64)):
        mark = Mark(kind="corner", texture="masks/corner-03.png", box=(0.0, 0.0, 1.0, 1.0),
                    opacity_frac=0.5, ink=(ink, ink, ink))  # fmt: skip
        rendered = render(grey, plain_recipe(marks=(mark,)), textures)
        assert abs(int(rendered.damaged[1, 1, 0]) - expected) <= 1
        assert abs(int(rendered.marks[1, 1]) - 128) <= 1
        assert rendered.damaged[-1, -1, 0] == 128
        assert rendered.marks[-1, -1] == 0


@pytest.mark.parametrize(
    ("turns", "corner"), [(0, (0, 0)), (1, (-1, 0)), (2, (-1, -1)), (3, (0, -1))]
)
def test_missing_corners_turn_to_every_corner(turns, corner, textures):
    """A corner turned by quarters lands in the corner where it is placed."""
    box = {0: (0, 0, 0.5, 0.5), 1: (0, 0.5, 0.5, 1), 2: (0.5, 0.5, 1, 1), 3: (0.5, 0, 1, 0.5)}
    mark = Mark(kind="corner", texture="masks/corner-03.png", box=box[turns], quarter_turns=turns)
    marks = render(paint_scene(), plain_recipe(marks=(mark,)), textures).marks
    assert marks[corner] == 255
    assert marks[48, 48] == 0


def test_marks_lie_one_upon_another_and_touch_nothing_else(textures):
    """Two inks blend in their order wherever either lies; elsewhere the print stays as it was."""
    marks = tuple(
        Mark(kind="stain", texture=f"masks/stain-0{i}.png", box=(0.1 * i, 0.0, 0.6 + 0.2 * i, 0.7),
             opacity_frac=0.6, ink=ink, blend=blend)
        for i, (ink, blend) in enumerate([((0.2, 0.1, 0.0), "over"), ((0.9, 1.0, 0.8), "lighten")])
    )  # fmt: skip
    layers = mark_layers(marks, textures, 96, 96)
    image = np.random.default_rng(0).random((3, 96, 96)).astype(np.float32)
    under, over = (layer.opacity for layer in layers)
    expected = image + under * (np.array(marks[0].ink)[:, None, None] - image)
    expected = np.maximum(expected, over * np.array(marks[1].ink)[:, None, None])
    marked = image.copy()
    seen = apply_marks(marked, layers)
    assert np.abs(marked - expected).max() < 1e-6
    free = (under == 0) & (over == 0)
    assert free.any()
    assert not seen[free].any()
    assert seen[(under > 0.2) & (over > 0.2)].any()


def test_marks_that_cannot_be_seen_are_no_marks(textures):
    """White ink on white paper leaves the mask empty; on grey it is found."""
    mark = Mark(kind="corner", texture="masks/corner-03.png", box=(0.0, 0.0, 1.0, 1.0))
    for grey, seen in ((255, False), (128, True)):
        photo = np.full((96, 96, 3), grey, np.uint8)
        assert render(photo, plain_recipe(marks=(mark,)), textures).marks.any() == seen


def test_marks_lie_in_the_stated_order(textures):
    """Stains below dust, dust below foxing, what was lost on top; in every recipe."""
    profile = load_profile("badly-damaged")
    layers = [("stain", "watermark"), ("dust", "scratch"), ("foxing",), ("crack", "peel", "tear")]
    seen = set()
    for seed in range(80):
        recipe = draw_recipe(
            profile, textures, seed=seed, key="a", variant=0, source_size=(64, 64), size_px=64
        )
        heights = [i for m in recipe.marks for i, kinds in enumerate(layers) if m.kind in kinds]
        assert heights == sorted(heights)
        seen |= set(heights)
    assert seen == {0, 1, 2, 3}


def test_scan_loses_the_same_detail_at_four_times_the_size(textures):
    """Twenty waves keep a fifth of their contrast, however many pixels they have."""
    recipe = plain_recipe(scan=Scan(resample_frac=0.25))
    kept = []
    for size in (96, 384):
        wave = np.sin(np.arange(size) * (2 * np.pi * 20 / size))
        photo = np.rint(127.5 + 100 * wave)[None, :, None].repeat(size, 0).repeat(3, 2)
        damaged = render(photo.astype(np.uint8), recipe, textures)[1]
        kept.append(damaged[size // 2, :, 0].std() / photo[0, :, 0].std())
    assert kept[0] < 0.3
    assert kept[1] == pytest.approx(kept[0], abs=0.06)


def test_another_texture_of_the_same_name_is_refused(textures):
    """A recipe names the digests of its textures."""
    info = textures.of_kind("grain")[0]
    grain = Grain(texture=info.name, x_px=0, y_px=0, strength_frac=0.1)
    recipe = plain_recipe(grain=grain, textures={info.name: info.sha256[:16]})
    render(paint_scene(), recipe, textures)
    other = msgspec.structs.replace(recipe, textures={info.name: "0" * 16})
    with pytest.raises(TextureError, match=f"{info.name} isn't the texture"):
        render(paint_scene(), other, textures)
    render(paint_scene(), other, textures, skip=frozenset({"grain"}))


def test_mix_of_a_mix_leaves_as_many_undamaged(textures):
    """What a part leaves undamaged stays so in a mix of it."""
    album = load_profile("family-album")
    outer = msgspec.structs.replace(
        album, undamaged_prob=0.0, mix={"family-album": 1.0}, parts={"family-album": album}
    )
    undamaged = [
        draw_recipe(
            outer, textures, seed=0, key=str(i), variant=0, source_size=(96, 96), size_px=96
        ).emulsion is None
        for i in range(300)
    ]  # fmt: skip
    assert 0.04 < np.mean(undamaged) < 0.11


def test_large_defocus_keeps_white_white():
    """Its disc has more pixels than a sum of 32 bits holds."""
    photo = np.full((700, 700), 65535, np.uint16)
    assert (blur_lens(photo, Lens(defocus_radius_px=160.0)) == 65535).all()


def test_oval_mount_wider_than_its_print_hides_it(textures):
    """Where both sides meet there is no picture left, and nothing that isn't a number."""
    frame = Frame(
        kind="mount", left_px=50, top_px=50, right_px=60, bottom_px=46, oval=True, paper=(1, 1, 1)
    )  # fmt: skip
    picture = frame_fields(frame, textures, 96, 96).picture
    assert picture.mean() < 0.01


@pytest.mark.parametrize(
    ("name", "value"), [("format_version", 2), ("width_px", 0), ("crop", {"left_frac": -1})]
)
def test_recipes_that_cannot_be_are_refused(name, value):
    """Of another version, of no size, or outside the photograph: the error names the field."""
    recipe = msgspec.json.decode(encode_recipe(plain_recipe()))
    with pytest.raises(msgspec.ValidationError, match=name):
        decode_recipe(msgspec.json.encode(recipe | {name: value}))
