"""Looks at fixed held-out photographs while training: numbers and a sheet of pictures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.data.pairs import HeldoutLoader
from train.fastai_names import Callback, CancelValidException
from train.measure import metrics
from train.network.generator import Generator

_SHEET_PHOTOS = 8


@torch.no_grad()
def measure_heldout(
    generator: Generator,
    loader: HeldoutLoader,
    context: Callable[[], AbstractContextManager[object]],
    sheet: Path | None = None,
) -> dict[str, float]:
    """Restore the held-out photographs and measure.

    Args:
        generator: Usually the average; put into evaluation mode.
        loader: The photographs.
        context: Precision of the forward pass.
        sheet: Where to draw the first few.

    Returns:
        Means by name: luma_psnr_db, delta_e, swd, colourfulness_frac (of the truth's mean),
        marks_f1.
    """
    generator.eval()
    parts: list[tuple[Tensor, ...]] = []
    for batch in loader:
        with context():
            restored, logits = generator(batch.damaged)
        columns = (batch.damaged, restored.float().clamp(0, 1), batch.clean, logits, batch.marks)
        parts.append(tuple(c.float().cpu() for c in columns))
    damaged, restored, clean, logits, marks = (torch.cat(c) for c in zip(*parts, strict=True))
    if sheet is not None:
        draw_sheet(sheet, damaged, restored, clean, torch.sigmoid(logits), marks)
    true_colour = float(metrics.measure_colourfulness(clean).mean())
    return {
        "luma_psnr_db": float(metrics.measure_luma_psnr(restored, clean).mean()),
        "delta_e": float(metrics.measure_delta_e(restored, clean).mean()),
        "swd": metrics.measure_swd(restored, clean),
        "colourfulness_frac": float(metrics.measure_colourfulness(restored).mean()) / true_colour,
        "marks_f1": metrics.summarise_f1(metrics.count_marks(logits, marks)),
    }


def draw_sheet(path: Path, *columns: Tensor) -> None:
    """Draw photographs side by side, one line each; the columns are batches of equal length."""
    lines = []
    for line in zip(*(c[:_SHEET_PHOTOS] for c in columns), strict=True):
        lines.append(np.concatenate([_to_picture(photo) for photo in line], axis=1))
    sheet = np.concatenate(lines, axis=0)
    encoded = cv2.imencode(".jpg", sheet[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())


def _to_picture(photo: Tensor) -> NDArray[np.uint8]:
    colour = photo.expand(3, -1, -1).permute(1, 2, 0)
    return np.asarray((colour.clamp(0, 1) * 255).round().byte().numpy())


class Heldout(Callback):  # type: ignore[misc]  # fastai ships no types
    """Hands every epoch's end to a function that measures, in place of fastai's validation.

    fastai's validation can't give what is compared over all photographs at once, such as the sliced
    Wasserstein distance.
    """

    order = 50

    def __init__(self, look: Callable[[], None]) -> None:
        self.look = look

    def before_validate(self) -> None:
        """Skip fastai's validation."""
        raise CancelValidException

    def after_epoch(self) -> None:
        """Measure."""
        self.look()
