"""What the network is given besides damaged photographs: some undamaged ones, and some true marks.

An undamaged photograph must come back as it is, and holds no marks. Marks that a user knows of go
the way of those that are found; so the network learns from both. Numbers are drawn first and
applied later; they depend on (seed, stage, position in the stage) and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from train.config.stages import StageConfig
from train.data.batches import Batch

# In the key of these draws, which are drawn apart from crops and hints.
_GIVEN = 3
# Users paint marks somewhat wider than they are: by up to so many pixels.
_MAX_WIDER_PX = 3
_UNKNOWN = -1


@dataclass(frozen=True)
class Given:
    """What the photographs of a batch are given, one entry for each.

    Attributes:
        undamaged: (N,) bool; whether the clean photograph takes the place of the damaged one.
        wider_px: (N,) int64: by how much its known marks are wider than they are; -1: it has none.
    """

    undamaged: NDArray[np.bool_]
    wider_px: NDArray[np.int64]


def draw_given(stage: StageConfig, seed: int, stage_number: int, positions: Sequence[int]) -> Given:
    """Draw what the photographs at some positions of a stage are given."""
    undamaged, wider_px = [], []
    for position in positions:
        rng = np.random.default_rng([seed, stage_number, position, _GIVEN])
        undamaged.append(rng.random() < stage.undamaged_prob)
        is_known = rng.random() < stage.known_prob
        wider_px.append(rng.integers(_MAX_WIDER_PX + 1) if is_known else _UNKNOWN)
    return Given(np.array(undamaged, np.bool_), np.array(wider_px, np.int64))


def give(batch: Batch, given: Given) -> tuple[Batch, Tensor]:
    """A batch with some photographs undamaged, and the known marks (N, 1, S, S) of each."""
    undamaged = torch.from_numpy(given.undamaged).to(batch.damaged.device)[:, None, None, None]
    damaged = torch.where(undamaged, batch.clean, batch.damaged)
    marks = torch.where(undamaged, 0.0, batch.marks)
    known = torch.zeros_like(marks)
    wider_px = torch.from_numpy(given.wider_px).to(marks.device)[:, None, None, None]
    for reach in range(_MAX_WIDER_PX + 1):
        if (given.wider_px == reach).any():
            wider = F.max_pool2d(marks, 2 * reach + 1, stride=1, padding=reach)
            known = torch.where(wider_px == reach, wider, known)
    damaged = damaged.contiguous(memory_format=torch.channels_last)
    return batch._replace(damaged=damaged, marks=marks), known
