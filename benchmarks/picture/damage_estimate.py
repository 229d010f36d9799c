"""How near the report's estimate of damage comes to the recipe that the damage was drawn from.

Photographs are damaged by recipes of `degrade` (frame and printing screen left out, as the estimate
has neither) and by one known damage, and given to the report together with the clean photograph.

    python -m benchmarks.picture.damage_estimate PHOTOS -o benchmarks/results/damage-estimate.json

Errors are means over each group of photographs: of the response the greatest weight's, of curve,
tint and even grey sheets in levels of 255, of light and fading in fractions of the whole.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import cv2
import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

from benchmarks.shared.large import read_photo
from benchmarks.shared.machine import describe_machine
from degrade.damage.curve import NUM_KNOTS
from degrade.damage.draw import draw_recipe
from degrade.damage.lens import Lens
from degrade.damage.render import cut_photo, render, without
from degrade.profile import list_profiles, load_profile
from degrade.textures import Textures
from restore.report.faithfulness import Faithfulness, measure_faithfulness
from train.damage.stages import Damage, redamage
from train.damage.twin import damage_of

Photo = NDArray[np.uint8]
Measure = Callable[..., Any]

SIDE_PX = 256
SHEETS = (0.25, 0.5, 0.75)
"""Greys of the even sheets that the true and the estimated damage are applied to."""
LUMA = np.array([0.299, 0.587, 0.114])


class Case(NamedTuple):
    """A photograph of known damage.

    Attributes:
        name: Of photograph and damage.
        group: Which of the tables it belongs to.
        clean: (H, W, 3).
        damaged: (H, W, 3).
        marks: (H, W).
        true: What was done, all but the scan.
        blur_sigma_px: Deviation of the whole lens blur along one axis; NaN where scan or copy blur
            or sharpen, too.
    """

    name: str
    group: str
    clean: Photo
    damaged: Photo
    marks: Photo
    true: Damage
    blur_sigma_px: float


def sample_photo(name: str) -> Photo:
    """A square photograph of scikit-image, or coloured squares, of SIDE_PX."""
    if name == "blobs":
        coarse = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return _resize(coarse, cv2.INTER_NEAREST)
    photo = getattr(skimage.data, name)()
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = photo[top : top + side, left : left + side]
    return _resize(square, cv2.INTER_AREA)


def _resize(photo: Photo, interpolation: int) -> Photo:
    resized = cv2.resize(photo, (SIDE_PX, SIDE_PX), interpolation=interpolation)
    return np.asarray(resized, np.uint8)


def known_case(name: str, blur_sigma_px: float = 1.2, grain_strength: float = 0.15) -> Case:
    """An orthochromatic sepia print: flat, blurred, grainy, darker in its corners."""
    steps = torch.linspace(0, 1, NUM_KNOTS)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE_PX)] * 2, indexing="ij")
    field = np.random.default_rng(5).standard_normal((SIDE_PX, SIDE_PX), dtype=np.float32)
    grain = cv2.GaussianBlur(field, (0, 0), 0.8)
    true = replace(
        Damage.none(1, SIDE_PX, SIDE_PX),
        matrix=torch.tensor([0.1, 0.55, 0.35]).expand(1, 3, 3),
        sigma_px=torch.tensor([blur_sigma_px]),
        knots=(0.12 + 0.8 * steps**0.8).expand(1, 3, -1),
        fall_off=(0.15 * (x**2 + y**2))[None, None],
        grain=torch.from_numpy(grain / grain.std()).expand(1, 3, -1, -1),
        grain_strength=torch.tensor([grain_strength]),
        tone=torch.tensor([[[0.1, 0.05, 0.0], [0.58, 0.48, 0.36], [1.0, 0.95, 0.8]]]),
    )
    clean = sample_photo(name)
    pixels = torch.from_numpy(clean.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    damaged = redamage(pixels, true)[0].numpy().transpose(1, 2, 0)
    return Case(
        f"{name}, blur {blur_sigma_px}, grain {grain_strength}", "known", clean,
        np.rint(damaged.clip(0, 1) * 255).astype(np.uint8), np.zeros(clean.shape[:2], np.uint8),
        true, blur_sigma_px,
    )  # fmt: skip


def drawn_case(photo: Photo, profile: str, key: str, group: str, textures: Textures) -> Case:
    """A photograph damaged by a recipe of a profile, scan and all."""
    height, width = photo.shape[:2]
    recipe = draw_recipe(
        load_profile(profile), textures, seed=1, key=key, variant=0,
        source_size=(width, height), size_px=min(height, width),
    )  # fmt: skip
    recipe = without(recipe, frozenset({"frame", "halftone"}))
    clean, damaged, marks = render(cut_photo(photo, recipe), recipe, textures)
    lens = recipe.lens or Lens()
    variance = lens.sigma_px**2 + lens.defocus_radius_px**2 / 4 + lens.motion_length_px**2 / 24
    scan = recipe.scan
    known = scan.resample_frac == 1 and scan.sharpen_amount == 0 and recipe.copy is None
    return Case(
        f"{key}, {profile}", group, clean, damaged, marks, damage_of(recipe, textures),
        variance**0.5 if known else math.nan,
    )  # fmt: skip


def iterate_cases(folder: Path, num: int, seed: int) -> Iterator[Case]:
    """Those of the tests, then photographs of a folder, profile after profile."""
    for name in ("astronaut", "blobs", "chelsea", "coffee"):
        yield known_case(name)
    for strength in (0.08, 0.25):
        yield known_case("chelsea", grain_strength=strength)
    for blur_sigma_px in (0.0, 2.5):
        yield known_case("coffee", blur_sigma_px=blur_sigma_px)
    textures = Textures.load()
    names = [name for name in sorted(list_profiles()) if name != "original-2019"]
    for i, profile in enumerate(names):
        name = ("astronaut", "coffee", "chelsea")[i % 3]
        yield drawn_case(sample_photo(name), profile, name, "drawn", textures)
    paths = sorted(p for p in folder.iterdir() if p.suffix in {".webp", ".jpg", ".png"})
    chosen = np.random.default_rng(seed).choice(len(paths), num, replace=False)
    for i, index in enumerate(chosen):
        photo = read_photo(paths[index]).photo
        profile = names[i % len(names)]
        case = drawn_case(photo, profile, paths[index].stem, "photographs", textures)
        yield case._replace(name=f"photograph {i + 1}, {profile}")


def true_print_curve(true: Damage) -> NDArray[np.float64]:
    """(3, NUM_KNOTS) as `DamageEstimate.print_curve` defines it: means of even sheets."""
    greys = np.linspace(0, 1, NUM_KNOTS)
    return np.stack([sheet(true, float(grey)).mean((0, 1)) for grey in greys], axis=1)


def sheet(true: Damage, grey: float) -> NDArray[np.float64]:
    """(H, W, 3) what an even sheet becomes, without grain and marks."""
    even = replace(
        true,
        grain_strength=torch.zeros(1), grain_product=torch.zeros(1), sigma_px=torch.zeros(1),
        kernels={}, opacity=torch.zeros_like(true.opacity), ink=torch.zeros_like(true.ink),
        brighter=torch.zeros_like(true.brighter),
    )  # fmt: skip
    pixels = torch.full((1, 3, *true.age.shape[-2:]), grey)
    return redamage(pixels, even)[0].numpy().transpose(1, 2, 0).astype(np.float64)


def enlarge(grid: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(n, n) at corners to (H, W), smoothly."""
    field = torch.from_numpy(np.ascontiguousarray(grid))[None, None]
    grown = torch.nn.functional.interpolate(
        field, size=shape[:2], mode="bicubic", align_corners=True
    )
    return np.asarray(grown[0, 0].numpy(), np.float64)


