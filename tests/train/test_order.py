"""The order of the callbacks: declared, and never left to how they happen to be listed."""

from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastcore.foundation import L
from training_runs import TINY, build_pairs, read_log

from train.fastai_names import Callback, ParamScheduler, TrainEvalCallback
from train.run import stage as stage_module
from train.run.adversarial import CriticTraining
from train.run.callbacks import (
    Autocast,
    Average,
    Consistency,
    Giving,
    Guard,
    NameBatch,
    Reduction,
    SkipValidation,
)
from train.run.log import Progress, StepLog
from train.run.order import Order
from train.run.pace import Pace, Stopper
from train.run.projected import ProjectedTraining
from train.run.run import Run
from train.run.standing import Saver

OURS = (
    Autocast,
    Average,
    Consistency,
    CriticTraining,
    Giving,
    Guard,
    NameBatch,
    Pace,
    Progress,
    ProjectedTraining,
    Reduction,
    Saver,
    SkipValidation,
    StepLog,
    Stopper,
)

# Who must come before whom, in which events, and why.
DEPENDENCIES = [
    # It computes a share of its own, which knows epochs only and is overruled.
    (TrainEvalCallback, Pace, "after_batch", "before_batch"),
    # The rate follows from the share of the stage that is over.
    (Pace, ParamScheduler, "before_batch", "before_batch"),
    # The network's output is float32, and the autocast over, before the critic's own begins.
    (Autocast, CriticTraining, "after_pred", "after_pred"),
    # It follows the generator's own loss: a critic that grows stronger is no divergence.
    (Guard, Consistency, "after_loss", "after_loss"),
    (Guard, CriticTraining, "after_loss", "after_loss"),
    (Guard, ProjectedTraining, "after_loss", "after_loss"),
    # Sums in another order are other numbers.
    (Consistency, CriticTraining, "after_loss", "after_loss"),
    # What is clipped is the gradient of the whole batch.
    (Reduction, Guard, "after_backward", "before_step"),
    # A line names the step that it ends with.
    (Pace, StepLog, "after_batch", "after_batch"),
    (Pace, Progress, "after_batch", "after_batch"),
    # A state is saved when the log's window is empty.
    (StepLog, Saver, "after_batch", "after_batch"),
    # It ends the pass, and those that come later would miss the step.
    *((callback, Stopper, "after_batch", "after_batch") for callback in (Pace, StepLog, Saver)),
    # The batch has names before anybody reads it.
    *((NameBatch, callback, "before_batch", "after_loss") for callback in
      (Consistency, CriticTraining, ProjectedTraining)),
    (NameBatch, StepLog, "before_batch", "after_batch"),
    # What is given takes the place of what came, for all that follows.
    (NameBatch, Giving, "before_batch", "before_batch"),
    *((Giving, callback, "before_batch", "after_loss") for callback in
      (CriticTraining, ProjectedTraining)),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "event", "later_event"), DEPENDENCIES)
def test_callbacks_that_depend_on_each_other_are_in_order(
    first: type[Callback], second: type[Callback], event: str, later_event: str
) -> None:
    """The first has the lower order, and both take part in the events that this is about."""
    assert hasattr(first, event)
    assert hasattr(second, later_event)
    assert first.order < second.order


def test_no_two_callbacks_have_the_same_order() -> None:
    """Each has its own row in the table, and none has that of fastai's."""
    orders = [callback.order for callback in (*OURS, TrainEvalCallback, ParamScheduler)]
    assert all(a != b for a, b in combinations(orders, 2))
    assert {callback.order for callback in OURS} == set(Order)


@pytest.mark.slow
def test_training_does_not_depend_on_how_callbacks_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed the other way round, they give the same losses in all stages."""
    pairs = build_pairs(tmp_path)
    short = tuple(msgspec.structs.replace(stage, steps=4) for stage in TINY.stages)
    config = msgspec.structs.replace(TINY, stages=short)
    Run(tmp_path / "listed", pairs, config).train()
    build_learner = stage_module.build_learner

    def build_reversed(*arguments: Any) -> Any:
        learner = build_learner(*arguments)
        learner.cbs = L(reversed(learner.cbs))
        return learner

    monkeypatch.setattr(stage_module, "build_learner", build_reversed)
    Run(tmp_path / "reversed", pairs, config).train()
    assert read_log(tmp_path / "reversed") == read_log(tmp_path / "listed")
