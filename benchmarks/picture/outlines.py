"""Marks that `degrade` did not make: outlines of real damage, and thin flat hairs.

Outlines are white on black and come from scans of real film; each is cut at its own resolution and
laid over a photograph as light or dark ink, sharp or soft, opaque or half-transparent. Hairs are
opaque white or black lines of 1 to 3 px, which anyone sees at once. Parameters are drawn first, by
the generator of the photograph, and applied later.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import cv2
import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Places = NDArray[np.bool_]

_INKS = {"light": (0.85, 1.0), "dark": (0.0, 0.15)}
_EDGES_PX = {"sharp": 0.0, "soft": 1.0}
_OPACITIES = {"opaque": (1.0, 1.0), "half": (0.4, 0.6)}
CONDITIONS = tuple(itertools.product(_INKS, _EDGES_PX, _OPACITIES))
"""What is laid: ink, edge, opacity."""
HAIR_INKS = {"light": 255, "dark": 0}
# Nobody finds a white hair on snow: marks that change luma by less, of 255, are not asked for.
_VISIBLE = 10
_NUM_HAIRS_RANGE = (6, 14)
_HAIR_LENGTH_RANGE = (0.08, 0.5)
_HAIR_WIDTHS_PX = (1, 2, 3)
_HAIR_STEP_PX = 4.0
_MAX_BEND = 0.12


class Laying(NamedTuple):
    """How an outline is laid over a photograph.

    Attributes:
        outline: Which of the outlines.
        x_frac: Place of the cut, of what there is to choose from.
        y_frac: Likewise.
        quarter_turns: It is turned by so many.
        flip: Mirrored before.
        ink: Grey value in [0, 1].
        opacity: In [0, 1].
        sigma_px: Blur of its edge.
    """

    outline: int
    x_frac: float
    y_frac: float
    quarter_turns: int
    flip: bool
    ink: float
    opacity: float
    sigma_px: float


class Hair(NamedTuple):
    """One hair: its points (N, 2) as x and y in px, and its width."""

    points: NDArray[np.float64]
    width_px: int


class Marked(NamedTuple):
    """A photograph with marks on it.

    Attributes:
        damaged: (H, W, 3) RGB.
        marks: (H, W) where marks are.
        visible: (H, W) where they change the photograph enough to be seen.
    """

    damaged: Photo
    marks: Places
    visible: Places


def read_outlines(folder: Path) -> list[Mask]:
    """Outlines (H, W), white on black, of all images of a folder, by name.

    Raises:
        click.ClickException: If there are none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".png", ".webp"))
    read = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files)
    outlines = [np.asarray(outline, np.uint8) for outline in read if outline is not None]
    if not outlines:
        raise click.ClickException(f"{folder}: no outlines; they are PNG files, white on black")
    return outlines


def draw_laying(
    condition: tuple[str, str, str], num_outlines: int, rng: np.random.Generator
) -> Laying:
    """Draw where and how an outline is laid under one of the `CONDITIONS`."""
    ink, edge, opacity = condition
    return Laying(
        outline=int(rng.integers(num_outlines)),
        x_frac=rng.random(),
        y_frac=rng.random(),
        quarter_turns=int(rng.integers(4)),
        flip=bool(rng.random() < 0.5),
        ink=rng.uniform(*_INKS[ink]),
        opacity=rng.uniform(*_OPACITIES[opacity]),
        sigma_px=_EDGES_PX[edge],
    )


def lay_outline(clean: Photo, outlines: Sequence[Mask], laying: Laying) -> Marked:
    """Lay an outline over a photograph (H, W, 3) at its own resolution.

    Outlines that are smaller than the photograph are continued by their mirror image.
    """
    height, width = clean.shape[:2]
    outline = np.rot90(outlines[laying.outline], laying.quarter_turns)
    if laying.flip:
        outline = outline[:, ::-1]
    down, across = (
        max(0, size - have) for size, have in zip((height, width), outline.shape, strict=True)
    )
    outline = np.pad(outline, ((0, down), (0, across)), mode="symmetric")
    top = int(laying.y_frac * (outline.shape[0] - height))
    left = int(laying.x_frac * (outline.shape[1] - width))
    cut = outline[top : top + height, left : left + width].astype(np.float32) / 255
    if laying.sigma_px:
        cut = np.asarray(cv2.GaussianBlur(cut, (0, 0), laying.sigma_px), np.float32)
    share = laying.opacity * cut[..., None]
    damaged = np.rint(clean * (1 - share) + 255 * laying.ink * share).astype(np.uint8)
    return _find_visible(clean, damaged, cut >= 0.5)


def draw_hairs(height: int, width: int, rng: np.random.Generator) -> list[Hair]:
    """Draw a few hairs that wander over a photograph of this size."""
    hairs = []
    for _ in range(int(rng.integers(*_NUM_HAIRS_RANGE, endpoint=True))):
        length_px = min(height, width) * rng.uniform(*_HAIR_LENGTH_RANGE)
        num = max(2, round(length_px / _HAIR_STEP_PX))
        bends = rng.normal(0, rng.uniform(0, _MAX_BEND), num)
        turns = rng.uniform(0, 2 * math.pi) + np.cumsum(bends)
        steps = _HAIR_STEP_PX * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        points = rng.random(2) * (width, height) + np.cumsum(steps, axis=0)
        hairs.append(Hair(points, int(rng.choice(_HAIR_WIDTHS_PX))))
    return hairs


def lay_hairs(clean: Photo, hairs: Sequence[Hair], ink: str) -> Marked:
    """Lay flat, opaque hairs of the ink "light" or "dark" over a photograph (H, W, 3)."""
    mask = np.zeros(clean.shape[:2], np.uint8)
    for points, width_px in hairs:
        # OpenCV's own lines of 2 and 3 px are up to 5 px wide where pieces meet.
        line = np.zeros_like(mask)
        cv2.polylines(line, [np.rint(points).astype(np.int32)], False, 255, 1)
        pen: NDArray[Any] = np.ones((width_px, width_px), np.uint8)
        if width_px == max(_HAIR_WIDTHS_PX):
            pen = cv2.getStructuringElement(cv2.MORPH_CROSS, (width_px, width_px))
        np.maximum(mask, cv2.dilate(line, pen), out=mask)
    damaged = clean.copy()
    damaged[mask > 0] = HAIR_INKS[ink]
    return _find_visible(clean, damaged, mask > 0)


def _find_visible(clean: Photo, damaged: Photo, marks: Places) -> Marked:
    before, after = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.int16) for p in (clean, damaged))
    return Marked(damaged, marks, marks & (np.abs(after - before) >= _VISIBLE))
