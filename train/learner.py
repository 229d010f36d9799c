"""The networks and optimisers of a run, and fastai's Learner around them for one stage."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from restore.checkpoint import load_generator
from restore.network import Generator
from train.config import StageConfig, TrainConfig
from train.critic import Critic
from train.errors import TrainError
from train.fastai_names import (
    Callback,
    DataLoaders,
    Learner,
    OptimWrapper,
    ParamScheduler,
    TrainEvalCallback,
    combined_cos,
)
from train.losses import FidelityLoss

# One-cycle schedules start and end at these fractions of the highest rate.
_START_FRAC, _END_FRAC = 1 / 25, 1e-3


@dataclass
class Networks:
    """What is trained.

    Attributes:
        generator: Under training.
        average: Its weight average, which is exported.
        critic: Judges the generator.
        optimizer: The generator's.
        critic_optimizer: The critic's.
    """

    generator: Generator
    average: Generator
    critic: Critic
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer

    def get_state(self) -> dict[str, object]:
        """State of everything, by name."""
        return {name: part.state_dict() for name, part in vars(self).items()}

    def set_state(self, state: dict[str, dict[str, object]]) -> None:
        """Continue from what `get_state` returned."""
        for name, part in vars(self).items():
            part.load_state_dict(state[name])


def build_networks(config: TrainConfig, device: torch.device, init: Path | None = None) -> Networks:
    """Make the networks of a run, with random weights from the run's seed.

    Args:
        config: Sizes and seed.
        device: Where they train.
        init: Weights file to start the generator from.

    Raises:
        restore.errors.CheckpointError: If `init` can't be read.
        TrainError: If `init` is a network of another size.
    """
    torch.manual_seed(config.seed)
    generator = Generator(config.generator)
    if init is not None:
        loaded, info = load_generator(init)
        if info.config != config.generator:
            raise TrainError(
                f"{init}: a network of another size than the preset's; set [generator] in a "
                "preset file to the sizes in its metadata"
            )
        generator.load_state_dict(loaded.state_dict())
    critic = Critic(config.critic)
    for network in (generator, critic):
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this combination
    average = copy.deepcopy(generator).requires_grad_(False).eval()
    return Networks(
        generator=generator,
        average=average,
        critic=critic,
        optimizer=_build_optimizer(generator, config.weight_decay, (0.9, 0.99)),
        critic_optimizer=_build_optimizer(critic, 0.0, (0.5, 0.99)),
    )


def _build_optimizer(
    network: nn.Module, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.ndim >= 2 and p.shape[0] > 1]
    others = [p for p in network.parameters() if not (p.ndim >= 2 and p.shape[0] > 1)]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-4, betas=betas, fused=True)


def build_schedule(highest: float, warmup_frac: float) -> Callable[[float], float]:
    """One cycle: up along a cosine, then down along another; by the share of the stage done.

    Source:
        Smith, Topin 2018, "Super-convergence"; the cosines are fastai's.
    """
    schedule: Callable[[float], float] = combined_cos(
        warmup_frac, highest * _START_FRAC, highest, highest * _END_FRAC
    )
    return schedule


def build_learner(
    networks: Networks,
    config: TrainConfig,
    stage: StageConfig,
    loaders: DataLoaders,
    callbacks: list[Callback],
) -> Learner:
    """Learner for one stage: its model and optimiser are the generator's.

    fastai's Recorder and ProgressCallback are left out; train/runlog.py does their work by steps.
    """
    networks.generator.requires_grad_(stage.kind != "critic")
    schedule = ParamScheduler({"lr": build_schedule(stage.lr, config.warmup_frac)})
    learner = Learner(
        loaders,
        networks.generator,
        loss_func=FidelityLoss(config.weights, config.shape),
        cbs=[TrainEvalCallback(), schedule, *callbacks],
        default_cbs=False,
    )
    learner.opt = OptimWrapper(opt=networks.optimizer)
    return learner
