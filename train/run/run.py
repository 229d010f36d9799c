"""A run from its first step to its exported weights, stage by stage.

NoGAN: the generator learns alone at growing sizes, then the critic alone, then both for a short
while, which ends where a measurement says so.

Source:
    Antic, Howard, Kelley 2019, "Decrappification, DeOldification, and super resolution" (NoGAN).
"""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Any

import click
import msgspec

from degrade import PairReader
from restore.engine.model_file import ModelMetadata
from train import parallel
from train.config import StageConfig, TrainConfig, decode_config, describe_config, encode_config
from train.data.pairs import HeldoutLoader, StagePairs, build_loaders
from train.errors import (
    BatchMemoryError,
    DivergenceError,
    RunError,
    TrainError,
    is_out_of_memory,
    last_line,
)
from train.fastai_names import Callback
from train.losses.consistency import Consistency
from train.measure.heldout import Heldout, measure_heldout
from train.network.checkpoint import save_generator
from train.network.export import check_exporter, export_generator
from train.run.adversarial import CriticTraining, Look, describe_verdict, judge_looks
from train.run.callbacks import (
    Autocast,
    Average,
    Guard,
    Pace,
    Reduction,
    Saver,
    Stopper,
    find_report_interval,
)
from train.run.folder import CHECKPOINT_NAME, MODEL_NAME, check_folder, prepare_folder
from train.run.learner import Networks, build_learner, build_networks, build_schedule
from train.run.log import RunLog, StepLog
from train.run.state import (
    STATE_NAME,
    Position,
    RunState,
    get_rng_state,
    load_state,
    save_state,
    set_rng_state,
)

# Epochs of a stage: it ends by itself.
_ENDLESS = 10**6
# Seconds of a time limit that are kept for starting and for exporting.
_RESERVE_S = 10.0


