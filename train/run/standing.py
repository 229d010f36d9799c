"""Where a run stands, in memory: what changes from step to step; how it is saved and restored."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from train import parallel
from train.config.files import encode_config
from train.config.run import TrainConfig
from train.data.builds import Builds
from train.errors import RunError
from train.fastai_names import Callback
from train.run.learner import Networks
from train.run.looks import Look
from train.run.order import Order
from train.run.state import Position, RunState, get_rng_state, save_state, set_rng_state


@dataclass
class Standing:
    """A run at one moment.

    Attributes:
        folder: Where its state is saved.
        builds: Its pairs.
        config: What the run does.
        minutes: Its time limit, 0 for none.
        networks: What is trained.
        position: How far it has come.
        looks: Measurements of the adversarial stage so far.
        best: Weights of the best of them.
        broken: Indices of the broken samples met so far.
    """

    folder: Path
    builds: Builds
    config: TrainConfig
    minutes: float
    networks: Networks
    position: Position = field(default_factory=Position)
    looks: list[Look] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)

    def save(self) -> None:
        """Write the run's state; the main process alone does.

        Raises:
            RunError: If it can't be written.
        """
        if not parallel.is_main():
            return
        tensors = self.networks.get_state()
        if self.best:
            tensors["best"] = self.best
        state = RunState(
            config=encode_config(self.config).decode(),
            pairs=[str(path.resolve()) for path in self.builds.paths],
            pairs_digest=self.builds.digest(),
            minutes=self.minutes,
            position=self.position,
            tensors=tensors,
            rng=get_rng_state(),
            looks=[asdict(look) for look in self.looks],
            broken=sorted(self.broken),
        )
        save_state(self.folder, state)

    def restore(self, state: RunState) -> None:
        """Go back to where a saved run stood.

        Raises:
            RunError: If it began with other pairs.
        """
        if state.pairs_digest != self.builds.digest():
            raise RunError(f"{self.builds}: not the pairs that the run in {self.folder} began with")
        tensors = dict(state.tensors)
        self.best = tensors.pop("best", {})
        self.networks.set_state(tensors)
        self.position = state.position
        self.looks = [msgspec.convert(look, Look, strict=False) for look in state.looks]
        self.broken = set(state.broken)
        set_rng_state(state.rng)


class Saver(Callback):  # type: ignore[misc]  # fastai ships no types
    """Saves the run's state every so many seconds, when the log's window is empty."""

    order = Order.SAVER

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self._last_s = time.monotonic()

    def after_batch(self) -> None:
        """Save when it is time."""
        config, step = self.standing.config, self.standing.position.step
        if not self.training or step % config.log_steps:
            return
        if time.monotonic() - self._last_s >= config.save_s:
            self.standing.save()
            self._last_s = time.monotonic()
