"""One run in several processes, started by torchrun: each takes its part of every batch.

The loss is that of the whole batch. Most terms are means over photographs, and the mean over the
whole batch is the mean of the processes' means, values and gradients alike; so the gradients are
averaged after the backward pass. Where a term is something else (the Dice of the marks, weights
relative to their own mean), the sums that it is made of are united first, see `unite`.

What depends on the clock or on a measurement is decided by the main process and told to the others;
files are written by the main process alone. In a run of one process all of this does nothing.

Gradients are averaged here and not by DistributedDataParallel since a step runs the critic up to
four times, with and without gradients of its own, and its spectral norm changes in each; one
reduction of all gradients is exact and leaves the networks as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from train.errors import ConfigError, RunError

T = TypeVar("T")

# The others wait while the main process measures, draws and saves.
_PATIENCE = timedelta(hours=1)


@contextmanager
def join() -> Iterator[None]:
    """Join the other processes of the run, if torchrun started this one; leave them at the end.

    Raises:
        RunError: If there are fewer GPUs than processes.
    """
    if not dist.is_torchelastic_launched() or dist.is_initialized():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        local_rank, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local_rank >= num_gpus:
            raise RunError(f"more processes than GPUs; use torchrun --nproc-per-node {num_gpus}")
        torch.cuda.set_device(local_rank)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """Processes of the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def get_rank() -> int:
    """Number of this process; 0 is the main one."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes the files and decides."""
    return get_rank() == 0


def pick_device() -> torch.device:
    """Where this process trains."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def share_batch(batch: int) -> int:
    """Photographs of a batch that fall to each process.

    Raises:
        ConfigError: If they can't be shared evenly.
    """
    if batch % count():
        raise ConfigError(
            f"a batch of {batch} photographs can't be shared evenly by {count()} processes; start "
            "as many processes as divide it, or set another batch in a preset file"
        )
    return batch // count()


def average(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without its gradient."""
    return _average_in_place(value.detach().clone()) if dist.is_initialized() else value.detach()


def _average_in_place(total: Tensor) -> Tensor:
    with _explain_loss():
        dist.all_reduce(total)
    return total.div_(count())


def unite(mean: Tensor) -> Tensor:
    """A mean over this process's photographs turned into that over the whole batch.

    Let the loss be G(m), m the mean of the processes' means m_r. Its gradient is G'(m) ∇m, and ∇m
    the mean of the ∇m_r. Each process gives its m_r the value m and keeps the gradient ∇m_r; the
    average of the gradients over the processes, taken after the backward pass, does the rest.
    """
    return mean + (average(mean) - mean).detach() if dist.is_initialized() else mean


def average_whole(value: Tensor) -> Tensor:
    """Mean over the processes of a tensor that each goes on with in its own way, gradient and all.

    Unlike after `unite`, the gradients of all processes flow back into each one's value.
    """
    if not dist.is_initialized():
        return value
    with _explain_loss():
        return all_reduce(value) / count()  # type: ignore[no-untyped-call]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give every process the mean of all gradients, in one exchange."""
    if not dist.is_initialized():
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    united = _average_in_place(torch.cat([g.flatten() for g in gradients]))
    parts = torch.split(united, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def copy_from_main(network: nn.Module) -> None:
    """Give every process the main one's weights and buffers."""
    if not dist.is_initialized():
        return
    with _explain_loss(), torch.no_grad():
        for tensor in network.state_dict().values():
            whole = tensor.contiguous()  # channels-last is another order in memory
            dist.broadcast(whole, src=0)
            tensor.copy_(whole)


def agree(value: T) -> T:
    """The main process's value of something small."""
    if not dist.is_initialized():
        return value
    box: list[Any] = [value]
    with _explain_loss():
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    agreed: T = box[0]
    return agreed


def gather(value: T) -> list[T]:
    """Every process's value of something small, in order."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * count()
    with _explain_loss():
        dist.all_gather_object(values, value)
    return values


@contextmanager
def raise_together() -> Iterator[None]:
    """An error in one process ends all of them, and is told once.

    Nothing inside may wait for other processes.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    failed = gather(error is not None)
    if error is not None and failed.index(True) == get_rank():
        raise error
    if any(failed):
        raise SystemExit(1)


@contextmanager
def _explain_loss() -> Iterator[None]:
    """Say in one line that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise RunError("another process of this run ended; its own message says why") from error
