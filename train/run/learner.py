"""The networks and optimisers of a run, and fastai's Learner around them for one stage."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from train import parallel
from train.config import StageConfig, TrainConfig
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
from train.losses.fidelity import CoarseLoss, FidelityLoss
from train.network.checkpoint import load_generator
from train.network.config import GeneratorConfig
from train.network.critic import Critic
from train.network.generator import Generator
from train.network.pretrained import load_classifiers
from train.run.callbacks import NameBatch, SkipValidation

# Inputs of a layer that learns at the schedule's rate: 3 x 3 pixels of 64 channels.
_RATED_FAN_IN = 576
# A trained classifier changes more slowly than what is built on it.
_CLASSIFIER_RATE_FRAC = 1 / 3
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


def build_networks(
    config: TrainConfig,
    device: torch.device,
    init: Path | None = None,
    *,
    is_resumed: bool = False,
) -> Networks:
    """Make the networks of a run, with random weights from the run's seed.

    Args:
        config: Sizes and seed.
        device: Where they train.
        init: Weights file to start the generator from; see `_can_grow`.
        is_resumed: Whether other weights will replace these, so that none need be fetched.

    Raises:
        restore.errors.CheckpointError: If `init` can't be read.
        TrainError: If `init` is a network of another size, or an encoder's ImageNet weights can't
            be fetched.
    """
    torch.manual_seed(config.seed)
    generator = Generator(config.generator)
    if config.pretrained and not is_resumed and parallel.is_main():  # the others copy from it
        load_classifiers(generator)
    if init is not None:
        loaded, info = load_generator(init)
        if not _can_grow(info.config, config.generator):
            raise TrainError(
                f"{init}: a network of another size than the preset's; set [generator] in a "
                "preset file to the sizes in its metadata"
            )
        _grow(generator, loaded.state_dict())
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


def _can_grow(old: GeneratorConfig, new: GeneratorConfig) -> bool:
    """Whether weights of one network are a start for another.

    A global branch may be added or see another size, the stem may see the original too, and the
    marks' decoder may grow wider.
    """
    grown = replace(
        old, global_px=new.global_px, stem_photos=new.stem_photos, marks_width=new.marks_width
    )
    return (
        grown == new
        and bool(old.global_px) <= bool(new.global_px)
        and old.stem_photos <= new.stem_photos
        and old.marks_width <= new.marks_width
    )


@torch.no_grad()
def _grow(generator: Generator, weights: Mapping[str, Tensor]) -> None:
    """Take over the weights of a network that `_can_grow` into this one, which then does the same.

    What was there sees nothing of what is new; what is new begins at random, and is heeded as the
    weights learn that begin at zero.

    Source:
        Chen, Goodfellow, Shlens 2016, "Net2Net"; ours adds channels rather than splitting them.
    """
    for name, value in generator.state_dict().items():
        if name in weights:
            old = weights[name]
            value[: len(old)] = 0
            value[tuple(map(slice, old.shape))] = old


def _build_optimizer(
    network: nn.Module, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    """AdamW whose steps are smaller in layers with many inputs.

    A step of Adam changes every weight by about the learning rate, so the sum over a layer's inputs
    changes in proportion to their number: at one rate the wide layers are unstable before the
    narrow ones, at native resolution, have learned to take grain away. Each group notes how its
    rate relates to the schedule's in `rate_frac`.

    Source:
        Yang et al. 2021, "Tensor programs V", table 3 (rate ∝ 1 / fan-in for Adam); we take the
        square root, as in Karras et al. 2018, "Progressive growing of GANs", section 4.1.
    """
    weights: dict[int, list[nn.Parameter]] = {}
    others: list[nn.Parameter] = []
    classifier: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if name.startswith("global_branch.encoder."):
            classifier.append(parameter)
        elif parameter.ndim == 4 and parameter.shape[0] > 1:
            weights.setdefault(parameter[0].numel(), []).append(parameter)
        else:
            others.append(parameter)
    groups: list[dict[str, object]] = [
        {"params": ps, "weight_decay": weight_decay, "rate_frac": (_RATED_FAN_IN / fan_in) ** 0.5}
        for fan_in, ps in sorted(weights.items())
    ]
    groups.append({"params": others, "weight_decay": 0.0, "rate_frac": 1.0})
    if classifier:
        groups.append(
            {"params": classifier, "weight_decay": weight_decay, "rate_frac": _CLASSIFIER_RATE_FRAC}
        )
    return torch.optim.AdamW(groups, lr=1e-4, betas=betas, fused=True)


def share_rate(optimizer: torch.optim.Optimizer, rate: float) -> list[float]:
    """Rates of an optimiser's groups for the schedule's rate."""
    return [rate * float(group["rate_frac"]) for group in optimizer.param_groups]


def build_schedule(highest: float, warmup_frac: float) -> Callable[[float], float]:
    """One cycle: up along a cosine, then down along another; by the share of the stage done.

    Source:
        Smith, Topin 2018, "Super-convergence"; the cosines are fastai's.
    """
    schedule: Callable[[float], float] = combined_cos(
        warmup_frac, highest * _START_FRAC, highest, highest * _END_FRAC
    )
    return schedule


def choose_learners(generator: Generator, stage: StageConfig) -> None:
    """Say which of a generator's weights learn in a stage.

    A global branch learns in global stages only: what follows it takes its work as it is.
    """
    generator.requires_grad_(stage.trains_generator and not stage.is_global)
    branch = generator.global_branch
    if branch is not None:
        branch.requires_grad_(stage.is_global)
        if stage.is_global:
            branch.encoder.freeze(stage.frozen_blocks)
    for parameter in generator.parameters():
        if not parameter.requires_grad:
            parameter.grad = None  # of an earlier stage


class BranchOnly(nn.Module):
    """A generator of which only the global branch is run; finds no marks."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """See `Generator.forward`."""
        return self.generator.adjust_globally(photo), torch.zeros_like(photo[:, :1])


def build_learner(
    networks: Networks,
    config: TrainConfig,
    stage: StageConfig,
    loader: Iterable[tuple[object, ...]],
    device: torch.device,
    callbacks: Sequence[Callback],
) -> Learner:
    """Learner for one stage: its model and optimiser are the generator's.

    fastai's Recorder and ProgressCallback are left out; train/run/log.py does their work by steps.

    Args:
        networks: To train.
        config: Loss and schedule.
        stage: What learns.
        loader: Of the pairs; gives the fields of a `Batch` as plain tuples.
        device: Where the networks are, and where batches go.
        callbacks: Of the step, in any order: each declares its own, see train/run/order.py.
    """
    choose_learners(networks.generator, stage)
    rate = build_schedule(stage.lr, config.warmup_frac)
    schedule = ParamScheduler({"lr": lambda pct: share_rate(networks.optimizer, rate(pct))})
    model: nn.Module = networks.generator
    loss = FidelityLoss(config.weights, config.shape)
    if stage.is_global:
        model, loss = BranchOnly(networks.generator), CoarseLoss(config.weights, config.shape)
    learner = Learner(
        DataLoaders(loader, loader, device=device),  # the second is never read: SkipValidation
        model,
        loss_func=loss,
        cbs=[TrainEvalCallback(), NameBatch(), SkipValidation(), schedule, *callbacks],
        default_cbs=False,
    )
    learner.opt = OptimWrapper(opt=networks.optimizer)
    return learner
