"""What is kept and printed of a benchmark: names of methods, what was measured with, tables."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from degrade import PairReader

OURS, OURS_GREY, OURS_FULL = "ours", "ours left grey", "ours, two passes"
PREVIOUS = "previous"


def format_section(name: str, section: dict[str, Any]) -> str:
    """A section as a table: every metric's value and interval by method, then our differences."""
    methods = section["methods"]
    lines = [f"{name}: {section['num_photos']} photographs", _line("", list(methods))]
    for metric in next(iter(methods.values())):
        lines.append(_line(metric, [_show(table.get(metric)) for table in methods.values()]))
    for ours, others in section["ours_minus"].items():
        lines += ["", _line(f"{ours} minus", list(others))]
        for metric in methods[ours]:
            lines.append(_line(metric, [_show(table.get(metric)) for table in others.values()]))
    return "\n".join(lines)


def format_report(report: dict[str, Any]) -> str:
    """All sections, and the bars."""
    parts = [format_section(name, section) for name, section in report["sections"].items()]
    lines = ["bars"]
    for bar in report["bars"]:
        verdict = "met" if bar["met"] else "paired" if bar.get("paired") else "MISSED"
        lines.append(f"{verdict:7}{_show(bar):>26}  {bar['method']}: {bar['claim']}")
    return "\n\n".join([*parts, "\n".join(lines), f"{report['minutes']} minutes"])


def describe_weights(path: Path) -> dict[str, Any]:
    """Our weights file: its digest, and what it says of itself."""
    from train.network.checkpoint import read_info

    metadata = read_info(path).metadata
    data = {name: value for name, value in metadata.data.items() if name != "training"}
    return {
        "file": path.name, "sha256": _digest(path), "name": metadata.name,
        "description": metadata.description, "data": data,
    }  # fmt: skip


def describe_pix2pix(path: Path) -> dict[str, Any]:
    """Likewise of weights of benchmarks/rivals/baselines.py."""
    from benchmarks.shared.pix2pix import load_unet

    return {"file": path.name, "sha256": _digest(path), **load_unet(path)[1]}


def describe_pairs(reader: PairReader, num_photos: int) -> dict[str, Any]:
    """The store that was measured on."""
    manifest = reader.manifest
    return {
        "digest": manifest.digest, "profile": manifest.profile["name"], "seed": manifest.seed,
        "size_px": manifest.size_px, "val_frac": manifest.settings.val_frac,
        "num_photos": num_photos,
    }  # fmt: skip


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _line(label: str, cells: list[str]) -> str:
    return f"{label:26}" + "".join(f"{cell:>29}" for cell in cells)


def _show(estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return "-"
    value, low, high = (_round(estimate[name]) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _round(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
