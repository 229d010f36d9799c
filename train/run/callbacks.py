"""fastai callbacks of the training loop; each does one thing.

`order` says who comes first in an event: pace, precision, reduction, guard, average,
critic (train/run/adversarial.py), schedule (fastai's, 60), log, save, stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import nn

from train import parallel
from train.config import StageConfig
from train.errors import DivergenceError
from train.fastai_names import (
    Callback,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
)
from train.run.state import Position

# Steps in a row without a finite gradient after which training ends.
_MAX_BAD_STEPS = 5
# The smoothed loss may rise to this many times its lowest value.
_MAX_RISE = 3.0
_SMOOTHING = 0.98
_SETTLING_STEPS = 200


class Pace(Callback):  # type: ignore[misc]  # fastai ships no types
    """Counts steps and seconds, and tells the schedules how much of the stage is over.

    With a time limit that is the share of time spent, so schedules complete however fast the
    machine is; otherwise the share of steps done. All processes go by the main one's clock.

    Attributes:
        elapsed_s: Seconds spent in this stage, earlier runs of it included, when last read.
    """

    order = -5

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


class Autocast(Callback):  # type: ignore[misc]  # fastai ships no types
    """Forward pass in bfloat16, on CPU and GPU; losses in float32.

    fastai's own MixedPrecision knows CUDA only.
    """

    order = -4

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = precision
        self._open: AbstractContextManager[object] | None = None

    def build_context(self) -> AbstractContextManager[object]:
        """A context in which forward passes run in the chosen precision."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)

    def before_batch(self) -> None:
        """Begin."""
        self._open = self.build_context()
        self._open.__enter__()

    def after_pred(self) -> None:
        """End, before the losses."""
        self.close()
        self.learn.pred = tuple(p.float() for p in self.pred)

    def after_cancel_batch(self) -> None:
        """End, if the batch was cut short."""
        self.close()

    def close(self) -> None:
        """End, also after an error that fastai lets through: else all that follows runs so."""
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None


class Reduction(Callback):  # type: ignore[misc]  # fastai ships no types
    """Makes the gradient that of the whole batch, where several processes share it."""

    order = 0
    run_valid = False

    def after_backward(self) -> None:
        """Average over the processes, before anything looks at the gradient."""
        parallel.average_gradients(self.model.parameters())


class Guard(Callback):  # type: ignore[misc]  # fastai ships no types
    """Shortens long gradients, skips broken ones, and stops a training that went astray."""

    order = 0

    def __init__(self, parameters: list[nn.Parameter], clip_norm: float) -> None:
        self.parameters = parameters
        self.clip_norm = clip_norm
        self.grad_norm = torch.zeros(())
        self._num_bad = 0
        self._num_steps = 0
        self._smooth = 0.0
        self._lowest = float("inf")

    def after_loss(self) -> None:
        """Follow the loss, before the critic adds to it."""
        if not self.training:
            return
        loss = float(parallel.average(self.loss))
        if loss != loss:
            return  # before_step counts it
        self._num_steps += 1
        share = max(1 - _SMOOTHING, 1 / self._num_steps)
        self._smooth += share * (loss - self._smooth)
        if self._num_steps >= _SETTLING_STEPS:
            self._lowest = min(self._lowest, self._smooth)
            if self._smooth > _MAX_RISE * self._lowest:
                raise DivergenceError(
                    f"the loss rose from {self._lowest:.3g} to {self._smooth:.3g}; lower the "
                    "learning rate"
                )

    def before_step(self) -> None:
        """Clip, or skip the step if the gradient isn't finite."""
        self.grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        if bool(torch.isfinite(self.grad_norm)):
            self._num_bad = 0
            return
        self._num_bad += 1
        if self._num_bad >= _MAX_BAD_STEPS:
            raise DivergenceError(
                f"{self._num_bad} steps in a row without a finite gradient; lower the learning "
                'rate, or train with precision = "fp32"'
            )
        raise CancelStepException


class Average(Callback):  # type: ignore[misc]  # fastai ships no types
    """Exponential moving average of the generator's weights; it is what is exported.

    Source:
        Karras et al. 2018, "Progressive growing of GANs", section 4 (weights for images are an
        average); the slow start is that of TensorFlow's ExponentialMovingAverage.
    """

    order = 5

    def __init__(self, generator: nn.Module, average: nn.Module, decay: float, position: Position):
        self.averages: list[torch.Tensor] = list(average.parameters())
        self.weights: list[torch.Tensor] = list(generator.parameters())
        self.decay = decay
        self.position = position

    @torch.no_grad()
    def after_step(self) -> None:
        """Follow the generator."""
        num = self.position.num_updates
        decay = min(self.decay, (1 + num) / (10 + num))
        torch._foreach_lerp_(self.averages, self.weights, 1 - decay)
        self.position.num_updates += 1


class Saver(Callback):  # type: ignore[misc]  # fastai ships no types
    """Saves the run's state every so many seconds, when the log's window is empty."""

    order = 80

    def __init__(self, save: Callable[[], None], position: Position, log_steps: int, save_s: float):
        self.save = save
        self.position = position
        self.log_steps = log_steps
        self.save_s = save_s
        self._last_s = time.monotonic()

    def after_batch(self) -> None:
        """Save when it is time."""
        if not self.training or self.position.step % self.log_steps:
            return
        if time.monotonic() - self._last_s >= self.save_s:
            self.save()
            self._last_s = time.monotonic()


class Stopper(Callback):  # type: ignore[misc]  # fastai ships no types
    """Ends an epoch when it is time to look at the held-out photographs, and the stage at its end.

    It is last in every event, so that cancelling skips nobody.
    """

    order = 100

    def __init__(self, pace: Pace, report_steps: int, report_s: float) -> None:
        self.pace = pace
        self.report_steps = report_steps
        self.report_s = report_s
        self.must_stop = False
        self._epoch_start_s = 0.0

    def before_epoch(self) -> None:
        """Note when the epoch began."""
        self.pace.read_clock()
        self._epoch_start_s = self.pace.elapsed_s

    def after_batch(self) -> None:
        """End the epoch."""
        if not self.training:
            return
        if self.pace.is_timed:
            report = self.pace.elapsed_s - self._epoch_start_s >= self.report_s
        else:
            report = self.pace.position.step % self.report_steps == 0
        if report or self.pace.done_frac >= 1:
            raise CancelTrainException

    def after_epoch(self) -> None:
        """End the stage."""
        self.pace.read_clock()  # the look took time too
        if self.must_stop or self.pace.done_frac >= 1:
            raise CancelFitException


def find_report_interval(stage: StageConfig, interval: float, length: float) -> float:
    """Interval between two looks: the adversarial stage is looked at eight times at least."""
    return min(interval, length / 8) if stage.kind == "adversarial" else interval
