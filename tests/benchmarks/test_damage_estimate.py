"""The estimate of damage against the recipes that the damage was drawn from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks.picture.damage_estimate import (
    compare,
    drawn_case,
    enlarge,
    known_case,
    sample_photo,
)
from degrade.textures import Textures
from restore.report.damage_again import damage_evenly
from restore.report.estimate import DamageEstimate
from restore.report.faithfulness import measure_faithfulness
from restore.report.fit.model import Model
from restore.report.fit.solve import Doubles, Step, minimise
from restore.report.fit.start import start_values
from restore.report.fit.unknowns import Unknowns
from train.damage.stages import Damage, redamage

torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["astronaut", "blobs", "chelsea", "coffee"])
def test_every_quantity_of_a_known_damage_is_found(name: str) -> None:
    """Response, curve, tint, light, fading and blur, each within its tolerance."""
    row = compare(known_case(name), measure_faithfulness)
    assert row["response_max"] < 0.06
    assert row["curve_mean_levels"] < 3
    assert row["curve_max_levels"] < 6
    assert row["tint_mean_levels"] < 0.5
    assert row["light_mean_frac"] < 0.02
    assert row["fade_mean_frac"] < 0.01
    assert row["sheet_mean_levels"] < 3
    assert row["blur_px"] < 0.1


@pytest.mark.parametrize("blur_sigma_px", [0.0, 0.6, 2.5])
def test_blur_is_found_within_a_tenth(blur_sigma_px: float) -> None:
    """A sharp photograph is found to be sharp, through grain and all."""
    row = compare(known_case("coffee", blur_sigma_px=blur_sigma_px), measure_faithfulness)
    assert row["blur_px"] < 0.1 * max(blur_sigma_px, 0.1)


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ("badly-damaged", "astronaut"),
        ("family-album", "chelsea"),
        ("phone-copy", "chelsea"),
        ("press-print", "coffee"),
        ("snapshot-1920s", "astronaut"),
    ],
)
def test_every_quantity_of_a_drawn_recipe_is_found(profile: str, name: str) -> None:
    """The same of recipes with marks, ageing and scan, which the estimate knows only in part."""
    case = drawn_case(sample_photo(name), profile, name, "drawn", Textures.load())
    row = compare(case, measure_faithfulness)
    assert row["response_max"] < 0.1
    assert row["curve_mean_levels"] < 4
    assert row["curve_max_levels"] < 10
    assert row["tint_mean_levels"] < 1
    assert row.get("light_mean_frac", 0) < 0.04
    assert row["fade_mean_frac"] < 0.12
    assert row["sheet_mean_levels"] < 5


@pytest.mark.parametrize("profile", ["kodachrome-faded", "polaroid"])
def test_curves_of_faded_colours_are_found(profile: str) -> None:
    """Colour photographs have a response and a curve for each channel."""
    case = drawn_case(sample_photo("astronaut"), profile, "astronaut", "drawn", Textures.load())
    row = compare(case, measure_faithfulness)
    assert not row["is_monochrome"]
    assert row["response_max"] < 0.12
    assert row["curve_mean_levels"] < 4
    assert row["tint_mean_levels"] < 1
    assert row["sheet_mean_levels"] < 4


def test_fading_is_found_where_it_is() -> None:
    """A print that was bleached towards yellow on its right: how far, and to which colour."""
    case = known_case("astronaut")
    side = case.clean.shape[0]
    slope = torch.linspace(-0.2, 0.5, side).clamp(min=0).expand(1, 1, side, side)
    true = replace(
        case.true,
        fall_off=torch.zeros(1, 1, side, side),
        age=slope,
        fade=torch.ones(1),
        fade_colour=torch.tensor([[0.9, 0.85, 0.6]]),
    )
    pixels = torch.from_numpy(case.clean.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    damaged = np.rint(redamage(pixels, true)[0].numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
    found = measure_faithfulness(damaged, case.clean, case.marks).damage
    off = enlarge(found.fade, (side, side)) - slope[0, 0].numpy()
    assert np.abs(off).mean() < 0.04
    # A little more of a paler colour looks much the same.
    assert np.abs(found.fade_color - [0.9, 0.85, 0.6]).max() < 0.15
    assert found.light.min() > 0.85


def test_what_no_damage_explains_does_not_bend_the_estimate() -> None:
    """An eighth of the print covered by unmarked white and black leaves curve and light be."""
    case = known_case("chelsea")
    covered = case.damaged.copy()
    covered[30:90, 20:150] = 250
    covered[180:200, 100:200] = 3
    row = compare(case._replace(damaged=covered), measure_faithfulness)
    assert row["num_flagged"] >= 1
    assert row["curve_mean_levels"] < 4
    assert row["light_mean_frac"] < 0.04


def an_estimate(*, is_monochrome: bool) -> DamageEstimate:
    """Some of every damage."""
    steps = np.linspace(0, 1, 33, dtype=np.float32)
    curves = np.stack([0.1 + 0.8 * steps**power for power in (0.8, 1.0, 1.2)])
    response = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.0, 0.2, 0.8]], np.float32)
    tint = np.array([[0.08, 0.02, 0], [0.55, 0.5, 0.4], [1, 0.95, 0.85]], np.float32)
    places = np.linspace(0, 1, 6, dtype=np.float32)
    return DamageEstimate(
        is_monochrome=is_monochrome,
        response=response[[1, 1, 1]] if is_monochrome else response,
        curves=curves[[1, 1, 1]] if is_monochrome else curves,
        tint=tint,
        light=0.7 + 0.3 * np.outer(places, 1 - places**2),
        fade=0.4 * np.outer(1 - places, places),
        fade_color=np.array([0.9, 0.8, 0.6], np.float32),
        blur_sigma_px=1.7,
    )


@pytest.mark.parametrize("is_monochrome", [True, False])
def test_damage_again_follows_the_twin(is_monochrome: bool) -> None:
    """NumPy's stages and those that training differentiates agree within half a level."""
    photo = sample_photo("coffee")[:200].astype(np.float32) / 255
    estimate = an_estimate(is_monochrome=is_monochrome)
    height, width = photo.shape[:2]
    twin = replace(
        Damage.none(1, 1, 1),  # fields of one point serve every point
        matrix=torch.from_numpy(estimate.response)[None],
        knots=torch.from_numpy(estimate.curves.astype(np.float32))[None],
        tone=torch.from_numpy(estimate.tint)[None],
        fall_off=1 - torch.from_numpy(enlarge(estimate.light, (height, width))).float()[None, None],
        age=torch.from_numpy(enlarge(estimate.fade, (height, width))).float()[None, None],
        fade=torch.ones(1),
        fade_colour=torch.from_numpy(estimate.fade_color)[None],
        sigma_px=torch.tensor([estimate.blur_sigma_px]),
    )
    pixels = torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))[None]
    expected = redamage(pixels, twin)[0].numpy().transpose(1, 2, 0)
    printed = damage_evenly(photo, estimate)[1]
    assert np.abs(printed.clip(0, 1) - expected).max() * 255 < 0.5


