"""Estimated damage against the true, and the score against tampering."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from degrade.damage.draw import draw_recipe
from degrade.damage.render import cut_photo, render, without
from degrade.profile import load_profile
from degrade.textures import Textures
from restore import Restorer, RestoreSettings
from restore.errors import RestoreError
from restore.report.faithfulness import Faithfulness, measure_faithfulness
from restore.report.page import describe
from restore.report.unexplained import Region
from train.damage.stages import NUM_KNOTS, Damage, redamage
from train.damage.twin import damage_of

Photo = NDArray[np.uint8]

# The tests run side by side; see conftest.
torch.set_num_threads(1)

SIDE_PX = 256


@cache
def photograph(name: str) -> Photo:
    """A square colour photograph of SIDE_PX."""
    if name == "blobs":
        coarse = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST)
    photo = getattr(skimage.data, name)()
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = photo[top : top + side, left : left + side]
    return cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)


def known_damage(*, blur_sigma_px: float = 1.2, grain_strength: float = 0.15) -> Damage:
    """An orthochromatic sepia print: flat, blurred, grainy, darker in its corners."""
    steps = torch.linspace(0, 1, NUM_KNOTS)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE_PX)] * 2, indexing="ij")
    field = np.random.default_rng(5).standard_normal((SIDE_PX, SIDE_PX), dtype=np.float32)
    field = cv2.GaussianBlur(field, (0, 0), 0.8)
    return replace(
        Damage.none(1, SIDE_PX, SIDE_PX),
        matrix=torch.tensor([0.1, 0.55, 0.35]).expand(1, 3, 3),
        sigma_px=torch.tensor([blur_sigma_px]),
        knots=(0.12 + 0.8 * steps**0.8).expand(1, 3, -1),
        fall_off=(0.15 * (x**2 + y**2))[None, None],
        grain=torch.from_numpy(field / field.std()).expand(1, 3, -1, -1),
        grain_strength=torch.tensor([grain_strength]),
        tone=torch.tensor([[[0.1, 0.05, 0.0], [0.58, 0.48, 0.36], [1.0, 0.95, 0.8]]]),
    )


def damage(photo: Photo, true: Damage) -> Photo:
    """Damage a photograph by the twin."""
    pixels = torch.from_numpy(photo.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    damaged = redamage(pixels, true)[0].numpy().transpose(1, 2, 0)
    return np.rint(damaged.clip(0, 1) * 255).astype(np.uint8)


def print_grain(clean: Photo, true: Damage, tones: NDArray[np.float32]) -> NDArray[np.float64]:
    """Deviation of the grain at tones of the print, from pairs with and without it."""
    even = replace(true, grain_strength=torch.zeros(1))
    luma = np.array([0.299, 0.587, 0.114]) / 255
    expected, grainy = damage(clean, even) @ luma, damage(clean, true) @ luma
    near = [np.abs(expected - tone) < 0.04 for tone in tones]
    return np.array([(grainy - expected)[here].std() for here in near])


def no_marks() -> Photo:
    return np.zeros((SIDE_PX, SIDE_PX), np.uint8)


@cache
def measured(name: str, tampering: str = "") -> Faithfulness:
    """What is found for a photograph, its damage and its (tampered) true restoration."""
    clean = photograph(name)
    restored = {"": lambda p: p, "object": paint_object, "face": shift_region}[tampering](clean)
    return measure_faithfulness(damage(clean, known_damage()), restored, no_marks())


OBJECT_BOX = (40, 150, 48, 44)  # left, top, width, height
FACE_BOX = (72, 36, 90, 90)


def paint_object(photo: Photo) -> Photo:
    """Paint a striped disc in."""
    painted = photo.copy()
    left, top, width, height = OBJECT_BOX
    centre, axes = (left + width // 2, top + height // 2), (width // 2, height // 2)
    cv2.ellipse(painted, centre, axes, 0, 0, 360, (210, 200, 180), -1)
    cv2.ellipse(painted, centre, (axes[0] // 2, axes[1] // 2), 0, 0, 360, (60, 30, 30), -1)
    return painted


def shift_region(photo: Photo) -> Photo:
    """Move a soft-edged region of the photograph by six pixels."""
    left, top, width, height = FACE_BOX
    share = np.zeros(photo.shape[:2], np.float32)
    centre, axes = (left + width // 2, top + height // 2), (width // 2 - 6, height // 2 - 6)
    cv2.ellipse(share, centre, axes, 0, 0, 360, 1, -1)
    share = cv2.GaussianBlur(share, (0, 0), 3)[..., None]
    return np.rint(photo + share * (np.roll(photo, 6, 1).astype(np.float32) - photo)).astype(
        np.uint8
    )


def overlaps(region: Region, box: tuple[int, int, int, int]) -> bool:
    """Whether the centre of a region lies in a box."""
    x, y = region.left_px + region.width_px / 2, region.top_px + region.height_px / 2
    return box[0] <= x <= box[0] + box[2] and box[1] <= y <= box[1] + box[3]


def true_print_curve(true: Damage) -> NDArray[np.float64]:
    """(3, NUM_KNOTS) as `DamageEstimate.print_curve` defines it."""
    rows = []
    for c in range(3):
        light = 1 - float(true.fall_off.mean())
        if float(true.fall_off_white[0]) > 0:
            exposed = 1 - light * (1 - true.knots[0, c].numpy())
        else:
            exposed = light * true.knots[0, c].numpy()
        toned = np.interp(exposed, [0, 0.5, 1], true.tone[0, :, c].numpy())
        fade, stain = (float((true.age * s[:, None, None, None]).mean()) for s in
                       (true.fade, true.stain))  # fmt: skip
        faded = toned + fade * (float(true.fade_colour[0, c]) - toned)
        rows.append(faded * (1 - stain * (1 - float(true.stain_colour[0, c]))))
    return np.array(rows)


def curve_error(found: Faithfulness, true: Damage, clean: Photo) -> NDArray[np.float64]:
    """Error of the estimated curves in 1/255, over the tones that the photograph has."""
    exposed = (clean.reshape(-1, 3) / 255) @ true.matrix[0].numpy().T
    steps = np.linspace(0, 1, NUM_KNOTS)
    error = np.abs(found.damage.print_curve() - true_print_curve(true)) * 255
    parts = []
    for c in range(3):
        low, high = np.percentile(exposed[:, c], [3, 97])
        parts.append(error[c][(steps >= low) & (steps <= high)])
    return np.concatenate(parts)


@pytest.mark.parametrize("name", ["astronaut", "blobs"])
def test_estimate_finds_the_twins_parameters(name: str) -> None:
    """Response, curve, blur and light come out as they went in."""
    found, true = measured(name), known_damage()
    estimate = found.damage
    assert estimate.is_monochrome
    assert np.abs(estimate.response[0] - true.matrix[0, 0].numpy()).max() < 0.1
    error = curve_error(found, true, photograph(name))
    assert error.mean() < 5
    assert error.max() < 12
    assert abs(estimate.blur_sigma_px - 1.2) < 0.2
    grey = np.full_like(photograph(name), 128)
    sheet = damage(grey, replace(true, grain_strength=torch.zeros(1)))
    assert sheet.max() - sheet[..., 0].min() > 35  # or there would be nothing to find
    assert np.abs(found.maps.plain * 255 - sheet).max() < 20
    assert np.abs(found.maps.plain * 255 - sheet).mean() < 7


@pytest.mark.parametrize("strength", [0.08, 0.25])
def test_estimate_follows_the_grain(strength: float) -> None:
    """The grain's deviation is found within 25 % at every tone, and its size."""
    clean, true = photograph("chelsea"), known_damage(grain_strength=strength)
    found = measure_faithfulness(damage(clean, true), clean, no_marks())
    tones = np.array([0.3, 0.45, 0.6], np.float32)
    assert found.grain.sigma(tones) == pytest.approx(print_grain(clean, true, tones), rel=0.25)
    assert abs(found.grain.size_px - 0.8) < 0.2


