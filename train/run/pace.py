"""How far a stage has come, by steps or by the clock, and when a pass of it ends."""

from __future__ import annotations

import time

from train import parallel
from train.config.stages import StageConfig
from train.fastai_names import Callback, CancelTrainException
from train.run.order import Order
from train.run.state import Position

# An adversarial stage is looked at so often at least.
_MIN_ADVERSARIAL_LOOKS = 8


class Pace(Callback):  # type: ignore[misc]  # fastai ships no types
    """Counts steps and seconds, and tells the schedules how much of the stage is over.

    With a time limit that is the share of time spent, so schedules complete however fast the
    machine is; otherwise the share of steps done. All processes go by the main one's clock.

    Attributes:
        elapsed_s: Seconds spent in this stage, earlier runs of it included, when last read.
    """

    order = Order.PACE

    def __init__(self, position: Position, num_steps: int) -> None:
        self.position = position
        self.num_steps = num_steps
        self.elapsed_s = position.stage_s
        self._start_s = time.monotonic() - position.stage_s

    @property
    def is_timed(self) -> bool:
        """Whether the stage ends by time."""
        return self.position.stage_budget_s > 0

    @property
    def done_frac(self) -> float:
        """Share of the stage that is over."""
        if self.is_timed:
            return min(1.0, self.elapsed_s / self.position.stage_budget_s)
        return min(1.0, self.position.step / self.num_steps)

    def read_clock(self) -> None:
        """Find out how much time has passed; all processes must ask together."""
        elapsed_s = time.monotonic() - self._start_s
        self.elapsed_s = parallel.agree(elapsed_s) if self.is_timed else elapsed_s

    def before_batch(self) -> None:
        """Overrule fastai's own count, which knows epochs only."""
        if self.training:
            self.read_clock()
            self.learn.pct_train = self.done_frac

    def after_batch(self) -> None:
        """Count."""
        if self.training:
            self.position.step += 1
            self.position.total_steps += 1
            self.read_clock()
            self.position.stage_s = self.elapsed_s


class Stopper(Callback):  # type: ignore[misc]  # fastai ships no types
    """Ends a pass when a look at the held-out photographs is due, and at the stage's end."""

    order = Order.STOPPER

    def __init__(self, pace: Pace, report_steps: int, report_s: float) -> None:
        self.pace = pace
        self.report_steps = report_steps
        self.report_s = report_s
        self._pass_start_s = 0.0

    def before_epoch(self) -> None:
        """Note when the pass began."""
        self.pace.read_clock()
        self._pass_start_s = self.pace.elapsed_s

    def after_batch(self) -> None:
        """End the pass."""
        if not self.training:
            return
        if self.pace.is_timed:
            is_due = self.pace.elapsed_s - self._pass_start_s >= self.report_s
        else:
            is_due = self.pace.position.step % self.report_steps == 0
        if is_due or self.pace.done_frac >= 1:
            raise CancelTrainException


def find_report_interval(stage: StageConfig, interval: float, length: float) -> float:
    """Interval between two looks, in the unit of the stage's length.

    Args:
        stage: An adversarial one is looked at eight times at least.
        interval: Between two looks in other stages.
        length: Of the stage.
    """
    return min(interval, length / _MIN_ADVERSARIAL_LOOKS) if stage.may_end_early else interval