def estimated_sheet(found: Any, grey: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The same by the estimate, written out anew so that it doesn't lean on what is measured."""
    damage = found.damage
    light, fade = enlarge(damage.light, shape), enlarge(damage.fade, shape).clip(0, 1)
    planes = []
    for c in range(3):
        exposed = np.interp(grey * damage.response[c].sum(), np.linspace(0, 1, NUM_KNOTS),
                            damage.curves[c])  # fmt: skip
        toned = np.interp((exposed * light).clip(0, 1), [0, 0.5, 1], damage.tint[:, c])
        planes.append(toned + fade * (damage.fade_color[c] - toned))
    return np.stack(planes, axis=-1)


def compare(case: Case, measure: Measure) -> dict[str, Any]:
    """One row: errors of the estimate, the report's figures, seconds of processor time."""
    start = time.process_time()
    found: Faithfulness = measure(case.damaged, case.clean, case.marks)
    seconds = time.process_time() - start
    true, estimate = case.true, found.damage
    exposed = (case.clean.reshape(-1, 3) / 255) @ true.matrix[0].numpy().T
    steps = np.linspace(0, 1, NUM_KNOTS)
    ours, theirs = estimate.print_curve(), true_print_curve(true)
    seen = np.stack([(steps >= low) & (steps <= high)
                     for low, high in np.percentile(exposed, [3, 97], axis=0).T])  # fmt: skip
    curve_off = np.abs(ours - theirs)[seen] * 255
    colour_off = np.abs((ours - LUMA @ ours) - (theirs - LUMA @ theirs))[seen] * 255
    shape = case.clean.shape[:2]
    row: dict[str, Any] = {
        "name": case.name,
        "group": case.group,
        "is_monochrome": estimate.is_monochrome,
        "response_max": float(np.abs(estimate.response - true.matrix[0].numpy()).max()),
        "curve_mean_levels": float(curve_off.mean()),
        "curve_max_levels": float(curve_off.max()),
        "tint_mean_levels": float(colour_off.mean()),
    }
    if float(true.fall_off_white[0]) == 0:
        light = 1 - true.fall_off[0, 0].numpy()
        light = np.broadcast_to(light, shape) / light.mean()
        mine = enlarge(estimate.light, shape)
        row["light_mean_frac"] = float(np.abs(mine / mine.mean() - light).mean())
    fade = np.broadcast_to((true.age * true.fade[0])[0, 0].numpy(), shape)
    row["fade_mean_frac"] = float(np.abs(enlarge(estimate.fade, shape).clip(0, 1) - fade).mean())
    low, high = np.percentile(exposed, [3, 97])
    greys = [grey for grey in SHEETS if low <= grey <= high]
    off = [np.abs(sheet(true, g) - estimated_sheet(found, g, shape)).mean() for g in greys]
    if off:
        row["sheet_mean_levels"] = 255 * float(np.mean(off))
    if not math.isnan(case.blur_sigma_px):
        blur_sigma_px = estimate.blur_sigma_px / found.analysed_scale
        row["blur_px"] = abs(blur_sigma_px - case.blur_sigma_px)
    return row | {
        "score": found.score,
        "explained_variance_frac": found.explained_variance_frac,
        "within_3_sigma_frac": found.within_3_sigma_frac,
        "num_flagged": len(found.flagged_regions),
        "cpu_seconds": seconds,
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means over each group, of the numbers that a row has."""
    groups = dict.fromkeys(row["group"] for row in rows)
    names = dict.fromkeys(
        name for row in rows for name, value in row.items() if isinstance(value, float | int)
    )
    return {
        group: {
            name: round(float(np.mean(values)), 4)
            for name in names
            if (values := [r[name] for r in rows if r["group"] == group and name in r])
        }
        for group in groups
    }  # fmt: skip


def _shorten(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--num", default=12, show_default=True, help="How many photographs of the folder.")
@click.option("--seed", default=11, show_default=True)
def main(photos: Path, output: Path, num: int, seed: int) -> None:
    """Measure the estimate against true recipes."""
    torch.set_num_threads(1)
    rows = [compare(case, measure_faithfulness) for case in iterate_cases(photos, num, seed)]
    machine = describe_machine(1, "numpy", "torch")
    result = {"machine": machine, "means": summarise(rows), "rows": [_shorten(r) for r in rows]}
    output.write_text(json.dumps(result, indent=1) + "\n")
    click.echo(json.dumps(result["means"], indent=1))


if __name__ == "__main__":
    main()
