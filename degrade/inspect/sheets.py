"""Contact sheets: clean, damaged and marks side by side, and what was done written below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from degrade.arrays import Photo
from degrade.pairs import Pair
from degrade.recipe import Recipe

_GAP_PX = 8
_LINE_PX = 15
_NUM_LINES = 3
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
_PAPER, _INK = 255, (40, 40, 40)


def paint_sheet(
    pairs: Sequence[Pair], *, num_columns: int | None = None, cell_px: int = 256
) -> Photo:
    """Lay pairs out on a sheet.

    Args:
        pairs: At least one; of any sizes.
        num_columns: Pairs in a row; None makes the sheet about as wide as high.
        cell_px: Long side of each picture.

    Returns:
        (H, W, 3) RGB.
    """
    width, height = 3 * cell_px + 4 * _GAP_PX, cell_px + _NUM_LINES * _LINE_PX + 2 * _GAP_PX
    if num_columns is None:
        num_columns = max(1, round((len(pairs) * height / width) ** 0.5))
    num_columns = min(num_columns, len(pairs))
    num_rows = -(-len(pairs) // num_columns)
    sheet = np.full((num_rows * height, num_columns * width, 3), _PAPER, np.uint8)
    for index, pair in enumerate(pairs):
        row, column = divmod(index, num_columns)
        cell = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        _paint_pair(cell, pair, cell_px)
    return sheet


def describe_recipe(recipe: Recipe) -> list[str]:
    """Say the main parameters of a recipe in two lines of ASCII."""
    done = []
    if recipe.frame is not None:
        done.append(recipe.frame.kind)
    if recipe.emulsion is not None:
        done.append(recipe.emulsion.kind)
    if recipe.dyes is not None:
        done.append("dyes " + "/".join(f"{kept:.2f}" for kept in recipe.dyes.kept_frac))
    if recipe.tone is not None:
        done.append(recipe.tone.kind)
    done += [name for name in ("curve", "vignette") if getattr(recipe, name) is not None]
    if recipe.uneven_tone is not None:
        second = recipe.uneven_tone.tone
        done.append(f"uneven {'neutral' if second is None else second.kind}")
    if recipe.lens is not None:
        lens = recipe.lens
        blurs = {
            "blur": lens.sigma_px,
            "defocus": lens.defocus_radius_px,
            "motion": lens.motion_length_px,
        }
        done += [f"{name} {length_px:.1f}px" for name, length_px in blurs.items() if length_px]
    if recipe.grain is not None:
        done.append(f"grain {recipe.grain.strength_frac:.2f}")
    if recipe.halftone is not None:
        done.append("half-tone")
    if recipe.ageing is not None:
        done.append(f"fade {recipe.ageing.fade_frac:.2f} stain {recipe.ageing.stain_frac:.2f}")
    if recipe.scan.resample_frac < 1:
        done.append(f"scan {recipe.scan.resample_frac:.2f}")
    if recipe.scan.sharpen_amount:
        done.append(f"sharpened {recipe.scan.sharpen_amount:.2f}")
    if recipe.scan.noise_frac:
        done.append(f"noise {recipe.scan.noise_frac:.3f}")
    if recipe.copy is not None:
        done.append(f"copy {recipe.copy.scale_frac:.2f} q{recipe.copy.jpeg_quality}")
    if recipe.scan.jpeg_quality:
        done.append(f"q{recipe.scan.jpeg_quality}")
    kinds = Counter(mark.kind for mark in recipe.marks)
    marks = ", ".join(f"{kind} x{num}" if num > 1 else kind for kind, num in kinds.items())
    nothing = "marks alone" if marks else "undamaged"
    return [f"{recipe.profile}: {', '.join(done) or nothing}", marks or "no marks"]


def _paint_pair(cell: Photo, pair: Pair, cell_px: int) -> None:
    marks = np.repeat(pair.marks[..., None], 3, axis=2)
    for index, photo in enumerate((pair.clean, pair.damaged, marks)):
        height, width = photo.shape[:2]
        scale = cell_px / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        fitted = cv2.resize(photo, size, interpolation=method)
        left = _GAP_PX + index * (cell_px + _GAP_PX)
        cell[_GAP_PX : _GAP_PX + size[1], left : left + size[0]] = fitted
    lines = [f"{pair.key}  {pair.recipe.key} / {pair.recipe.variant}"]
    for number, line in enumerate(lines + describe_recipe(pair.recipe)):
        _write(cell, line, _GAP_PX, _GAP_PX + cell_px + (number + 1) * _LINE_PX - 3)


def _write(cell: Photo, text: str, x_px: int, y_px: int) -> None:
    shown = text.encode("ascii", "replace").decode()  # all that the font holds
    room_px = cell.shape[1] - x_px - _GAP_PX
    while cv2.getTextSize(shown, _FONT, _FONT_SCALE, 1)[0][0] > room_px:
        shown = shown[:-4] + "..." if shown.endswith("...") else shown[:-3] + "..."
    # putText wants memory without gaps between rows.
    strip = np.ascontiguousarray(cell)
    cv2.putText(strip, shown, (x_px, y_px), _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)
    cell[:] = strip