class Run:
    """A training run and its folder.

    Several processes may share a run (see `train.parallel`): each has one of these, and the main
    process's writes the folder.

    Attributes:
        folder: Configuration, log, sheets, state and exported weights.
        config: What the run does.
        position: How far it has come.
    """

    def __init__(
        self,
        folder: Path,
        pairs: Path,
        config: TrainConfig,
        *,
        minutes: float | None = None,
        init: Path | None = None,
        state: RunState | None = None,
        force: bool = False,
    ) -> None:
        self._start_s = time.monotonic()
        self._look_s = 0.0  # how long the last look at the held-out photographs took
        if state is None and parallel.is_main():
            check_folder(folder, force=force)
        self.folder = folder
        self.pairs = pairs
        self.config = config
        self.minutes = minutes or 0.0
        self.reader = PairReader(pairs, split="train")
        heldout = PairReader(pairs, split="val")
        if len(heldout) == 0:
            _say("no held-out pairs in this build: measuring on pairs trained on")
            heldout = self.reader
        self.device = parallel.pick_device()
        # Fail before the first stage rather than at a later one, or at the end.
        check_exporter()
        for number, stage in enumerate(config.stages):
            parallel.share_batch(stage.batch)
            StagePairs(self.reader, stage, config.seed, number)
        self.heldout = HeldoutLoader(heldout, config.heldout_num, config.heldout_size_px, batch=8)
        self.heldout.to(self.device)
        self.networks: Networks = build_networks(
            config, self.device, init, is_resumed=state is not None
        )
        self.autocast = Autocast(self.device, config.precision)
        self.position = Position()
        self.looks: list[Look] = []
        self.best: dict[str, Any] = {}
        self.broken: set[int] = set()
        self._pairs_digest = blake2b(
            msgspec.json.encode(self.reader.manifest, order="sorted"), digest_size=16
        ).hexdigest()
        if state is not None:
            self._restore(state)
        self.log: RunLog | None = None
        if parallel.is_main():
            prepare_folder(folder, config, is_resumed=state is not None)
            self.log = RunLog(folder, self.position)

    def train(self) -> dict[str, float]:
        """Do what is left of the run.

        Returns:
            What the exported weights measure on the held-out pairs, by name.

        Raises:
            BatchMemoryError: If a batch doesn't fit into memory; the last state is kept.
            DivergenceError: If training went astray; the last good state and weights are kept.
            RunError: If the folder can't be written.
        """
        scores: dict[str, float] = {}
        for network in (self.networks.generator, self.networks.average, self.networks.critic):
            parallel.copy_from_main(network)
        try:
            while self.position.stage < len(self.config.stages):
                self._run_stage(self.config.stages[self.position.stage])
                self.position.begin_stage(self.position.stage + 1)
                self.looks, self.best = [], {}
                self.save()
            scores = self._measure()
            self.export(scores)
        except DivergenceError as error:
            self.export(scores)
            if not parallel.is_main():
                raise SystemExit(1) from error  # all went astray together; one says so
            raise DivergenceError(
                f"stopped in stage {self.position.stage + 1}, step {self.position.step}: "
                f"{last_line(error)}. The weights before it are in {self.folder / MODEL_NAME}, "
                f"the last good state in {self.folder}"
            ) from error
        except (RuntimeError, MemoryError, IndexError) as error:
            if not is_out_of_memory(error):
                raise
            stage = self.config.stages[self.position.stage]
            raise self._explain_memory(
                f"a batch of {stage.batch} photographs of {stage.size_px} px", "batch", error
            ) from error
        except TrainError as error:
            error.args = (last_line(error),)
            raise
        finally:
            self.autocast.close()
            if self.log is not None:
                self.log.close()
        if self.broken:
            names = ", ".join(self.reader.keys[i] for i in sorted(self.broken)[:10])
            _say(f"skipped {len(self.broken)} broken samples: {names}")
        return scores

    def save(self) -> None:
        """Save the run's state."""
        if not parallel.is_main():
            return
        tensors = self.networks.get_state()
        if self.best:
            tensors["best"] = self.best
        state = RunState(
            config=encode_config(self.config).decode(),
            pairs=str(self.pairs.resolve()),
            pairs_digest=self._pairs_digest,
            minutes=self.minutes,
            position=self.position,
            tensors=tensors,
            rng=get_rng_state(),
            looks=[asdict(look) for look in self.looks],
            broken=sorted(self.broken),
        )
        save_state(self.folder, state)

    def export(self, scores: dict[str, float]) -> None:
        """Write the weight average for `restore`, and as a checkpoint."""
        if parallel.is_main():
            self._save_checkpoint(scores)
            metadata = self._describe(scores)
            export_generator(self.folder / MODEL_NAME, self.networks.average, metadata)

    def _save_checkpoint(self, scores: dict[str, float]) -> None:
        """Write the weight average, to look at and to train on."""
        if parallel.is_main():
            save_generator(
                self.folder / CHECKPOINT_NAME, self.networks.average, self._describe(scores)
            )

    def _describe(self, scores: dict[str, float]) -> ModelMetadata:
        manifest = self.reader.manifest
        return ModelMetadata(
            name=f"{self.config.name}-{self.position.total_steps}",
            description=f"Trained with the {self.config.name} preset for "
            f"{self.position.total_steps} steps, "
            f"{(self.position.run_s + self.position.stage_s) / 60:.0f} minutes.",
            data={
                "num_train": len(self.reader),
                "pairs": self._pairs_digest,
                "profile": manifest.profile["name"],
                "size_px": manifest.size_px,
                "training": describe_config(self.config),
            },
            scores=scores,
            created=date.today().isoformat(),
        )

    def _explain_memory(self, what: str, field: str, error: Exception) -> BatchMemoryError:
        kept = self.folder / STATE_NAME
        go_on = f"the last state is kept in {kept}" if kept.exists() else "nothing was saved yet"
        if (self.folder / CHECKPOINT_NAME).exists():
            go_on += f", and {self.folder / CHECKPOINT_NAME} can be trained on with --init"
        return BatchMemoryError(
            f"too little memory for {what} (stage {self.position.stage + 1}, step "
            f"{self.position.step}; {last_line(error)}): set a smaller {field} in a preset file; "
            f"{go_on}"
        )

    def _restore(self, state: RunState) -> None:
        if state.pairs_digest != self._pairs_digest:
            raise RunError(f"{self.pairs}: not the pairs that the run in {self.folder} began with")
        tensors = dict(state.tensors)
        self.best = tensors.pop("best", {})
        self.networks.set_state(tensors)
        self.position = state.position
        self._start_s -= state.position.run_s + state.position.stage_s
        self.looks = [msgspec.convert(look, Look, strict=False) for look in state.looks]
        self.broken = set(state.broken)
        set_rng_state(state.rng)

    def _run_stage(self, stage: StageConfig) -> None:
        position, config = self.position, self.config
        if self.minutes and not position.stage_budget_s:
            position.stage_budget_s = self._share_time()
        pace = Pace(position, stage.steps)
        report_s = find_report_interval(stage, config.report_s, position.stage_budget_s)
        report_steps = max(1, int(find_report_interval(stage, config.report_steps, stage.steps)))
        guard = Guard(list(self.networks.generator.parameters()), config.clip_norm)
        stopper = Stopper(pace, report_steps, report_s)
        log = StepLog(self.log, pace, guard, self._name_stage(stage), config.log_steps)
        log.broken = self.broken
        callbacks: list[Callback] = [pace, self.autocast, Reduction(), guard, log, stopper]
        callbacks.append(Saver(self.save, position, config.log_steps, config.save_s))
        callbacks.append(Heldout(lambda: self._look(stage, stopper)))
        if stage.kind != "critic":
            networks = self.networks
            callbacks.append(
                Average(networks.generator, networks.average, config.ema_decay, position)
            )
        if stage.kind in ("critic", "adversarial"):
            callbacks.append(self._build_critic_training(stage))
        if config.has_consistency(stage):
            callbacks.append(Consistency(self.reader))
        if self.looks:
            stopper.must_stop = judge_looks(self.looks)[1]
        if self._owes_look(stage, pace, report_steps):
            self._look(stage, stopper)

        pairs = StagePairs(self.reader, stage, config.seed, position.stage)
        loaders = build_loaders(
            pairs,
            self.heldout,
            num_steps=_ENDLESS if pace.is_timed else report_steps,
            batch=stage.batch,
            num_workers=config.num_workers,
            device=self.device,
        )
        callbacks.append(_Place(position))
        learner = build_learner(self.networks, config, stage, loaders, callbacks)
        if pace.done_frac < 1 and not stopper.must_stop:  # else killed at the stage's very end
            learner.fit(_ENDLESS)
        if stage.kind == "adversarial":
            self._end_adversarial()

    def _owes_look(self, stage: StageConfig, pace: Pace, report_steps: int) -> bool:
        """Whether a look is due before the first step: a stage's first, or one that a kill cost."""
        position = self.position
        if position.looked_steps == position.total_steps and position.step > 0:
            return False
        if position.step == 0:
            return stage.kind == "adversarial" and not self.looks
        return not pace.is_timed and (position.step % report_steps == 0 or pace.done_frac >= 1)

    def _build_critic_training(self, stage: StageConfig) -> CriticTraining:
        alone = stage.kind == "critic"
        return CriticTraining(
            self.networks.critic,
            self.networks.critic_optimizer,
            self.autocast,
            build_schedule(stage.lr if alone else stage.critic_lr, self.config.warmup_frac),
            alone=alone,
        )

    def _share_time(self) -> float:
        """Seconds for the stage that begins: its share of what is left.

        All time since the start is spent, that between stages too; what follows the last stage, a
        look at its end and one at the weights to export, is kept back.
        """
        self.position.run_s = parallel.agree(time.monotonic() - self._start_s)
        kept_s = _RESERVE_S + 2 * parallel.agree(self._look_s)
        left_s = max(60 * self.minutes - kept_s - self.position.run_s, 1.0)
        shares = [stage.time_frac for stage in self.config.stages[self.position.stage :]]
        return left_s * shares[0] / sum(shares)

    def _name_stage(self, stage: StageConfig) -> str:
        return f"{self.position.stage + 1}-{stage.kind}-{stage.size_px}"

    def _measure(self, sheet: Path | None = None) -> dict[str, float]:
        scores: dict[str, float] = {}
        start_s = time.monotonic()
        if parallel.is_main():
            try:
                scores = measure_heldout(
                    self.networks.average, self.heldout, self.autocast.build_context, sheet
                )
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                what = f"the held-out photographs of {self.config.heldout_size_px} px"
                raise self._explain_memory(what, "heldout_size_px", error) from error
        self._look_s = time.monotonic() - start_s
        return parallel.agree(scores)

    def _look(self, stage: StageConfig, stopper: Stopper) -> None:
        """Measure the average, draw a sheet, save a checkpoint; in an adversarial stage judge."""
        if stage.kind == "critic":
            return
        name = self._name_stage(stage)
        sheet = self.folder / "sheets" / f"{name}-{self.position.step:06d}.jpg"
        scores = self._measure(sheet)
        if self.log is not None:
            run_s = round(self.position.run_s + self.position.stage_s, 1)
            place = {"step": self.position.step, "total_steps": self.position.total_steps}
            self.log.add(self.log.heldout, {"stage": name, **place, "run_s": run_s, **scores})
        if stage.kind == "adversarial":
            self.looks.append(
                Look(self.position.step, scores["swd"], scores["luma_psnr_db"], scores["delta_e"])
            )
            best, is_stale = judge_looks(self.looks)
            if best is self.looks[-1]:
                self.best = copy.deepcopy(self.networks.average.state_dict())
            stopper.must_stop = is_stale
        self.position.looked_steps = self.position.total_steps
        self._save_checkpoint(scores)
        if self.position.step % self.config.log_steps == 0:  # the log's window is empty
            self.save()

    def _end_adversarial(self) -> None:
        """Go back to the best look, and write down why."""
        self.networks.average.load_state_dict(self.best)
        self.networks.generator.load_state_dict(self.best)
        if not parallel.is_main():
            return
        verdict = json.dumps(describe_verdict(self.looks), indent=2)
        path = self.folder / f"adversarial-{self.position.stage + 1}.json"
        path.write_text(verdict + "\n")


class _Place(Callback):  # type: ignore[misc]  # fastai ships no types
    """Tells the loader at which step of the stage a pass begins."""

    order = 0

    def __init__(self, position: Position) -> None:
        self.position = position

    def before_train(self) -> None:
        self.dls.train.step = self.position.step


def _say(line: str) -> None:
    if parallel.is_main():
        click.echo(line, err=True)


def resume_run(folder: Path, pairs: Path | None = None) -> Run:
    """Continue a run that was interrupted.

    Args:
        folder: Of the run.
        pairs: Where its pairs are now, if they were moved.

    Raises:
        RunError: If there is no state to continue from, or the pairs are others.
    """
    state = load_state(folder)
    config = decode_config(state.config.encode(), str(folder))
    return Run(folder, pairs or Path(state.pairs), config, minutes=state.minutes, state=state)