@pytest.mark.parametrize("blur_sigma_px", [0.0, 2.5])
def test_estimate_follows_the_blur(blur_sigma_px: float) -> None:
    """No blur is found where there is none, and a strong one to a quarter of a pixel."""
    clean = photograph("coffee")
    damaged = damage(clean, known_damage(blur_sigma_px=blur_sigma_px))
    found = measure_faithfulness(damaged, clean, no_marks())
    assert abs(found.damage.blur_sigma_px - blur_sigma_px) < (0.25 if blur_sigma_px else 0.4)


@pytest.mark.parametrize(
    ("profile", "name"),
    [("snapshot-1920s", "astronaut"), ("lightly-worn", "coffee"), ("kodachrome-faded", "chelsea")],
)
def test_estimate_finds_the_recipe_of_the_renderer(profile: str, name: str) -> None:
    """Photographs damaged by `degrade`, marks, scan and all: curve and faithfulness hold."""
    textures, photo = Textures.load(), photograph(name)
    recipe = draw_recipe(
        load_profile(profile), textures, seed=1, key=name, variant=0,
        source_size=(SIDE_PX, SIDE_PX), size_px=SIDE_PX,
    )  # fmt: skip
    recipe = without(recipe, frozenset({"frame", "halftone"}))
    clean, damaged, marks = render(cut_photo(photo, recipe), recipe, textures)
    found = measure_faithfulness(damaged, clean, marks)
    true = damage_of(recipe, textures)
    assert found.damage.is_monochrome == (profile != "kodachrome-faded")
    assert curve_error(found, true, clean).mean() < 8
    assert found.flagged_regions == ()
    assert found.score > 0.9


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_true_restoration_is_explained(name: str) -> None:
    """Nothing is flagged, and nearly every pixel lies within the grain."""
    found = measured(name)
    assert found.flagged_regions == ()
    assert found.unexplained_frac == 0
    assert found.score > 0.97
    assert found.within_3_sigma_frac > 0.97
    assert found.explained_variance_frac > 0.98


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
@pytest.mark.parametrize(("tampering", "box"), [("object", OBJECT_BOX), ("face", FACE_BOX)])
def test_tampering_is_flagged_where_it_is(
    name: str, tampering: str, box: tuple[int, int, int, int]
) -> None:
    """A painted-in object and a region moved by six pixels are found, in their place."""
    found = measured(name, tampering)
    assert found.flagged_regions
    assert all(overlaps(region, box) for region in found.flagged_regions)
    assert 0.2 < found.unexplained_frac * SIDE_PX**2 / (box[2] * box[3]) < 2
    assert found.score < measured(name).score - 0.01


