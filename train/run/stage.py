"""One stage of a run: its callbacks, its learner, and its passes between two looks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch

from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.damage.twin import Damages
from train.data.builds import Builds
from train.data.loader import PairLoader
from train.data.pairs import StagePairs
from train.fastai_names import Callback
from train.run.adversarial import CriticTraining
from train.run.callbacks import Autocast, Average, Consistency, Giving, Guard, Reduction
from train.run.learner import Networks, build_learner, build_schedule
from train.run.log import Progress, RunLog, StepLog
from train.run.pace import Pace, Stopper, find_report_interval
from train.run.projected import ProjectedTraining
from train.run.standing import Saver, Standing

# Steps of a pass that ends by itself, when it is time.
_MANY = 10**6


def build_step_callbacks(
    networks: Networks,
    config: TrainConfig,
    stage: StageConfig,
    pace: Pace,
    autocast: Autocast,
    log: RunLog | None,
    *,
    stage_name: str,
    broken: set[int],
) -> list[Callback]:
    """What takes part in every step of a stage, in any order.

    Args:
        networks: To train.
        config: Of the run.
        stage: What is trained.
        pace: Of the stage.
        autocast: Precision of the forward pass.
        log: Where to write; None writes nothing.
        stage_name: In the log.
        broken: Indices of the broken samples that are met are added to it.
    """
    guard = Guard(list(networks.generator.parameters()), config.clip_norm)
    step_log = StepLog(
        log, pace, guard, stage_name=stage_name, log_steps=config.log_steps, broken=broken
    )
    callbacks: list[Callback] = [pace, autocast, Reduction(), guard, step_log]
    if stage.trains_generator:
        callbacks.append(
            Average(networks.generator, networks.average, config.ema_decay, pace.position)
        )
    if stage.trains_critic:
        highest = stage.critic_lr if stage.trains_generator else stage.lr
        callbacks.append(
            CriticTraining(
                networks.critic,
                networks.critic_optimizer,
                autocast,
                build_schedule(highest, config.warmup_frac, stage.lr_end_frac),
                alone=not stage.trains_generator,
            )
        )
    if stage.has_projected_critic:
        assert networks.projected_critic is not None
        assert networks.projected_optimizer is not None
        callbacks.append(
            ProjectedTraining(
                networks.projected_critic,
                networks.projected_optimizer,
                pace.position,
                rate=stage.critic_lr,
                alone_steps=stage.critic_alone_steps,
                seed=config.seed if config.features.vary else None,
            )
        )
    if config.has_consistency(stage):
        callbacks.append(Consistency())
    if stage.is_given:
        callbacks.append(Giving(stage, config.seed, pace.position))
    return callbacks


class StageTraining:
    """The training of the stage that a run is in; while entered, it shows its progress.

    Attributes:
        name: In the log and in names of files.
        pace: How much of it is over.
        report_steps: Steps between two looks, where there is no time limit.
    """

    def __init__(
        self,
        standing: Standing,
        stage: StageConfig,
        builds: Builds,
        autocast: Autocast,
        device: torch.device,
        log: RunLog | None,
    ) -> None:
        """Build the learner.

        Args:
            standing: Of the run; moves on with every step.
            stage: The one that its position is in.
            builds: The pairs to train on.
            autocast: Precision of the forward pass.
            device: Where the networks are.
            log: Where to write; None writes nothing.
        """
        config, position = standing.config, standing.position
        self.name = f"{position.stage + 1}-{stage.kind}-{stage.size_px}"
        self.pace = Pace(position, stage.steps)
        steps = find_report_interval(stage, config.report_steps, stage.steps)
        self.report_steps = max(1, int(steps))
        report_s = find_report_interval(stage, config.report_s, position.stage_budget_s)
        self._position = position
        self._progress = Progress(self.pace, self.name)
        self._loader = PairLoader(
            StagePairs(builds, stage, config.seed, position.stage, config.find_look_px(stage)),
            stage.batch,
            _MANY if self.pace.is_timed else self.report_steps,
            config.num_workers,
            Damages(builds) if config.has_consistency(stage) else None,
        )
        callbacks = build_step_callbacks(
            standing.networks, config, stage, self.pace, autocast, log,
            stage_name=self.name, broken=standing.broken,
        )  # fmt: skip
        callbacks += [
            self._progress,
            Saver(standing),
            Stopper(self.pace, self.report_steps, report_s),
        ]
        self._learner = build_learner(
            standing.networks, config, stage, self._loader, device, callbacks
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.close()

    def is_over(self) -> bool:
        """Whether the stage's steps or its time are spent; all processes must ask together."""
        self.pace.read_clock()
        return self.pace.done_frac >= 1

    def train_pass(self) -> None:
        """Train until a look at the held-out photographs is due, or the stage is over.

        Raises:
            DivergenceError: If training went astray.
        """
        self._loader.step = self._position.step
        self._learner.fit(1)