@pytest.mark.parametrize("is_monochrome", [True, False])
def test_slope_of_the_fit_is_that_of_its_cost(is_monochrome: bool) -> None:
    """Finite differences of the cost, unknown by unknown."""
    case = known_case("astronaut")
    before, after = (
        cv2.resize(photo, (24, 20), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        for photo in (case.clean, case.damaged)
    )
    weight = np.ones((20, 24), np.float32)
    at = Unknowns(is_monochrome)
    model = Model(at, before, after, weight)
    rng = np.random.default_rng(0)
    values = start_values(at, before, after, weight) + 0.02 * rng.random(at.num)
    slope, step = 2 * model.expand(values).slope, 2e-3
    for i in range(at.num):
        moved = np.eye(at.num)[i] * step
        change = (model.cost(values + moved) - model.cost(values - moved)) / (2 * step)
        # Single precision, and pixels that pass a corner of a curve on the way.
        assert slope[i] == pytest.approx(change, rel=0.1, abs=3e-3)


class _Bowl:
    """A parabola whose lowest point lies beyond a bound."""

    def __init__(self) -> None:
        self.low, self.high = np.array([0.0, -9.0]), np.array([9.0, 9.0])
        self._normal = np.array([[2.0, 1.0], [1.0, 3.0]])
        self._centre = np.array([-1.0, 2.0])

    def cost(self, values: Doubles) -> float:
        away = values - self._centre
        return float(away @ self._normal @ away) + 1

    def expand(self, values: Doubles) -> Step:
        return Step(self.cost(values), self._normal @ (values - self._centre), self._normal)


def test_least_squares_stops_at_a_bound() -> None:
    """The best point within the bounds is found, not the best point cut off at them."""
    found = minimise(_Bowl(), np.array([5.0, 5.0]), 50)
    assert found == pytest.approx([0, 2 - 1 / 3], abs=0.02)


def test_estimate_is_the_same_every_time() -> None:
    """Nothing of it is drawn."""
    case = known_case("coffee")
    first, second = (
        measure_faithfulness(case.damaged, case.clean, case.marks).to_json() for _ in range(2)
    )
    assert first == second


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "fastai", "scipy", "degrade", "train"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from restore.report.faithfulness import measure_faithfulness
from restore.report.page import write_report
y, x = np.mgrid[0:96, 0:128] / 128
clean = np.rint(255 * np.stack([x, 0.5 + 0.4 * np.sin(9 * x + 5 * y), y], axis=-1)).astype(np.uint8)
damaged = np.rint(clean * 0.7 + 40).astype(np.uint8)
found = measure_faithfulness(damaged, clean, np.zeros((96, 128), np.uint8))
folder = Path(sys.argv[1])
write_report(
    found, (folder / "a.html", folder / "a.json"), photo=Path("a.png"), restored=Path("b.png"),
    mode=0o644, model="m", version="1",
)
print(round(found.score, 3))
"""


def test_report_needs_no_torch(tmp_path: Path) -> None:
    """Measuring and writing run where torch, SciPy and the other packages can't be imported."""
    done: Any = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.95
    assert (tmp_path / "a.html").stat().st_size > 10_000
    assert (tmp_path / "a.json").read_text().startswith("{")
