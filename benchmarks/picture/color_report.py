"""What the figures of `color.py` say: ratios with intervals, and the bars."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.picture.hinted import NUM_POINTS
from benchmarks.shared.report import OURS, PREVIOUS
from train.measure.intervals import bootstrap_sets

if TYPE_CHECKING:
    from benchmarks.shared.measured import Measured

GREY_COPIES = "grey copies"
_FLOOR, _APART = "floor", "previous_kid_above_floor"
_MAX_KID_FRAC = 0.1
_MIN_HUE_SPREAD_FRAC = 0.65
_COLORFULNESS_RANGE = (0.7, 1.05)
_MAX_LEAK_FRAC = 1.5
_MAX_HINTED_FRAC = 0.5
_MAX_FAR_DELTA_E = 1.0
_MIN_FADED, _MIN_HALVED_FRAC, _FADED_COLORFULNESS_RANGE = 15, 0.8, (0.7, 1.2)


def compare_ratios(measured: Measured, num_draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Ratios of measures of a set, with intervals over the same draws of photographs.

    Returns:
        `kid_frac_of_previous`, both above the floor's, where a classifier looked, previous weights
        were measured and are surely farther than the floor; and `leak_frac_of_floor`.
    """
    from train.measure.sets import MeasuredSet

    sets = {name: MeasuredSet(photos) for name, photos in measured.photos.items()}

    def summarise(drawn: list[int] | None) -> dict[str, float]:
        names = [name for name in (OURS, PREVIOUS, _FLOOR) if name in sets]
        found = {name: sets[name].summarise(drawn) for name in names}
        floor = found[_FLOOR]
        ratios = {"leak_frac_of_floor": found[OURS]["leak"] / max(floor["leak"], 1e-9)}
        if PREVIOUS in found and "kid" in floor:
            above = {name: found[name]["kid"] - floor["kid"] for name in (OURS, PREVIOUS)}
            ratios[_APART] = above[PREVIOUS]
            ratios["kid_frac_of_previous"] = above[OURS] / max(above[PREVIOUS], 1e-9)
        return ratios

    estimates, _ = bootstrap_sets(
        {OURS: summarise}, measured.sources, ours=[], num_draws=num_draws,
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    ratios = {name: asdict(estimate) for name, estimate in estimates[OURS].items()}
    apart = ratios.pop(_APART, None)
    if apart is not None and apart["low"] <= 0:
        ratios.pop("kid_frac_of_previous")
    return ratios


def judge_colors(sections: dict[str, Any]) -> list[dict[str, Any]]:
    """Every bar that was measured, with its figure, its interval and whether it is met."""
    bars: list[dict[str, Any]] = []

    def add(claim: str, estimate: dict[str, float], met: bool) -> None:
        bars.append({"method": OURS, "claim": claim, **estimate, "met": met})

    def add_below(claim: str, estimate: dict[str, float], high: float) -> None:
        add(f"{claim} at most {high}", estimate, estimate["value"] <= high)

    def add_within(claim: str, estimate: dict[str, float], bounds: tuple[float, float]) -> None:
        low, high = bounds
        add(f"{claim} in {low}–{high}", estimate, low <= estimate["value"] <= high)

    grey = sections[GREY_COPIES]
    ours, ratios = grey["methods"][OURS], grey["ratios"]
    if "kid_frac_of_previous" in ratios:
        add_below("kid above the floor, of the previous weights'", ratios["kid_frac_of_previous"],
                  _MAX_KID_FRAC)  # fmt: skip
    spread = ours["hue_spread_frac"]
    add(f"spread of hues, of the truth's, at least {_MIN_HUE_SPREAD_FRAC}", spread,
        spread["value"] >= _MIN_HUE_SPREAD_FRAC)  # fmt: skip
    add_within("colourfulness, of the truth's,", ours["colorfulness_frac"], _COLORFULNESS_RANGE)
    drift = grey["ours_minus"][OURS]["nothing"]["delta_e"]
    add("delta_e below leaving them grey", drift, drift["value"] < 0)
    add_below("leak, of the floor's,", ratios["leak_frac_of_floor"], _MAX_LEAK_FRAC)
    if "hints" in sections:
        hinted = sections["hints"]["methods"][OURS]
        for num in NUM_POINTS:
            fall = hinted[f"delta_e_fall_to_{num}"]
            add(f"delta_e falls with {num} true points", fall, fall["low"] > 0)
        add_below("error of mean chroma in a hinted object, of that without a hint,",
                  hinted["hinted_object_error_frac"], _MAX_HINTED_FRAC)  # fmt: skip
        add_below("change far from a hint, delta_e", hinted["far_change_delta_e"], _MAX_FAR_DELTA_E)
    if "faded dyes" in sections:
        section = sections["faded dyes"]
        faded = section["methods"][OURS]
        enough = section["num_photos"] >= _MIN_FADED
        add(f"faded dyes: cast halved in at least {_MIN_HALVED_FRAC} of {_MIN_FADED} or more",
            faded["halved"], enough and faded["halved"]["value"] >= _MIN_HALVED_FRAC)  # fmt: skip
        add_within("faded dyes: colourfulness, of the clean one's,", faded["colorfulness_frac"],
                   _FADED_COLORFULNESS_RANGE)  # fmt: skip
    for name in ("undamaged", "undamaged, with a cast"):
        if name in sections:
            kept = sections[name]["methods"][OURS]["kept"]
            add(f"{name}: all stay at 40 dB of themselves or more", kept, kept["value"] == 1)
    return bars