def test_default_model_is_explained_until_it_is_tampered_with() -> None:
    """What the shipped weights make of a photograph isn't flagged; painted over, it is."""
    damaged = damage(photograph("astronaut"), known_damage(grain_strength=0.1))
    restored, marks = Restorer.load(device="cpu").restore(damaged)
    honest = measure_faithfulness(damaged, restored, marks)
    assert honest.flagged_regions == ()
    assert honest.score > 0.97
    forged = measure_faithfulness(damaged, paint_object(restored), marks)
    assert any(overlaps(region, OBJECT_BOX) for region in forged.flagged_regions)


def test_marks_are_left_out_of_the_comparison() -> None:
    """A tear that was repaired is no flaw where the marks say so, and one where they don't."""
    clean = photograph("coffee")
    damaged, marks = damage(clean, known_damage()), no_marks()
    marks[60:72, 40:200] = 255
    damaged[marks > 0] = 245
    known = measure_faithfulness(damaged, clean, marks)
    assert known.flagged_regions == ()
    assert known.marks_frac == pytest.approx(12 * 160 / SIDE_PX**2)
    assert measure_faithfulness(damaged, clean, no_marks()).flagged_regions


def test_added_colour_is_told_from_colour_that_was_there() -> None:
    """Colours given to a sepia photograph count as invented; its own tint kept does not."""
    clean = photograph("coffee")
    sepia = damage(clean, known_damage(blur_sigma_px=0, grain_strength=0.05))
    assert measure_faithfulness(sepia, clean, no_marks()).colorized_frac > 0.3
    assert measure_faithfulness(sepia, sepia, no_marks()).colorized_frac < 0.01
    assert measure_faithfulness(clean, clean, no_marks()).colorized_frac < 0.01


