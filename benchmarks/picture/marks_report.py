"""What the figures of `marks.py` say: tables, and the bars they are held to."""

from __future__ import annotations

from typing import Any

from benchmarks.shared.report import OURS, format_report, judge_figure
from train.measure.marks import format_slices

OUTLINES, UNMARKED = "outlines", "unmarked"
HAIRS = {"light": "white hairs", "dark": "black hairs"}

_MIN_OUTLINES = 0.8
_MIN_HAIRS_RECALL = 0.97
_MAX_CALLED_PERCENT = 0.05


def judge_marks(sections: dict[str, Any], ours: str) -> list[dict[str, Any]]:
    """Every bar with its figure, its interval and whether it is met.

    Args:
        sections: As `marks.measure_photos` returns them; bars of others are left out.
        ours: The method that is judged.
    """
    bars: list[dict[str, Any]] = []
    for name in ("precision", "recall"):
        bars += judge_figure(sections, ours, OUTLINES, name, least=_MIN_OUTLINES)
    for hairs in HAIRS.values():
        bars += judge_figure(sections, ours, hairs, "recall", least=_MIN_HAIRS_RECALL)
        classical = sections.get(hairs, {}).get("ours_minus", {}).get(ours, {}).get("classical")
        if classical is not None:
            worse = classical["inside_error"]
            claim = f"{hairs}: inside_error no larger than the classical fill's"
            bars.append({"method": ours, "claim": claim, **worse, "met": worse["value"] <= 0})
    called = "called_marks_percent"
    return bars + judge_figure(sections, ours, UNMARKED, called, most=_MAX_CALLED_PERCENT)


def format_marks(report: dict[str, Any]) -> str:
    """All sections, slices of our marks by width and contrast, and the bars."""
    parts = [
        f"{name}, ours by slice\n{format_slices(report['sections'][name]['slices'][OURS])}"
        for name in (OUTLINES, *HAIRS.values())
        if name in report["sections"]
    ]
    return "\n\n".join([*parts, format_report(report)])
