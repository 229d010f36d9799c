"""fastai callbacks of a step; each does one thing, and train/run/order.py has their order."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from train import parallel
from train.config.stages import StageConfig
from train.data.batches import Batch
from train.data.given import draw_given, give
from train.errors import DivergenceError
from train.fastai_names import Callback, CancelStepException, CancelValidException, Learner
from train.losses.consistency import measure_consistency_loss
from train.losses.fidelity import FidelityLoss
from train.run.order import Order
from train.run.state import Position

# Steps in a row without a finite gradient after which training ends.
_MAX_BAD_STEPS = 5
# The smoothed loss may rise to this many times its lowest value.
_MAX_RISE = 3.0
_SMOOTHING = 0.98
_SETTLING_STEPS = 200


class NameBatch(Callback):  # type: ignore[misc]  # fastai ships no types
    """Gives a batch its names back: fastai moves plain tuples to the device, and no named ones.

    The others find the `Batch` as `self.batch`; the loss gets the clean photographs, the marks and
    the damaged photographs; both it and the network get looks at the wholes, where there are any.
    In colour stages it gets the clean ones and hints, and the network gets hints, too.
    """

    order = Order.NAME_BATCH

    def before_batch(self) -> None:
        """Name the fields."""
        batch = Batch(*self.xb, *self.yb)
        self.learn.batch = batch
        if batch.hints is None:
            self.learn.yb = (batch.clean, batch.marks, batch.damaged)
            _show_whole(self.learn, None, batch)
        else:
            self.learn.xb = (batch.damaged, batch.hints)
            self.learn.yb = (batch.clean, batch.hints)


def _show_whole(learn: Learner, known: Tensor | None, batch: Batch) -> None:
    """Give the network and the loss the look at the whole, where the batch brings one."""
    if batch.look is not None:
        learn.xb = (batch.damaged, known, batch.look)
        learn.yb = (batch.clean, batch.marks, batch.damaged, batch.look)


class Giving(Callback):  # type: ignore[misc]  # fastai ships no types
    """Gives the generator true marks and undamaged photographs, as often as the stage says."""

    order = Order.GIVING
    run_valid = False

    def __init__(self, stage: StageConfig, seed: int, position: Position) -> None:
        self.stage = stage
        self.seed = seed
        self.position = position

    def before_batch(self) -> None:
        """Change the batch."""
        num, num_processes = len(self.batch.damaged), parallel.count()
        first = self.position.step * num * num_processes + parallel.get_rank()
        positions = range(first, first + num * num_processes, num_processes)
        given = draw_given(self.stage, self.seed, self.position.stage, positions)
        self.learn.batch, known = give(self.batch, given)
        self.learn.yb = (self.batch.clean, self.batch.marks, self.batch.damaged)
        self.learn.xb = (self.batch.damaged, known)
        _show_whole(self.learn, known, self.batch)


class SkipValidation(Callback):  # type: ignore[misc]  # fastai ships no types
    """Skips fastai's validation.

    It can't give what is compared over all photographs at once, such as the sliced Wasserstein
    distance. The run measures the held-out photographs itself, between two passes.
    """

    order = Order.SKIP_VALIDATION

    def before_validate(self) -> None:
        """Skip it."""
        raise CancelValidException


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16, without which it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    list_capabilities = getattr(torch.cpu, "get_capabilities", None)  # torch 2.6 has none
    if device.type != "cpu" or list_capabilities is None:
        return False
    found = list_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class Autocast(Callback):  # type: ignore[misc]  # fastai ships no types
    """Forward pass in bfloat16, on CPU and GPU; losses in float32.

    fastai's own MixedPrecision knows CUDA only.

    Attributes:
        is_half: Whether it is; of "auto", where the device has instructions for it.
    """

    order = Order.AUTOCAST

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device = device
        self.is_half = precision == "bf16" or (precision == "auto" and has_bfloat16(device))
        self._open: AbstractContextManager[object] | None = None

    def build_context(self) -> AbstractContextManager[object]:
        """A context in which forward passes run in the chosen precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_half)

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

    order = Order.REDUCTION
    run_valid = False

    def after_backward(self) -> None:
        """Average over the processes, before anything looks at the gradient."""
        parallel.average_gradients(self.model.parameters())


class Clip(Callback):  # type: ignore[misc]  # fastai ships no types
    """Shortens long gradients, and skips broken ones."""

    order = Order.GUARD

    def __init__(self, parameters: list[nn.Parameter], clip_norm: float) -> None:
        self.parameters = parameters
        self.clip_norm = clip_norm
        self.grad_norm = torch.zeros(())
        self.num_bad = 0

    def before_step(self) -> None:
        """Clip, or skip the step if the gradient isn't finite."""
        self.grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        if bool(torch.isfinite(self.grad_norm)):
            self.num_bad = 0
            return
        self.num_bad += 1
        raise CancelStepException


class Guard(Clip):
    """The same, and stops a training that went astray."""

    def __init__(self, parameters: list[nn.Parameter], clip_norm: float) -> None:
        super().__init__(parameters, clip_norm)
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
        """Count what `Clip` skips."""
        try:
            super().before_step()
        except CancelStepException:
            if self.num_bad >= _MAX_BAD_STEPS:
                raise DivergenceError(
                    f"{self.num_bad} steps in a row without a finite gradient; lower the learning "
                    'rate, or train with precision = "fp32"'
                ) from None
            raise


def _list_changing(network: nn.Module) -> list[torch.Tensor]:
    """Weights, and statistics of norms."""
    return [*network.parameters(), *(b for b in network.buffers() if b.is_floating_point())]


class Average(Callback):  # type: ignore[misc]  # fastai ships no types
    """Exponential moving average of the generator's weights; it is what is exported.

    Source:
        Karras et al. 2018, "Progressive growing of GANs", section 4 (weights for images are an
        average); the slow start is that of TensorFlow's ExponentialMovingAverage.
    """

    order = Order.AVERAGE

    def __init__(self, generator: nn.Module, average: nn.Module, decay: float, position: Position):
        self.averages = _list_changing(average)
        self.weights = _list_changing(generator)
        self.decay = decay
        self.position = position

    @torch.no_grad()
    def after_step(self) -> None:
        """Follow the generator."""
        num = self.position.num_updates
        decay = min(self.decay, (1 + num) / (10 + num))
        torch._foreach_lerp_(self.averages, self.weights, 1 - decay)
        self.position.num_updates += 1


class Consistency(Callback):  # type: ignore[misc]  # fastai ships no types
    """Adds the damage consistency of each batch to the generator's loss."""

    order = Order.CONSISTENCY
    run_valid = False

    def after_loss(self) -> None:
        """Add the term."""
        loss: FidelityLoss = self.loss_func
        batch: Batch = self.batch
        assert batch.damage is not None  # the loader was asked for it
        damage = batch.damage.unpack(batch.damaged.device)
        value = measure_consistency_loss(self.pred[0], batch.damaged, damage)
        self.learn.loss_grad += loss.weigh("consistency", value)
        self.learn.loss = self.loss_grad.detach().clone()
