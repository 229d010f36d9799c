"""Likeness: whether versions of photographs show the same person, of many faces together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from train.measure.faces import FaceChange
from train.measure.intervals import bootstrap_sets

Section = dict[str, Any]

SAME_PERSON = 0.6
"""Below this distance two embeddings count as the same person: dlib's own threshold."""
CHANGED = 0.1
"""From this distance on the damage has changed a face."""


def summarise_faces(faces: Sequence[FaceChange], version: str) -> dict[str, float]:
    """Median and largest distance of a version, and shares of its faces; at least one face."""
    distances = np.array([face.distances[version] for face in faces])
    return {
        "median": float(np.median(distances)),
        "worst": float(distances.max()),
        "same_person_frac": float((distances < SAME_PERSON).mean()),
        "lost_frac": sum(version in face.lost for face in faces) / len(faces),
    }


def summarise_nearer(faces: Sequence[FaceChange], version: str, damaged: str) -> dict[str, float]:
    """The share of faces that came nearer than the damaged version is; at least one face."""
    nearer = [face.distances[version] < face.distances[damaged] for face in faces]
    return {"nearer_frac": sum(nearer) / len(nearer)}


def describe_likeness(
    faces: Sequence[FaceChange],
    *,
    damaged: str | None = None,
    ours: Sequence[str] = (),
    num_draws: int = 0,
    seed: int = 0,
) -> Section:
    """Likeness of every version, with intervals over photographs.

    Args:
        faces: All that were compared.
        damaged: The version that others should be nearer than; None where there is none.
        ours: Versions whose paired differences from the others are wanted.
        num_draws: Of the bootstrap; 0: no intervals.
        seed: Of the draws.

    Returns:
        JSON values: `num_faces`, `num_photos`, `num_changed` (faces that the damage changed by .1
        or more), `methods` (estimates by version), `ours_minus`.
    """
    section: Section = {
        "num_faces": len(faces), "num_photos": len({face.source for face in faces}),
        "methods": {}, "ours_minus": {},
    }  # fmt: skip
    if not faces:
        return section
    versions = list(faces[0].distances)
    _add_estimates(section, faces, versions, summarise_faces, ours, num_draws, seed)
    if damaged is not None:
        changed = [face for face in faces if face.distances[damaged] >= CHANGED]
        section["num_changed"] = len(changed)
        others = [version for version in versions if version != damaged]

        def summarise(faces: Sequence[FaceChange], version: str) -> dict[str, float]:
            return summarise_nearer(faces, version, damaged)

        if changed:
            _add_estimates(section, changed, others, summarise, ours, num_draws, seed)
    return section


def _add_estimates(
    section: Section,
    faces: Sequence[FaceChange],
    versions: Sequence[str],
    summarise: Callable[[Sequence[FaceChange], str], dict[str, float]],
    ours: Sequence[str],
    num_draws: int,
    seed: int,
) -> None:
    """Put what `summarise` says of each version into a section."""
    methods, ours_minus = section["methods"], section["ours_minus"]
    if num_draws == 0:
        for version in versions:
            values = summarise(faces, version)
            estimates = {name: {"value": value} for name, value in values.items()}
            methods.setdefault(version, {}).update(estimates)
        return
    summaries = {
        version: functools.partial(_summarise_drawn, summarise, faces, version)
        for version in versions
    }
    found, differences = bootstrap_sets(
        summaries, [face.source for face in faces],
        ours=ours, num_draws=num_draws, rng=np.random.default_rng(seed),
    )  # fmt: skip
    for version, table in found.items():
        methods.setdefault(version, {}).update({n: asdict(e) for n, e in table.items()})
    for our, others in differences.items():
        for version, table in others.items():
            minus = ours_minus.setdefault(our, {}).setdefault(version, {})
            minus.update({n: asdict(e) for n, e in table.items()})


def _summarise_drawn(
    summarise: Callable[[Sequence[FaceChange], str], dict[str, float]],
    faces: Sequence[FaceChange],
    version: str,
    drawn: list[int] | None,
) -> dict[str, float]:
    """What `summarise` says of all faces, or of drawn ones: of these without the worst."""
    if drawn is None:
        return summarise(faces, version)
    values = summarise([faces[i] for i in drawn], version)
    return {name: value for name, value in values.items() if name != "worst"}


def format_likeness(section: Section) -> str:
    """A section as a plain table, a line a version."""
    lines = [f"{section['num_faces']} faces on {section['num_photos']} photographs"]
    if "num_changed" in section:
        lines[0] += f", {section['num_changed']} changed by {CHANGED} or more"
    if not section["methods"]:
        return lines[0]
    names = max((list(table) for table in section["methods"].values()), key=len)
    lines.append(f"{'':18}" + "".join(f"{name:>23}" for name in names))
    for version, table in section["methods"].items():
        lines.append(f"{version:18}" + "".join(f"{_show(table.get(n)):>23}" for n in names))
    return "\n".join(lines)


def _show(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    if estimate.get("low") is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
