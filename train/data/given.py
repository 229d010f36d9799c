"""What the network is given besides damaged photographs: undamaged and marked ones, and true marks.

An undamaged photograph must come back as it is, and holds no marks. So that soundness isn't what
tells it, some clean photographs have nothing but marks: those of their damage, laid over them in
one ink, soft or sharp. Marks that a user knows of go the way of those that are found; so the
network learns from both. Numbers are drawn first and applied later; they depend on (seed, stage,
position in the stage) and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from train.config.stages import StageConfig
from train.damage.laid import lay_marks
from train.data.batches import Batch

# In the key of these draws, which are drawn apart from crops and hints.
_GIVEN = 3
# Users paint marks somewhat wider than they are: by up to so many pixels.
_MAX_WIDER_PX = 3
_UNKNOWN = -1
# Inks of marks that are laid: mostly light or dark, sometimes any grey; each band varies a little.
_INK_RANGES = ((0.8, 1.0), (0.0, 0.2), (0.0, 1.0))
_INK_PROBS = (0.4, 0.4, 0.2)
_TINT = 0.05
# Half of the thin ones are sharp, cut off at some opacity, the others more opaque than they were.
_SHARP_PROB = 0.5
_SHARP_GAIN = 8.0
_CUT_RANGE = (0.1, 0.4)
_GAIN_RANGE = (1.0, 4.0)
# Some are out of focus, some let the photograph through.
_BLURS_PROBS = (0.4, 0.2, 0.2, 0.2)
_STRENGTH_RANGES, _STRENGTH_PROBS = ((0.85, 1.0), (0.4, 0.85)), (0.7, 0.3)


@dataclass(frozen=True)
class Given:
    """What the photographs of a batch are given, one entry for each.

    Attributes:
        undamaged: (N,) bool; whether the clean photograph takes the place of the damaged one.
        wider_px: (N,) int64: by how much its known marks are wider than they are; -1: it has none.
        marked: (N,) bool; whether it is the clean photograph under marks alone.
        ink: (N, 3) RGB in [0, 1], of those marks.
        cut: (N,) opacity in [0, 1] up to which thin ones vanish.
        gain: (N,) by how much more opaque thin ones are beyond it.
        blurs: (N,) int64: how often they are blurred.
        strength: (N,) opacity in [0, 1] of what is opaque of them.
    """

    undamaged: NDArray[np.bool_]
    wider_px: NDArray[np.int64]
    marked: NDArray[np.bool_]
    ink: NDArray[np.float32]
    cut: NDArray[np.float32]
    gain: NDArray[np.float32]
    blurs: NDArray[np.int64]
    strength: NDArray[np.float32]


def draw_given(stage: StageConfig, seed: int, stage_number: int, positions: Sequence[int]) -> Given:
    """Draw what the photographs at some positions of a stage are given."""
    undamaged, wider_px, marked, inks, cuts, gains = [], [], [], [], [], []
    blurs, strengths = [], []
    for position in positions:
        rng = np.random.default_rng([seed, stage_number, position, _GIVEN])
        kind = rng.random()
        undamaged.append(kind < stage.undamaged_prob)
        marked.append(stage.undamaged_prob <= kind < stage.undamaged_prob + stage.marked_prob)
        is_known = rng.random() < stage.known_prob
        wider_px.append(rng.integers(_MAX_WIDER_PX + 1) if is_known else _UNKNOWN)
        grey = _draw_from(_INK_RANGES, _INK_PROBS, rng)
        inks.append(np.clip(grey + rng.uniform(-_TINT, _TINT, 3), 0, 1))
        is_sharp = rng.random() < _SHARP_PROB
        cuts.append(rng.uniform(*_CUT_RANGE) if is_sharp else 0.0)
        gains.append(_SHARP_GAIN if is_sharp else rng.uniform(*_GAIN_RANGE))
        blurs.append(rng.choice(len(_BLURS_PROBS), p=_BLURS_PROBS))
        strengths.append(_draw_from(_STRENGTH_RANGES, _STRENGTH_PROBS, rng))
    return Given(
        undamaged=np.array(undamaged, np.bool_),
        wider_px=np.array(wider_px, np.int64),
        marked=np.array(marked, np.bool_),
        ink=np.array(inks, np.float32),
        cut=np.array(cuts, np.float32),
        gain=np.array(gains, np.float32),
        blurs=np.array(blurs, np.int64),
        strength=np.array(strengths, np.float32),
    )


def _draw_from(
    ranges: Sequence[tuple[float, float]], probs: Sequence[float], rng: np.random.Generator
) -> float:
    """A number from one of several ranges."""
    return rng.uniform(*ranges[rng.choice(len(ranges), p=probs)])


def give(batch: Batch, given: Given) -> tuple[Batch, Tensor]:
    """A batch with what its photographs are given, and the known marks (N, 1, S, S) of each."""

    def spread(values: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(values).to(batch.damaged.device)
        return tensor.reshape(len(values), -1, 1, 1)

    damaged, marks = batch.damaged, batch.marks
    if given.marked.any():
        laid, opacity = lay_marks(
            batch.clean,
            batch.marks,
            ink=spread(given.ink),
            cut=spread(given.cut),
            gain=spread(given.gain),
            blurs=spread(given.blurs),
            strength=spread(given.strength),
        )
        marked = spread(given.marked)
        damaged = torch.where(marked, laid, damaged)
        marks = torch.where(marked, opacity, marks)
    undamaged = spread(given.undamaged)
    damaged = torch.where(undamaged, batch.clean, damaged)
    marks = torch.where(undamaged, 0.0, marks)
    known = torch.zeros_like(marks)
    wider_px = spread(given.wider_px)
    for reach in range(_MAX_WIDER_PX + 1):
        if (given.wider_px == reach).any():
            wider = F.max_pool2d(marks, 2 * reach + 1, stride=1, padding=reach)
            known = torch.where(wider_px == reach, wider, known)
    damaged = damaged.contiguous(memory_format=torch.channels_last)
    return batch._replace(damaged=damaged, marks=marks), known
