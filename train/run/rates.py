"""Learning rates: each group of an optimiser has its own share of the schedule's."""

from __future__ import annotations

import torch

from train.fastai_names import OptimWrapper


def share_rate(optimizer: torch.optim.Optimizer, rate: float) -> list[float]:
    """Rates of an optimiser's groups for the schedule's rate."""
    return [rate * float(group["rate_frac"]) for group in optimizer.param_groups]


def read_rate(optimizer: OptimWrapper) -> float:
    """The schedule's rate, of which the last group has a share."""
    return float(optimizer.hypers[-1]["lr"]) / float(optimizer.opt.param_groups[-1]["rate_frac"])
