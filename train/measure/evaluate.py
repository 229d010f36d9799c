"""`train evaluate`: measure weights on held-out pairs, beside doing nothing and OpenCV.

Each pair is restored in one pass at its own size. Results are means over photographs, also by
fault: the recipes tell what each photograph suffered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from degrade import PairReader, Recipe
from degrade.errors import UnreadablePhoto
from train.damage.stages import Damage, redamage
from train.damage.twin import damage_of, find_textures
from train.errors import DataError
from train.measure import metrics
from train.measure.baselines import Photo, keep_as_is, restore_classically
from train.network.generator import Generator

Method = Callable[[Photo], tuple[Photo, Photo]]

# Multi-scale SSIM halves four times and needs its 11 px window at the last scale.
_MS_SSIM_MIN_PX = 176
# The sliced Wasserstein distance compares so many photographs at most.
_MAX_SWD_PHOTOS = 256
# Stands beside the names of faults for all photographs.
_ALL = ""


def use_generator(generator: Generator) -> Method:
    """Restoring with a network, in one pass."""

    @torch.inference_mode()
    def restore(damaged: Photo) -> tuple[Photo, Photo]:
        height, width = damaged.shape[:2]
        photo = to_tensor(damaged)
        down, right = -height % generator.alignment, -width % generator.alignment
        photo = F.pad(photo, (0, right, 0, down), mode="reflect")
        restored, logits = generator(photo.contiguous(memory_format=torch.channels_last))
        return (
            to_photo(restored[..., :height, :width])[0],
            to_photo(torch.sigmoid(logits[..., :height, :width]))[0, :, :, 0],
        )

    return restore


def to_tensor(photo: Photo) -> Tensor:
    """(1, 3, H, W) in [0, 1] of a photograph (H, W, 3), or (1, 1, H, W) of marks (H, W)."""
    planes = photo if photo.ndim == 3 else photo[:, :, None]
    return torch.from_numpy(np.ascontiguousarray(planes)).permute(2, 0, 1)[None].float() / 255


def to_photo(batch: Tensor) -> Photo:
    """(N, H, W, C) uint8 of (N, C, H, W)."""
    return np.asarray((batch.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy())


def name_faults(recipe: Recipe) -> list[str]:
    """What a photograph suffered: its stages, its emulsion, its kinds of marks."""
    stages = (
        "frame", "lens", "dyes", "curve", "vignette", "grain", "halftone", "tone", "uneven_tone",
        "ageing",
    )  # fmt: skip
    faults = [name for name in stages if getattr(recipe, name) is not None]
    if recipe.emulsion is not None:
        faults.append(f"emulsion: {recipe.emulsion.kind}")
    faults.extend(sorted({f"marks: {mark.kind}" for mark in recipe.marks}))
    return faults or ["none"]


class Evaluation:
    """Measurements of a network, and of what it is compared with, pair by pair.

    Attributes:
        methods: What is measured, by name.
        notes: Sentences on what is left out.
    """

    def __init__(self, generator: Generator, reader: PairReader, *, baselines: bool = True) -> None:
        """Begin with no pairs.

        Args:
            generator: In evaluation mode.
            reader: The pairs, usually the held-out ones.
            baselines: Also measure doing nothing and the classical chain.
        """
        self.reader = reader
        self.methods: dict[str, Method] = {"network": use_generator(generator)}
        if baselines:
            self.methods |= {"nothing": keep_as_is, "classical": restore_classically}
        self.notes: list[str] = []
        self._textures = find_textures(reader)
        if self._textures is None:
            self.notes.append(
                f"{reader.path}: built with other textures than this version's, so that its damage "
                "can't be repeated; consistency is left out"
            )
        self._num_broken = 0
        self._faults: list[list[str]] = []
        self._rows: dict[str, list[dict[str, float]]] = {name: [] for name in self.methods}
        self._scores: dict[str, dict[str, Tensor]] = {
            name: defaultdict(_no_scores) for name in self.methods
        }
        self._photos: dict[str, list[Tensor]] = {name: [] for name in (*self.methods, "clean")}

    def choose_pairs(self, limit: int | None = None) -> list[int]:
        """Indices of so many pairs, spread over all; by default of all."""
        total = len(self.reader)
        num = total if limit is None else min(limit, total)
        return [number * total // num for number in range(num)]

    def add_pair(self, index: int) -> None:
        """Restore a pair by every method, and measure; a broken one is counted."""
        try:
            pair = self.reader[index]
        except UnreadablePhoto:
            self._num_broken += 1
            return
        clean, marks = to_tensor(pair.clean), to_tensor(pair.marks)
        faults = name_faults(pair.recipe)
        self._faults.append(faults)
        damage = None
        if self._textures is not None:
            damage = damage_of(pair.recipe, self._textures, *pair.clean.shape[:2])
        keep = len(self._photos["clean"]) < _MAX_SWD_PHOTOS
        if keep:
            self._photos["clean"].append(clean)
        for name, method in self.methods.items():
            restored, found = map(to_tensor, method(pair.damaged))
            row = measure_pair(restored, found, clean, marks)
            if damage is not None:
                damaged = to_tensor(pair.damaged)
                row["consistency"] = measure_consistency_error(restored, damaged, damage)
            self._rows[name].append(row)
            counts = metrics.count_scores(found, marks)
            for fault in (_ALL, *faults):
                self._scores[name][fault] += counts
            if keep:
                self._photos[name].append(restored)

    def summarise(self) -> dict[str, Any]:
        """What was measured of all pairs so far.

        Returns:
            JSON values: `num_photos`, `num_broken`, `methods` (mean of each metric by method) and
            `faults` (by fault: number of photographs, and means of each method), and `notes`.

        Raises:
            DataError: If no pair could be read.
        """
        if not self._faults:
            raise DataError(
                f"{self.reader.path}: no pair could be read; build some, or run degrade verify"
            )
        results = {name: summarise(self._rows[name]) for name in self.methods}
        clean = self._photos["clean"]
        for name in self.methods:
            results[name]["marks_ap"] = metrics.summarise_ap(self._scores[name][_ALL])
            results[name]["swd"] = metrics.measure_swd(
                _cut_common(self._photos[name], clean), _cut_common(clean, clean)
            )
        return {
            "num_photos": len(self._faults),
            "num_broken": self._num_broken,
            "methods": results,
            "faults": _slice_by_fault(self._faults, self._rows, self._scores),
            "notes": self.notes,
        }


def measure_pair(restored: Tensor, found: Tensor, clean: Tensor, marks: Tensor) -> dict[str, float]:
    """Every metric of one photograph.

    Args:
        restored: (1, 3, H, W).
        found: (1, 1, H, W) marks as found, in [0, 1].
        clean: (1, 3, H, W).
        marks: (1, 1, H, W).

    Returns:
        By name; errors are in units of 1/255. Names that start with an underscore are counts, to be
        summed by `summarise`.
    """
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    error = 255 * metrics.measure_luma_error(restored, clean)
    hit, wrong, missed = metrics.count_marks(found - 0.5, marks)[0].tolist()
    true_colorfulness = float(metrics.measure_colorfulness(clean))
    colorfulness = float(metrics.measure_colorfulness(restored))
    row = {
        "luma_psnr_db": float(metrics.measure_luma_psnr(restored, clean)),
        "ssim": float(torch.as_tensor(ssim(restored, clean, data_range=1.0))),
        "delta_e": float(metrics.measure_delta_e(restored, clean)),
        "colorfulness": colorfulness,
        "colorfulness_error": abs(colorfulness - true_colorfulness),
        "_true_colorfulness": true_colorfulness,
        "_inside_error": float((error * marks).sum()),
        "_inside": float(marks.sum()),
        "_outside_error": float((error * (1 - marks)).sum()),
        "_outside": float((1 - marks).sum()),
        "_hit": hit,
        "_wrong": wrong,
        "_missed": missed,
    }
    if min(clean.shape[-2:]) >= _MS_SSIM_MIN_PX:
        row["ms_ssim"] = float(ms_ssim(restored, clean, data_range=1.0))
    return row


def measure_consistency_error(restored: Tensor, damaged: Tensor, damage: Damage) -> float:
    """Mean absolute difference, in 1/255, of a restoration, damaged again, from its input.

    Args:
        restored: (1, 3, H, W).
        damaged: (1, 3, H, W), the input.
        damage: That the input has suffered.
    """
    return 255 * float((redamage(restored, damage) - damaged).abs().mean())


def summarise(rows: list[dict[str, float]]) -> dict[str, float]:
    """Means of the metrics of several photographs; errors and F1 are over all their pixels."""
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in row.items():
            totals[name] += value
    means = {n: t / len(rows) for n, t in totals.items() if n in rows[0] and not n.startswith("_")}
    means["colorfulness_frac"] = totals["colorfulness"] / max(totals["_true_colorfulness"], 1e-9)
    means["error_inside_marks"] = totals["_inside_error"] / max(totals["_inside"], 1e-9)
    means["error_outside_marks"] = totals["_outside_error"] / max(totals["_outside"], 1e-9)
    counts = torch.tensor([[totals["_hit"], totals["_wrong"], totals["_missed"]]])
    means["marks_f1"] = metrics.summarise_f1(counts)
    return means


def _no_scores() -> Tensor:
    return torch.zeros(2, 256, dtype=torch.float64)


def _slice_by_fault(
    faults: list[list[str]],
    rows: dict[str, list[dict[str, float]]],
    scores: dict[str, dict[str, Tensor]],
) -> dict[str, dict[str, Any]]:
    """Means over the photographs that have each fault; the costliest come first."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, names in enumerate(faults):
        for name in names:
            members[name].append(number)
    slices: dict[str, dict[str, Any]] = {}
    for fault, numbers in members.items():
        slices[fault] = {"num_photos": len(numbers)}
        for method in rows:
            slices[fault][method] = summarise([rows[method][i] for i in numbers])
            slices[fault][method]["marks_ap"] = metrics.summarise_ap(scores[method][fault])
    return dict(sorted(slices.items(), key=lambda item: item[1]["network"]["luma_psnr_db"]))


