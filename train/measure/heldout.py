"""Looks at fixed held-out photographs while training: numbers and a sheet of pictures."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.data.heldout import HeldoutLoader
from train.measure import metrics
from train.network.generator import Generator
from train.network.toning import make_neutral

_SHEET_PHOTOS = 8
# From this probability on a close look may fill more than half.
_CALLED_PROB = 0.375


@torch.no_grad()
def measure_heldout(
    generator: Generator,
    loader: HeldoutLoader,
    context: AbstractContextManager[object],
    sheet: Path | None = None,
) -> dict[str, float]:
    """Restore the held-out photographs and measure.

    Args:
        generator: Usually the average; put into evaluation mode.
        loader: The photographs.
        context: In which the network is run; decides on the precision.
        sheet: Where to paint the first few.

    Returns:
        Means by name: luma_psnr_db, delta_e, swd, colorfulness_frac (of the truth's mean),
        marks_f1, called_frac (of the pixels of the clean photographs, made grey, those that are
        called marks).
    """
    generator.eval()
    parts: list[tuple[Tensor, ...]] = []
    called: list[Tensor] = []
    with context:
        for batch in loader:
            restored, logits = generator(batch.damaged)
            restored = restored.float().clamp(0, 1)
            called.append(generator(make_neutral(batch.clean))[1].sigmoid() >= _CALLED_PROB)
            columns = (batch.damaged, restored, batch.clean, logits, batch.marks)
            parts.append(tuple(c.float().cpu() for c in columns))
    damaged, restored, clean, logits, marks = (torch.cat(c) for c in zip(*parts, strict=True))
    if sheet is not None:
        paint_sheet(sheet, damaged, restored, clean, torch.sigmoid(logits), marks)
    colorfulness = float(metrics.measure_colorfulness(restored).mean())
    true_colorfulness = float(metrics.measure_colorfulness(clean).mean())
    return {
        "luma_psnr_db": float(metrics.measure_luma_psnr(restored, clean).mean()),
        "delta_e": float(metrics.measure_delta_e(restored, clean).mean()),
        "swd": metrics.measure_swd(restored, clean),
        "colorfulness_frac": colorfulness / max(true_colorfulness, 1e-9),  # of grey photographs
        "marks_f1": metrics.summarise_f1(metrics.count_marks(logits, marks)),
        "called_frac": float(torch.cat(called).float().mean()),
    }


def paint_sheet(path: Path, *columns: Tensor) -> None:
    """Paint photographs side by side, one line each; the columns are batches of equal length."""
    lines = []
    for line in zip(*(c[:_SHEET_PHOTOS] for c in columns), strict=True):
        lines.append(np.concatenate([_to_picture(photo) for photo in line], axis=1))
    sheet = np.concatenate(lines, axis=0)
    encoded = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())


def _to_picture(photo: Tensor) -> NDArray[np.uint8]:
    rgb = photo.expand(3, -1, -1).permute(1, 2, 0)
    return np.asarray((rgb.clamp(0, 1) * 255).round().byte().numpy())
