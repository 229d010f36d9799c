"""The networks and optimisers of a run, and fastai's Learner around them for one stage."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from train import parallel
from train.config.losses import LossWeights
from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.fastai_names import (
    Callback,
    DataLoaders,
    Learner,
    OptimWrapper,
    ParamScheduler,
    TrainEvalCallback,
    combined_cos,
)
from train.losses.color import ColorLoss
from train.losses.fidelity import CoarseLoss, FidelityLoss, split_luma_chroma
from train.losses.repair import MarksLoss, RepairLoss
from train.losses.terms import WeighedTerms
from train.network.critic import Critic
from train.network.features import FrozenFeatures
from train.network.generator import Generator, Look
from train.network.layers import NormedConv
from train.network.pretrained import load_classifiers
from train.network.projected_critic import ProjectedCritic
from train.network.toning import measure_toning_reduced
from train.run.callbacks import NameBatch, SkipValidation
from train.run.rates import share_rate
from train.run.start import start_from

# Inputs of a layer that learns at the schedule's rate: 3 x 3 pixels of 64 channels.
_RATED_FAN_IN = 576
# A trained classifier changes more slowly than what is built on it.
_CLASSIFIER_RATE_FRAC = 1 / 3
_COLOR_CLASSIFIER_RATE_FRAC = 1 / 4
_MARKS_CLASSIFIER_RATE_FRAC = 1 / 8  # beside norms, whose rates are high
# One-cycle schedules start at this fraction of the highest rate.
_START_FRAC = 1 / 25
# Of the projected critic, which learns at one rate: it has to keep up.
_PROJECTED_BETAS = (0.0, 0.99)


@dataclass
class Networks:
    """What is trained.

    Attributes:
        generator: Under training.
        average: Its weight average, which is exported.
        critic: Judges the generator.
        optimizer: The generator's.
        critic_optimizer: The critic's.
        projected_critic: Judges colours or detail, in runs where one does.
        projected_optimizer: The projected critic's.
        features: The frozen classifier that photographs are compared by, where they are.
    """

    generator: Generator
    average: Generator
    critic: Critic
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    projected_critic: ProjectedCritic | None = None
    projected_optimizer: torch.optim.Optimizer | None = None
    features: FrozenFeatures | None = None

    def list_trained(self) -> list[nn.Module]:
        """The networks that learn, and the average."""
        networks: list[nn.Module] = [self.generator, self.average, self.critic]
        return networks if self.projected_critic is None else [*networks, self.projected_critic]

    def get_state(self) -> dict[str, object]:
        """State of everything that changes, by name."""
        return {name: part.state_dict() for name, part in self._list_changing()}

    def set_state(self, state: dict[str, dict[str, object]]) -> None:
        """Continue from what `get_state` returned."""
        for name, part in self._list_changing():
            part.load_state_dict(state[name])

    def _list_changing(self) -> list[tuple[str, Any]]:
        return [(k, v) for k, v in vars(self).items() if v is not None and k != "features"]


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
        init: Weights file to start the generator from; see `train.run.start`.
        is_resumed: Whether other weights will replace these, so that none need be fetched.

    Raises:
        restore.errors.CheckpointError: If `init` can't be read.
        TrainError: If `init` is no start for this network, or a classifier's ImageNet weights can't
            be had.
    """
    torch.manual_seed(config.seed)
    generator = Generator(config.generator)
    if config.pretrained and not is_resumed and parallel.is_main():  # the others copy from it
        load_classifiers(generator)
    if init is not None:
        start_from(generator, init)
    critic = Critic(config.critic)
    for network in (generator, critic):
        network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this combination
    average = copy.deepcopy(generator).requires_grad_(False).eval()
    networks = Networks(
        generator=generator,
        average=average,
        critic=critic,
        optimizer=_build_optimizer(generator, config.weight_decay, (0.9, 0.99)),
        critic_optimizer=_build_optimizer(critic, 0.0, (0.5, 0.99)),
    )
    _add_judges(networks, config, device)
    return networks


def _add_judges(networks: Networks, config: TrainConfig, device: torch.device) -> None:
    """Add what photographs are judged by, in stages that a run has."""
    if not any(config.needs_features(stage) for stage in config.stages):
        return
    features = FrozenFeatures(config.features.version)
    networks.features = features.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this combination
    if any(stage.has_projected_critic for stage in config.stages):
        critic = ProjectedCritic(features.widths)
        critic.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # as above
        networks.projected_critic = critic
        networks.projected_optimizer = torch.optim.Adam(
            critic.parameters(), betas=_PROJECTED_BETAS, fused=True
        )


