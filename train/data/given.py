"""What the network is given besides damaged photographs: undamaged and marked ones, and true marks.

An undamaged photograph must come back as it is, and holds no marks. So that soundness isn't what
tells it, some clean photographs have nothing but marks: those of their damage, laid over them in
one ink, soft or sharp. So that colours aren't, either, some of both have none, and some damaged
ones are scanned in grey, marks and all. Marks that a user knows of go the way of those that are
found; so the network learns from both. Numbers are drawn first and applied later; they depend on
(seed, stage, position in the stage) and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.config.stages import StageConfig
from train.damage.grey import GreyLook, draw_grey_scans, draw_greys, make_grey, scan_grey
from train.damage.laid import MarksLook, draw_looks, lay_marks
from train.data.batches import Batch
from train.network.toning import make_neutral
from train.sliding import max_around

# In the key of these draws, which are drawn apart from crops and hints.
_GIVEN = 3
# Users paint marks that they see, all or nothing, and somewhat wider: by up to so many pixels.
_PAINTED_OPACITY = 0.25
_MAX_WIDER_PX = 3
_UNKNOWN = -1


@dataclass(frozen=True)
class Given:
    """What the photographs of a batch are given, one entry for each.

    Attributes:
        undamaged: (N,) bool; whether the clean photograph takes the place of the damaged one.
        wider_px: (N,) int64: by how much its known marks are wider than they are; -1: it has none.
        marked: (N,) bool; whether it is the clean photograph under marks alone.
        look: Of these marks.
        grey: (N,) bool; whether an undamaged or marked one has no colours.
        grey_look: Of those.
        grey_scan: (N,) bool; whether a damaged one is scanned in grey.
        scan_tint: (N, 3, 1, 1) tone of such a scan.
    """

    undamaged: NDArray[np.bool_]
    wider_px: NDArray[np.int64]
    marked: NDArray[np.bool_]
    look: MarksLook
    grey: NDArray[np.bool_]
    grey_look: GreyLook
    grey_scan: NDArray[np.bool_]
    scan_tint: Tensor


def draw_given(stage: StageConfig, seed: int, stage_number: int, positions: Sequence[int]) -> Given:
    """Draw what the photographs at some positions of a stage are given."""
    rngs = [np.random.default_rng([seed, stage_number, place, _GIVEN]) for place in positions]
    undamaged, marked, wider_px = [], [], []
    for rng in rngs:
        kind = rng.random()
        undamaged.append(kind < stage.undamaged_prob)
        marked.append(stage.undamaged_prob <= kind < stage.undamaged_prob + stage.marked_prob)
        is_known = rng.random() < stage.known_prob
        wider_px.append(rng.integers(_MAX_WIDER_PX + 1) if is_known else _UNKNOWN)
    return Given(
        undamaged=np.array(undamaged, np.bool_),
        wider_px=np.array(wider_px, np.int64),
        marked=np.array(marked, np.bool_),
        look=draw_looks(rngs),
        grey=np.array([rng.random() < stage.grey_prob for rng in rngs], np.bool_),
        grey_look=draw_greys(rngs),
        grey_scan=np.array([rng.random() < stage.grey_scan_prob for rng in rngs], np.bool_),
        scan_tint=draw_grey_scans(rngs),
    )


def give(batch: Batch, given: Given) -> tuple[Batch, Tensor]:
    """A batch with what its photographs are given, and the known marks (N, 1, S, S) of each."""
    device = batch.damaged.device

    def spread(values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(device).reshape(-1, 1, 1, 1)

    damaged, clean, marks = batch.damaged, batch.clean, batch.marks
    sound, sound_look = clean, batch.clean_look
    becomes_grey = given.grey & (given.marked | given.undamaged)
    if becomes_grey.any():
        grey_look = GreyLook(*(part.to(device) for part in given.grey_look))
        neutral, toned = make_grey(clean, grey_look)
        sound = torch.where(spread(becomes_grey), toned, clean)
        clean = torch.where(spread(becomes_grey), neutral, clean)
        if sound_look is not None:
            _, toned_look = make_grey(sound_look, grey_look)
            sound_look = torch.where(spread(becomes_grey), toned_look, sound_look)
    is_scanned = given.grey_scan & ~(given.marked | given.undamaged)
    whole = batch.look
    if is_scanned.any():
        tint, scanned = given.scan_tint.to(device), spread(is_scanned)
        damaged = torch.where(scanned, scan_grey(damaged, tint), damaged)
        clean = torch.where(scanned, make_neutral(clean), clean)
        if whole is not None:
            toned = torch.where(scanned, scan_grey(whole.photo, tint), whole.photo)
            whole = replace(whole, photo=toned)
    if given.marked.any():
        look = MarksLook(*(numbers.to(device) for numbers in given.look))
        laid, opacity = lay_marks(sound, batch.marks, look)
        marked = spread(given.marked)
        damaged = torch.where(marked, laid, damaged)
        marks = torch.where(marked, opacity, marks)
    undamaged = spread(given.undamaged)
    damaged = torch.where(undamaged, sound, damaged)
    marks = torch.where(undamaged, 0.0, marks)
    painted = (marks >= _PAINTED_OPACITY).to(marks.dtype)
    known = torch.zeros_like(marks)
    wider_px = spread(given.wider_px)
    for reach in range(_MAX_WIDER_PX + 1):
        if (given.wider_px == reach).any():
            wider = max_around(painted, 2 * reach + 1)
            known = torch.where(wider_px == reach, wider, known)
    damaged = damaged.contiguous(memory_format=torch.channels_last)
    if whole is not None and sound_look is not None:  # marks hardly change what the branch makes
        is_sound = spread(given.undamaged | given.marked)
        whole = replace(whole, photo=torch.where(is_sound, sound_look, whole.photo))
    return batch._replace(damaged=damaged, clean=clean, marks=marks, look=whole), known
