"""Photographs without colours, as tensors: grey by a film's response, some of them toned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.network.toning import make_neutral

# What red, green and blue weigh, as parameters of a Dirichlet distribution.
_RESPONSE = (2.0, 3.0, 2.0)
_TONED_PROB = 0.5
# Blue and red difference of toned ones, mostly towards brown.
_CB_RANGE, _CR_RANGE = (-0.12, 0.02), (-0.02, 0.08)
# Of that, scans in grey have nothing, a trace or all, equally often.
_SCAN_TONES = ((0.0, 0.0), (0.05, 0.25), (1.0, 1.0))


class GreyLook(NamedTuple):
    """How photographs lose their colours.

    Attributes:
        response: (N, 3, 1, 1) weights of red, green and blue, of sum 1.
        tint: (N, 3, 1, 1) RGB, added to middle grey and less to others; of no luma, or zero.
    """

    response: Tensor
    tint: Tensor


def draw_grey_scans(rngs: Sequence[np.random.Generator]) -> Tensor:
    """Draw the tone of scans in grey: (N, 3, 1, 1) as `GreyLook.tint`, often a trace or nothing."""
    tints = []
    for rng in rngs:
        share = rng.uniform(*_SCAN_TONES[rng.integers(len(_SCAN_TONES))])
        tints.append(_tint(share * rng.uniform(*_CB_RANGE), share * rng.uniform(*_CR_RANGE)))
    return torch.tensor(tints, dtype=torch.float32).reshape(len(tints), 3, 1, 1)


def draw_greys(rngs: Sequence[np.random.Generator]) -> GreyLook:
    """Draw how photographs lose their colours, for each from a generator of its own."""
    responses, tints = [], []
    for rng in rngs:
        responses.append(rng.dirichlet(_RESPONSE))
        is_toned = rng.random() < _TONED_PROB
        cb, cr = is_toned * rng.uniform(*_CB_RANGE), is_toned * rng.uniform(*_CR_RANGE)
        tints.append(_tint(cb, cr))
    as_tensors = (torch.tensor(np.array(v), dtype=torch.float32) for v in (responses, tints))
    return GreyLook(*(tensor.reshape(len(rngs), 3, 1, 1) for tensor in as_tensors))


def make_grey(clean: Tensor, look: GreyLook) -> tuple[Tensor, Tensor]:
    """Photographs (N, 3, H, W) in [0, 1] without colours: neutral, and toned, of equal luma."""
    grey = (clean * look.response).sum(1, keepdim=True).expand_as(clean)
    return grey, _tone(grey, look.tint)


def scan_grey(photo: Tensor, tint: Tensor) -> Tensor:
    """A photograph (N, 3, H, W) of the same luma, whose colours are one tone, marks and all."""
    return _tone(make_neutral(photo), tint)


def _tone(grey: Tensor, tint: Tensor) -> Tensor:
    return grey + 4 * grey * (1 - grey) * tint


def _tint(cb: float, cr: float) -> tuple[float, float, float]:
    """RGB of no luma, by ITU-R BT.601."""
    return 1.402 * cr, -0.344136 * cb - 0.714136 * cr, 1.772 * cb