def _build_optimizer(
    network: nn.Module, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.Optimizer:
    """AdamW whose steps are smaller in layers with many inputs.

    A step of Adam changes every weight by about the learning rate, so the sum over a layer's inputs
    changes in proportion to their number: at one rate the wide layers are unstable before the
    narrow ones, at native resolution, have learned to take grain away. Each group notes how its
    rate relates to the schedule's in `rate_frac`. The colour network, whose layers are of much the
    same width, has one rate but for its encoder.

    Source:
        Yang et al. 2021, "Tensor programs V", table 3 (rate ∝ 1 / fan-in for Adam); we take the
        square root, as in Karras et al. 2018, "Progressive growing of GANs", section 4.1.
    """
    weights: dict[int, list[nn.Parameter]] = {}
    others: list[nn.Parameter] = []
    classifier: list[nn.Parameter] = []
    color_classifier: list[nn.Parameter] = []
    marks_classifier: list[nn.Parameter] = []
    color: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if name.startswith("global_branch.encoder."):
            classifier.append(parameter)
        elif name.startswith("color_network.encoder."):
            color_classifier.append(parameter)
        elif name.startswith("marks_network.classifier."):
            marks_classifier.append(parameter)
        elif name.startswith("color_network."):
            color.append(parameter)
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
    if marks_classifier:
        frac = _MARKS_CLASSIFIER_RATE_FRAC
        groups.append({"params": marks_classifier, "weight_decay": weight_decay, "rate_frac": frac})
    if color:
        frac = _COLOR_CLASSIFIER_RATE_FRAC
        groups += [
            {"params": color_classifier, "weight_decay": weight_decay, "rate_frac": frac},
            {"params": color, "weight_decay": weight_decay, "rate_frac": 1.0},
        ]
    return torch.optim.AdamW(groups, lr=1e-4, betas=betas, fused=True)


def build_schedule(
    highest: float, warmup_frac: float, end_frac: float = 1e-3
) -> Callable[[float], float]:
    """One cycle: up along a cosine, then down along another; by the share of the stage done.

    Source:
        Smith, Topin 2018, "Super-convergence"; the cosines are fastai's.
    """
    schedule: Callable[[float], float] = combined_cos(
        warmup_frac, highest * _START_FRAC, highest, highest * end_frac
    )
    return schedule


def choose_learners(generator: Generator, stage: StageConfig, weights: LossWeights) -> None:
    """Say which of a generator's weights learn in a stage.

    A global branch learns in global stages only: what follows it takes its work as it is. So does
    the colour network in colour stages. In marks stages the marks network learns alone; where marks
    don't count it rests, its statistics too.
    """
    is_local = stage.trains_generator and not (stage.is_global or stage.is_color)
    generator.requires_grad_(is_local and not stage.is_marks)
    if generator.config.has_close_look:
        marks_network = generator.close_look.marks_network
        marks_network.requires_grad_(is_local and (stage.is_marks or weights.marks > 0))
        for layer in marks_network.modules():
            if isinstance(layer, NormedConv):
                layer.norm_rests = stage.norms_rest
    branch, color_network = generator.global_branch, generator.color_network
    if branch is not None:
        branch.requires_grad_(stage.is_global)
        if stage.is_global:
            branch.encoder.freeze(stage.frozen_blocks)
    if color_network is not None:
        color_network.requires_grad_(stage.is_color)
        if stage.is_color:
            color_network.encoder.freeze(stage.frozen_blocks)
    for parameter in generator.parameters():
        if not parameter.requires_grad:
            parameter.grad = None  # of an earlier stage


class BranchOnly(nn.Module):
    """A generator of which only the global branch is run.

    Beside a colour network it need not guess the colours of photographs without any: they don't
    count.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Adjusted (N, 3, H, W), and how far the colours of each photograph count (N,)."""
        adjusted = self.generator.adjust_globally(photo)
        if self.generator.color_network is None:
            return adjusted, photo.new_ones(len(photo))
        return adjusted, 1 - measure_toning_reduced(photo)


class MarksOnly(nn.Module):
    """A generator with a close look of which only the marks network is run; repairs nothing."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, photo: Tensor, known_marks: Tensor | None = None, look: Look | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Generator.forward`; known marks, of which there are none, are no help."""
        adjusted = self.generator.adjust_globally(photo, look)
        return adjusted, self.generator.close_look.marks_network(adjusted, photo)


class ColorOnly(nn.Module):
    """A generator of which only the colour network is run."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor, hints: Tensor) -> tuple[Tensor]:
        """Chroma (N, 2, H / 2, W / 2) for damaged photographs (N, 3, H, W) and hints likewise."""
        assert self.generator.color_network is not None  # the configuration was checked
        with torch.autocast(photo.device.type, enabled=False):
            luma, _ = split_luma_chroma(photo)  # half precision has no more than 256 greys
        return (self.generator.color_network(luma, hints),)


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
    weights = config.weigh_terms(stage)
    choose_learners(networks.generator, stage, weights)
    rate = build_schedule(stage.lr, config.warmup_frac, stage.lr_end_frac)
    schedule = ParamScheduler({"lr": lambda pct: share_rate(networks.optimizer, rate(pct))})
    model: nn.Module = networks.generator
    features = networks.features if config.needs_features(stage) else None
    loss: WeighedTerms = FidelityLoss(weights, config.shape)
    if config.generator.has_close_look:
        guesses_colors = networks.generator.color_network is None
        loss = RepairLoss(weights, config.shape, features, guesses_colors=guesses_colors)
    if stage.is_global:
        model, loss = BranchOnly(networks.generator), CoarseLoss(weights, config.shape)
    elif stage.is_color:
        model, loss = ColorOnly(networks.generator), ColorLoss(weights, config.shape, features)
    elif stage.is_marks:
        model, loss = MarksOnly(networks.generator), MarksLoss(weights, config.shape)
    learner = Learner(
        DataLoaders(loader, loader, device=device),  # the second is never read: SkipValidation
        model,
        loss_func=loss,
        cbs=[TrainEvalCallback(), NameBatch(), SkipValidation(), schedule, *callbacks],
        default_cbs=False,
    )
    learner.opt = OptimWrapper(opt=networks.optimizer)
    return learner