def _cut_common(photos: list[Tensor], sizes: list[Tensor]) -> Tensor:
    """One batch of the middles of photographs of several sizes."""
    height = min(s.shape[-2] for s in sizes) // 16 * 16
    width = min(s.shape[-1] for s in sizes) // 16 * 16
    cut = []
    for photo in photos:
        top, left = (photo.shape[-2] - height) // 2, (photo.shape[-1] - width) // 2
        cut.append(photo[..., top : top + height, left : left + width])
    return torch.cat(cut)


def format_table(results: dict[str, Any]) -> str:
    """The results as a plain table."""
    methods = results["methods"]
    names = list(methods["network"])
    lines = [f"{results['num_photos']} photographs", ""]
    lines.append(f"{'':24}" + "".join(f"{m:>12}" for m in methods))
    for name in names:
        lines.append(f"{name:24}" + "".join(f"{methods[m][name]:12.3f}" for m in methods))
    lines += ["", f"{'fault':28}{'photographs':>12}{'L-PSNR':>10}{'nothing':>10}{'delta E':>10}"]
    for fault, slice_ in results["faults"].items():
        nothing = slice_.get("nothing", {}).get("luma_psnr_db", float("nan"))
        lines.append(
            f"{fault:28}{slice_['num_photos']:12}{slice_['network']['luma_psnr_db']:10.2f}"
            f"{nothing:10.2f}{slice_['network']['delta_e']:10.2f}"
        )
    return "\n".join(lines)
