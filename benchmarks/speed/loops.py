"""The loops that `training.py` measures: ours in fastai, and the same without it.

Both take the same steps on the same batches, which lie ready in memory, so that what they differ by
is the loop alone; that their weights stay the same is measured too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.damage.twin import Damages
from train.data.batches import Batch
from train.data.builds import Builds
from train.data.loader import PairLoader
from train.data.pairs import StagePairs
from train.fastai_names import Callback
from train.losses.fidelity import FidelityLoss
from train.run.callbacks import Autocast
from train.run.learner import Networks, build_learner, build_schedule, choose_learners
from train.run.log import RunLog
from train.run.order import Order
from train.run.pace import Pace, Stopper
from train.run.rates import share_rate
from train.run.stage import build_step_callbacks
from train.run.state import Position

# Steps of a stage that is nowhere near its end.
_MANY = 10**6


class FixedBatches:
    """A loader of batches that lie ready on the device."""

    def __init__(
        self, pairs: StagePairs, num: int, device: torch.device, damages: Damages | None = None
    ) -> None:
        """Read them.

        Args:
            pairs: Of a stage.
            num: How many batches.
            device: Where to put them.
            damages: Source of their damages, for the consistency loss.
        """
        self.n_inp = 1
        self.device = device
        loader = PairLoader(pairs, pairs.stage.batch, num, num_workers=0, damages=damages)
        loader.device = device
        self.batches = [Batch(*batch) for batch in loader]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (tuple(batch) for batch in self.batches)

    def to(self, device: torch.device) -> None:
        """They lie where they lie; fastai asks."""


class Meter(Callback):  # type: ignore[misc]  # fastai ships no types
    """Measures a pass: its seconds, and those spent waiting for the loader after the first batch.

    Attributes:
        seconds: From the first batch to the end of the pass.
        waiting_s: Of these, between a step's end and the next batch.
        num_steps: Of the pass.
    """

    order = Order.STOPPER - 1  # after all others but that one, which may end the pass

    def before_train(self) -> None:
        """Clear."""
        self.waiting_s, self.num_steps = 0.0, 0

    def before_batch(self) -> None:
        """A batch is here."""
        now_s = time.perf_counter()
        if self.num_steps == 0:
            self._start_s = now_s
        else:
            self.waiting_s += now_s - self._done_s

    def after_batch(self) -> None:
        """A step is done."""
        self.num_steps += 1
        self._done_s = time.perf_counter()

    def after_train(self) -> None:
        """The pass is done."""
        synchronise(self.dls.device)
        self.seconds = time.perf_counter() - self._start_s


class FastaiLoop:
    """The loop of a run: its learner with all that a step calls, but without saving and looks."""

    def __init__(
        self,
        networks: Networks,
        config: TrainConfig,
        stage: StageConfig,
        loader: FixedBatches | PairLoader,
        folder: Path,
        device: torch.device,
    ) -> None:
        """Build the learner.

        Args:
            networks: To train.
            config: Its loss weights decide on the consistency term.
            stage: What kind of step.
            loader: Of one pass; with the damages where the stage has the consistency term.
            folder: Of a log.
            device: Where the networks are.
        """
        pace = Pace(Position(), _MANY)
        self.meter = Meter()
        self.log = RunLog(folder, pace.position)
        callbacks = build_step_callbacks(
            networks, config, stage, pace, Autocast(device, config.precision), self.log,
            stage_name="benchmark", broken=set(),
        )  # fmt: skip
        callbacks += [self.meter, Stopper(pace, _MANY, float(_MANY))]
        self.loader = loader
        self._networks, self._stage, self._weights = networks, stage, config.weigh_terms(stage)
        self.learner = build_learner(networks, config, stage, loader, device, callbacks)

    def run(self) -> Meter:
        """One pass over the loader."""
        # Loops over different kinds of steps share their networks.
        choose_learners(self._networks.generator, self._stage, self._weights)
        with self.learner.no_logging():
            self.learner.fit(1)
        if isinstance(self.loader, PairLoader):
            self.loader.step += self.meter.num_steps
        return self.meter


class BareLoop:
    """The generator's steps in a plain loop: the same arithmetic in the same order."""

    def __init__(
        self, networks: Networks, config: TrainConfig, stage: StageConfig, loader: FixedBatches
    ) -> None:
        self.networks = networks
        self.config = config
        self.loader = loader
        self.loss = FidelityLoss(config.weights, config.shape)
        self.step = 0
        self._autocast = Autocast(loader.device, config.precision)
        choose_learners(networks.generator, stage, config.weigh_terms(stage))
        self._rate = build_schedule(stage.lr, config.warmup_frac)
        self._weights: list[Tensor] = list(networks.generator.parameters())
        self._averages: list[Tensor] = list(networks.average.parameters())

    def run(self) -> float:
        """Seconds of one pass over the loader."""
        generator, optimizer = self.networks.generator.train(), self.networks.optimizer
        start_s = time.perf_counter()
        for batch in self.loader.batches:
            rates = share_rate(optimizer, self._rate(self.step / _MANY))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
            with self._autocast.build_context():
                restored, logits = generator(batch.damaged)
            loss = self.loss(
                (restored.float(), logits.float()), batch.clean, batch.marks, batch.damaged
            )
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self._weights, self.config.clip_norm)
            if bool(torch.isfinite(norm)):
                optimizer.step()
            optimizer.zero_grad()
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
            self.step += 1
        synchronise(self.loader.device)
        return time.perf_counter() - start_s


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_difference(one: Networks, other: Networks) -> float:
    """Largest difference of the generators' weights, relative to the largest weight."""
    pairs = zip(one.generator.parameters(), other.generator.parameters(), strict=True)
    worst = max(float((a - b).detach().abs().max()) for a, b in pairs)
    return worst / max(float(p.detach().abs().max()) for p in one.generator.parameters())


def measure_reading(loader: PairLoader, builds: Builds) -> dict[str, float]:
    """Photographs a second of a pass of the loader, and of bare decoding of the very same bytes.

    The loader's clock starts when its first batch is there, so that the start of its workers does
    not count.
    """
    indices: list[int] = []
    batches = iter(loader)
    next(batches)
    start_s = time.perf_counter()
    for batch in batches:
        indices += Batch(*batch).pair_index.tolist()
    loader_s = time.perf_counter() - start_s
    loader.step += 1 + len(indices) // loader.bs
    stored = [reader.raw(within) for reader, within in map(builds.locate, indices)]
    start_s = time.perf_counter()
    for parts in stored:
        decode_bare(parts)
    bare_s = time.perf_counter() - start_s
    return {"loader": len(indices) / loader_s, "bare": len(indices) / bare_s}


def decode_bare(parts: dict[str, bytes]) -> list[Any]:
    """A pair's pictures as OpenCV gives them."""
    flags = {"clean.jpg": cv2.IMREAD_COLOR, "damaged.jpg": cv2.IMREAD_COLOR,
             "marks.png": cv2.IMREAD_GRAYSCALE}  # fmt: skip
    return [cv2.imdecode(np.frombuffer(parts[n], np.uint8), flag) for n, flag in flags.items()]
