"""What is kept and printed of a benchmark: what was measured with, sections, bars, tables."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.shared.machine import describe_machine

if TYPE_CHECKING:
    from degrade import PairReader

OURS, OURS_GREY, OURS_FULL = "ours", "ours left grey", "ours, two passes"
PREVIOUS = "previous"


class Run(NamedTuple):
    """A benchmark under way.

    Attributes:
        machine: As it was at the start.
        start_s: When that was.
    """

    machine: dict[str, Any]
    start_s: float

    def report(
        self,
        measured_on: Mapping[str, Any],
        sections: dict[str, Any],
        bars: list[dict[str, Any]],
        *,
        num_draws: int,
        seed: int,
    ) -> dict[str, Any]:
        """What is kept of it, as JSON values.

        Args:
            measured_on: Photographs and weights.
            sections: What was measured.
            bars: What it was held to.
            num_draws: Of the bootstrap.
            seed: Of all draws.
        """
        return {
            "machine": self.machine,
            **measured_on,
            "bootstrap_draws": num_draws,
            "seed": seed,
            "sections": sections,
            "bars": bars,
            "minutes": round((time.monotonic() - self.start_s) / 60, 1),
        }


def begin_run(threads: int, *distributions: str) -> Run:
    """Look at the machine and at the clock; see `describe_machine`."""
    start_s = time.monotonic()
    return Run(describe_machine(threads, *distributions), start_s)


def judge_figure(
    sections: dict[str, Any], method: str, section: str, name: str, *, least: float = 0,
    most: float = 1,
) -> list[dict[str, Any]]:  # fmt: skip
    """A bar that a figure must reach, or must not pass; none where it wasn't measured."""
    found = sections.get(section, {}).get("methods", {}).get(method, {}).get(name)
    if found is None:
        return []
    asked = f"at least {least}" if least else f"at most {most}"
    met = least <= found["value"] <= most
    return [{"method": method, "claim": f"{section}: {name} {asked}", **found, "met": met}]


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


def describe_both(model: Path, previous: Path | None) -> dict[str, Any]:
    """Our weights, and previous ones where they are given."""
    earlier = None if previous is None else describe_weights(previous)
    return {"model": describe_weights(model), "previous": earlier}


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
    if estimate["low"] is None:
        return _round(estimate["value"])
    value, low, high = (_round(estimate[name]) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _round(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
