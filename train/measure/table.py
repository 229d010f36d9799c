"""The results of `train evaluate` as text."""

from __future__ import annotations

from typing import Any

from train.measure.details import format_details


def format_table(results: dict[str, Any]) -> str:
    """The results as a plain table, with intervals where they were drawn."""
    methods = results["methods"]
    intervals = results.get("intervals", {})
    width = 29 if intervals else 12
    lines = [f"{results['num_photos']} photographs", ""]
    lines.append(f"{'':24}" + "".join(f"{m:>{width}}" for m in methods))
    for name in methods["network"]:
        cells = [_show(methods[m][name], intervals.get(m, {}).get(name)) for m in methods]
        lines.append(f"{name:24}" + "".join(f"{cell:>{width}}" for cell in cells))
    lines += ["", f"{'fault':28}{'photographs':>12}{'L-PSNR':>10}{'nothing':>10}{'delta E':>10}"]
    for fault, slice_ in results["faults"].items():
        nothing = slice_.get("nothing", {}).get("luma_psnr_db", float("nan"))
        lines.append(
            f"{fault:28}{slice_['num_photos']:12}{slice_['network']['luma_psnr_db']:10.2f}"
            f"{nothing:10.2f}{slice_['network']['delta_e']:10.2f}"
        )
    return "\n".join([*lines, "", format_details(results)])


def _show(value: float, interval: list[float] | None) -> str:
    if interval is None:
        return _round(value)
    return f"{_round(value)} [{_round(interval[0])}, {_round(interval[1])}]"


def _round(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