def test_regions_are_in_pixels_of_the_photograph() -> None:
    """Reduced copies of a photograph ten times as large give boxes ten times as large."""
    clean = photograph("coffee")
    damaged = damage(clean, known_damage())
    size = (10 * SIDE_PX, 10 * SIDE_PX)
    large = measure_faithfulness(damaged, paint_object(clean), no_marks(), photo_size=size)
    small = measured("coffee", "object")
    for big, region in zip(large.flagged_regions, small.flagged_regions, strict=True):
        assert big[:4] == tuple(10 * v for v in region[:4])
    blur_px = large.to_json()["damage"]["blur_sigma_px"]
    assert blur_px == pytest.approx(10 * small.to_json()["damage"]["blur_sigma_px"], rel=0.01)


def test_depth_and_grey_make_no_difference() -> None:
    """Grey arrays of 16 bits measure as the same picture in RGB of 8 bits."""
    clean = photograph("coffee")
    grey = damage(clean, known_damage())[..., 1]
    expected = measure_faithfulness(np.dstack([grey] * 3), clean, no_marks())
    deep = measure_faithfulness(
        grey.astype(np.uint16) * 257, clean.astype(np.uint16) * 257, no_marks()
    )
    assert deep.to_json() == expected.to_json()


def test_photographs_that_do_not_fit_are_refused() -> None:
    """Different sizes and tiny photographs are errors."""
    clean = photograph("coffee")
    with pytest.raises(RestoreError, match="differ in size"):
        measure_faithfulness(clean, clean[:-1], no_marks())
    with pytest.raises(RestoreError, match="too small"):
        measure_faithfulness(clean[:20], clean[:20], no_marks()[:20])


def test_even_photographs_are_measured() -> None:
    """A blank sheet, all of it marks or none, gives finite numbers and no flags."""
    blank = np.full((64, 48, 3), 200, np.uint8)
    for marks in (np.zeros((64, 48), np.uint8), np.full((64, 48), 255, np.uint8)):
        found = measure_faithfulness(blank, blank, marks)
        assert found.flagged_regions == ()
        json.dumps(found.to_json(), allow_nan=False)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_report_is_self_contained_and_accessible() -> None:
    """No script, no address; every picture lies within and has a text; names are escaped."""
    text = describe(
        measured("coffee", "object"), photo="<b>&.jpg", restored="r.jpg", model="m", version="1"
    )
    page = _Page()
    page.feed(text)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 7
    assert all(str(a["src"]).startswith("data:image/jpeg;base64,") and a["alt"] for a in images)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://|//[a-z]", re.sub(r'"data:[^"]*"', "", text))
    assert "&lt;b&gt;&amp;.jpg" in text
    assert "<b>&.jpg" not in text
    assert "explained by the restoration" in text
    assert "The restoration explains the photograph" in describe(
        measured("coffee"), photo="a.jpg", restored="r.jpg", model="m", version="1"
    )


def test_photograph_left_alone_explains_itself() -> None:
    """A photograph that was left alone explains itself."""
    photo = photograph("chelsea")
    restored = Restorer.load(device="cpu").restore(photo, RestoreSettings(strength=0)).restored
    found = measure_faithfulness(photo, restored, no_marks())
    assert found.score == 1
    assert found.within_3_sigma_frac > 0.999
