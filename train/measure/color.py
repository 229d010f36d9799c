"""Looks at the colours of fixed held-out photographs while the colour network is trained."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.data.batches import Batch, unpack_hints
from train.data.heldout import HeldoutLoader
from train.data.hints import draw_points, paint_hints
from train.data.pairs import MIN_COLORFULNESS
from train.errors import DataError
from train.losses.fidelity import join_luma_chroma, split_luma_chroma
from train.measure import metrics
from train.measure.classifier import Judge, average_features
from train.measure.distances import compare_by_kernel, summarise_kid
from train.measure.heldout import paint_sheet
from train.network.generator import Generator

COLOR_COLUMNS = (
    "color_delta_e",
    "color_colorfulness_frac",
    "hinted_delta_e",
    "hinted_colorfulness_frac",
    "color_kid",
)
"""What is measured, in order: without hints, then with ten; then how natural all look together."""

_NUM_HINTS, _HINT_PX = 10, 6


@torch.no_grad()
def measure_colors(
    generator: Generator,
    loader: HeldoutLoader,
    context: AbstractContextManager[object],
    sheet: Path | None = None,
    *,
    judge: Judge | None = None,
) -> dict[str, float]:
    """Colour the held-out photographs, and measure without hints and with ten true ones.

    Colours are laid on the luma of the clean photographs, so that tone and grain don't count.

    Args:
        generator: Usually the average; put into evaluation mode.
        loader: The photographs; colourless clean ones don't count.
        context: In which the network is run; decides on the precision.
        sheet: Where to paint the first few: damaged, without hints, with hints, clean.
        judge: Who says how natural they look without hints; None leaves out the kernel distance.

    Returns:
        By the names in COLOR_COLUMNS: means, colourfulness as a share of the truth's, and a
        thousand times the kernel distance of the set from the clean ones.
    """
    generator.eval()
    assert generator.color_network is not None
    parts: list[tuple[Tensor, ...]] = []
    for batch in map(_keep_colorful, loader):
        if len(batch.clean) == 0:
            continue
        luma, _ = split_luma_chroma(batch.damaged)
        hints = paint_points(batch.clean)
        columns = [batch.damaged]
        for given in (torch.zeros_like(hints), hints):
            with context:
                chroma = generator.color_network(luma, given)
            columns.append(lay_chroma(chroma, batch.clean))
        parts.append(tuple(c.cpu() for c in (*columns, batch.clean)))
    damaged, guessed, hinted, clean = (torch.cat(c) for c in zip(*parts, strict=True))
    if sheet is not None:
        paint_sheet(sheet, damaged, guessed, hinted, clean)
    true_colorfulness = float(metrics.measure_colorfulness(clean).mean())
    values = []
    for colored in (guessed, hinted):
        values.append(float(metrics.measure_delta_e(colored, clean).mean()))
        values.append(float(metrics.measure_colorfulness(colored).mean()) / true_colorfulness)
    scores = dict(zip(COLOR_COLUMNS, values, strict=False))
    if judge is not None:
        vectors, true_vectors = (
            average_features(judge.look(photos)) for photos in (guessed, clean)
        )
        terms = compare_by_kernel(vectors, true_vectors)
        scores["color_kid"] = summarise_kid(terms, torch.ones(len(clean)))
    return scores


def check_colors(loader: HeldoutLoader) -> None:
    """Find out early whether there is anything to measure.

    Raises:
        DataError: If no photograph has colours.
    """
    if not any(len(_keep_colorful(batch).clean) for batch in loader):
        raise DataError("no held-out pairs have colours; build pairs of colour photographs")


def lay_chroma(chroma: Tensor, photo: Tensor) -> Tensor:
    """Chroma (N, 2, H / 2, W / 2) on the luma of photographs (N, 3, H, W), within [0, 1]."""
    luma, _ = split_luma_chroma(photo)
    full = F.interpolate(chroma.float(), size=luma.shape[-2:], mode="bilinear")
    return join_luma_chroma(luma, full).clamp(0, 1)


def paint_points(clean: Tensor) -> Tensor:
    """Ten true hints on each of photographs (N, 3, H, W), at the same places on all of them."""
    pixels = (clean * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    points = draw_points(_NUM_HINTS, min(clean.shape[-2:]), _HINT_PX, np.random.default_rng(0))
    painted = np.stack([paint_hints(photo, points) for photo in pixels])
    return unpack_hints(torch.from_numpy(painted)).to(clean.device)


def _keep_colorful(batch: Batch) -> Batch:
    kept = metrics.measure_colorfulness(batch.clean) >= MIN_COLORFULNESS
    return batch._replace(damaged=batch.damaged[kept], clean=batch.clean[kept])
