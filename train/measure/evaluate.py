"""`train evaluate`: measure weights on held-out pairs, beside others, doing nothing and OpenCV.

Each pair is restored in one pass at its own size. Results are means over photographs, also by
fault: the recipes tell what each photograph suffered; and measures of all photographs as a set.
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
from restore.passes.color import choose_fine_side, join_scales
from restore.ycc import measure_own_color
from train.damage.twin import damage_of, find_textures
from train.errors import DataError, TrainError
from train.losses.fidelity import join_luma_chroma, split_luma_chroma
from train.measure import metrics
from train.measure.baselines import Photo, keep_as_is, lay_true_chroma, restore_classically
from train.measure.classifier import Judge
from train.measure.details import Details
from train.measure.impressions import CleanPhoto
from train.measure.intervals import Estimates, bootstrap_sets
from train.measure.pair import measure_consistency_error
from train.measure.sets import MeasuredPhoto, MeasuredSet, measure_photo
from train.network.generator import Generator
from train.network.global_branch import reduce_photo

Method = Callable[[Photo], tuple[Photo, Photo]]

# The sliced Wasserstein distance compares so many photographs at most.
_MAX_SWD_PHOTOS = 256


def use_generator(generator: Generator) -> Method:
    """Restoring with a network, in one pass; its colour network lays colours as `restore` does."""

    @torch.inference_mode()
    def restore(damaged: Photo) -> tuple[Photo, Photo]:
        height, width = damaged.shape[:2]
        photo = to_tensor(damaged)
        down, right = -height % generator.alignment, -width % generator.alignment
        photo = F.pad(photo, (0, right, 0, down), mode="reflect")
        restored, logits = generator(photo.contiguous(memory_format=torch.channels_last))
        restored = lay_colors(generator, restored[..., :height, :width], damaged)
        return (
            to_photo(restored)[0],
            to_photo(torch.sigmoid(logits[..., :height, :width]))[0, :, :, 0],
        )

    return restore


def lay_colors(generator: Generator, restored: Tensor, damaged: Photo) -> Tensor:
    """Give a restored photograph (1, 3, H, W) the colours of the colour network, if there is one.

    They are laid at two scales, as `restore` does, and count as much as the damaged photograph has
    none of its own.
    """
    share = 1 - measure_own_color(damaged.astype(np.float32) / np.float32(255))
    if generator.color_network is None or share == 0:
        return restored
    luma, own = split_luma_chroma(restored.clamp(0, 1))
    scales = []
    side_px = generator.config.color_px
    for px in sorted({side_px, choose_fine_side(side_px, *luma.shape[-2:])}):
        reduced = reduce_photo(luma, px)
        no_hints = reduced.new_zeros(1, 3, *reduced.shape[-2:])
        chroma = generator.color_network(reduced, no_hints)
        chroma = F.interpolate(chroma, size=luma.shape[-2:], mode="bilinear", antialias=True)
        scales.append(chroma[0].permute(1, 2, 0).numpy())
    joined = torch.from_numpy(join_scales(luma[0, 0].numpy(), scales[0], scales[-1]))
    laid = joined.permute(2, 0, 1)[None].to(luma)
    return join_luma_chroma(luma, own + share * (laid - own))


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
        methods: What restores, by name.
        names: Of all that is measured.
        notes: Sentences on what is left out.
    """

    def __init__(
        self,
        generator: Generator,
        reader: PairReader,
        *,
        previous: Generator | None = None,
        baselines: bool = True,
        likeness: bool = True,
    ) -> None:
        """Begin with no pairs.

        Args:
            generator: In evaluation mode.
            reader: The pairs, usually the held-out ones.
            previous: Another one to measure beside it.
            baselines: Also measure doing nothing, the classical chain, and the floor: the true
                chroma on the damaged luma.
            likeness: Also compare faces, where the packages for it are installed.
        """
        self.reader = reader
        self.methods: dict[str, Method] = {"network": use_generator(generator)}
        if previous is not None:
            self.methods["previous"] = use_generator(previous)
        if baselines:
            self.methods |= {"nothing": keep_as_is, "classical": restore_classically}
        self.names = [*self.methods, *(["floor"] if baselines else [])]
        self.notes: list[str] = []
        self._textures = find_textures(reader)
        if self._textures is None:
            self.notes.append(
                f"{reader.path}: built with other textures than this version's, so that its damage "
                "can't be repeated; consistency is left out"
            )
        self._judge: Judge | None = None
        try:
            self._judge = Judge()
        except TrainError as error:
            self.notes.append(str(error))
        self._details = Details(self._textures, likeness=likeness)
        self.notes += self._details.notes
        self._num_broken = 0
        self._faults: list[list[str]] = []
        self._sources: list[str] = []
        self._measured: dict[str, list[MeasuredPhoto]] = {name: [] for name in self.names}
        self._photos: dict[str, list[Tensor]] = {name: [] for name in (*self.names, "clean")}

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
        damaged, looked_at = to_tensor(pair.damaged), CleanPhoto(clean, self._judge)
        self._faults.append(name_faults(pair.recipe))
        self._sources.append(pair.recipe.key)
        damage = None
        if self._textures is not None:
            damage = damage_of(pair.recipe, self._textures, *pair.clean.shape[:2])
        keep = len(self._photos["clean"]) < _MAX_SWD_PHOTOS
        if keep:
            self._photos["clean"].append(clean)
        versions: dict[str, tuple[Photo, Photo]] = {}
        for name in self.names:
            if name in self.methods:
                restored, found = map(to_tensor, self.methods[name](pair.damaged))
            else:
                restored = to_tensor(lay_true_chroma(pair.damaged, pair.clean))
                found = torch.zeros_like(marks)
            versions[name] = to_photo(restored)[0], to_photo(found)[0, :, :, 0]
            measured = measure_photo(damaged, restored, found, looked_at, marks)
            if damage is not None:
                error = measure_consistency_error(restored, damaged, damage)
                measured.values["consistency"] = error
            self._measured[name].append(measured)
            if keep:
                self._photos[name].append(restored)
        self._details.add_pair(pair, versions)

    def summarise(self, num_draws: int = 0) -> dict[str, Any]:
        """What was measured of all pairs so far.

        Args:
            num_draws: Of the bootstrap over source photographs, for intervals; 0: none.

        Returns:
            JSON values: `num_photos`, `num_broken`, `methods` (each metric by method), `faults` (by
            fault: number of photographs, and means of each method), `notes`, `marks` (by method and
            slice), where faces were compared `likeness`, and, if drawn, `intervals` (low and high
            of each metric by method, 95 %).

        Raises:
            DataError: If no pair could be read.
        """
        if not self._faults:
            raise DataError(
                f"{self.reader.path}: no pair could be read; build some, or run degrade verify"
            )
        sets = {name: MeasuredSet(photos) for name, photos in self._measured.items()}
        results = {name: measured.summarise() for name, measured in sets.items()}
        clean = self._photos["clean"]
        for name in self.names:
            results[name]["swd"] = metrics.measure_swd(
                _cut_common(self._photos[name], clean), _cut_common(clean, clean)
            )
        summary = {
            "num_photos": len(self._faults),
            "num_broken": self._num_broken,
            "methods": results,
            "faults": _slice_by_fault(self._faults, sets),
            "notes": self.notes,
            **self._details.summarise(num_draws),
        }
        if num_draws:
            summary["intervals"] = self._estimate(sets, num_draws)
        return summary

    def _estimate(
        self, sets: dict[str, MeasuredSet], num_draws: int
    ) -> dict[str, dict[str, list[float]]]:
        """Intervals by method and metric."""
        summaries = {name: measured.summarise for name, measured in sets.items()}
        estimates: Estimates = bootstrap_sets(
            summaries, self._sources, ours=[], num_draws=num_draws, rng=np.random.default_rng(0)
        )[0]
        return {
            name: {
                metric: [found.low, found.high]
                for metric, found in table.items()
                if found.low is not None and found.high is not None
            }
            for name, table in estimates.items()
        }


def _slice_by_fault(
    faults: list[list[str]], sets: dict[str, MeasuredSet]
) -> dict[str, dict[str, Any]]:
    """Means over the photographs that have each fault; the costliest come first."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, names in enumerate(faults):
        for name in names:
            members[name].append(number)
    slices: dict[str, dict[str, Any]] = {}
    for fault, numbers in members.items():
        slices[fault] = {"num_photos": len(numbers)}
        for method, measured in sets.items():
            slices[fault][method] = measured.summarise_photos(numbers)
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
