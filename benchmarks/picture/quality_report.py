"""What the figures of `quality.py` say: the bars of the design."""

from __future__ import annotations

from typing import Any

from benchmarks.shared.report import OURS_GREY

WITHOUT_COLOURS = "default, without colours"

# On these our interval must lie apart from each baseline's; +1 where more is better.
_AHEAD_ON = {"luma_psnr_db": 1, "ssim": 1, "delta_e": -1, "error_inside_marks": -1, "marks_f1": 1}
_MIN_GAIN_DB = {"default": 3.0, "bopbtl": 1.5, "real-esrgan": 1.5}
_BASELINES = ("nothing", "classical", "pix2pix")
_MIN_F1 = 0.7
_MIN_HARMLESS_DB = 32.0
_COLORFULNESS_RANGE = (0.5, 1.1)


def judge(sections: dict[str, Any], ours: str) -> list[dict[str, Any]]:
    """Every bar with its figure, its interval and whether it is met.

    "Ahead of" is asked twice: of the intervals, which must not overlap, and, as `paired`, of the
    difference on the same photographs, whose interval must not hold 0.

    Args:
        sections: As `quality.run_sections` returns them; bars of others are left out.
        ours: The method that is judged.
    """
    bars: list[dict[str, Any]] = []

    def add(claim: str, estimate: dict[str, float], met: bool, paired: bool | None = None) -> None:
        asked_twice = {} if paired is None else {"paired": paired}
        bars.append({"method": ours, "claim": claim, **estimate, "met": met, **asked_twice})

    default = sections.get("default", {"methods": {}, "ours_minus": {}})
    for name, sign in _AHEAD_ON.items():
        for baseline in _BASELINES:
            if name not in default["methods"].get(baseline, {}):
                continue
            mine, other = default["methods"][ours][name], default["methods"][baseline][name]
            apart = mine["low"] > other["high"] if sign > 0 else mine["high"] < other["low"]
            difference = default["ours_minus"][ours][baseline][name]
            paired = difference["low"] > 0 if sign > 0 else difference["high"] < 0
            add(f"default: {name} ahead of {baseline}, intervals apart", difference, apart, paired)
    for section, gain_db in _MIN_GAIN_DB.items():
        if section in sections:
            gain = sections[section]["ours_minus"][ours]["nothing"]["luma_psnr_db"]
            add(f"{section}: luma_psnr_db at least {gain_db} dB above doing nothing", gain,
                gain["value"] >= gain_db)  # fmt: skip
    if "marks_f1" in default["methods"].get(ours, {}):
        found = default["methods"][ours]["marks_f1"]
        add(f"default: marks_f1 at least {_MIN_F1}", found, found["value"] >= _MIN_F1)
    grey = sections.get(WITHOUT_COLOURS)
    if grey is not None:
        colour = grey["methods"][ours]["colorfulness_frac"]
        low, high = _COLORFULNESS_RANGE
        add(f"without colours: colourfulness {low}-{high} of the truth", colour,
            low <= colour["value"] <= high)  # fmt: skip
        drift = grey["ours_minus"][ours][OURS_GREY]["delta_e"]
        add("without colours: delta_e no worse than left grey", drift, drift["value"] <= 0)
    if "undamaged" in sections:
        same = sections["undamaged"]["methods"][ours]["psnr_db"]
        add(f"undamaged: at least {_MIN_HARMLESS_DB} dB to itself", same,
            same["value"] >= _MIN_HARMLESS_DB)  # fmt: skip
    return bars
