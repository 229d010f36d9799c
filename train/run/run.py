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
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from degrade.errors import DegradeError
from restore.engine.model_file import ModelMetadata
from train import parallel
from train.config.files import decode_config, describe_config
from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.damage.twin import Damages
from train.data.builds import Builds
from train.data.heldout import HeldoutLoader
from train.data.pairs import StagePairs
from train.errors import (
    BatchMemoryError,
    DivergenceError,
    TrainError,
    is_out_of_memory,
    last_line,
)
from train.measure.classifier import Judge
from train.measure.color import check_colors, measure_colors
from train.measure.heldout import measure_heldout
from train.network.checkpoint import save_generator
from train.network.export import check_exporter, export_generator
from train.run.callbacks import Autocast
from train.run.folder import (
    CHECKPOINT_NAME,
    MODEL_NAME,
    check_folder,
    export_weights,
    name_verdict,
    prepare_folder,
)
from train.run.learner import build_networks
from train.run.log import RunLog
from train.run.looks import Look, describe_verdict, judge_looks
from train.run.stage import StageTraining
from train.run.standing import Standing
from train.run.state import STATE_NAME, RunState, load_state

# Seconds of a time limit that are kept for starting and for exporting.
_RESERVE_S = 10.0


class Run:
    """A training run and its folder.

    Several processes may share a run (see `train.parallel`): each has one of these, and the main
    process's writes the folder.

    Attributes:
        folder: Configuration, log, sheets, state and exported weights.
        config: What the run does.
        standing: How far it has come, and everything that changes on the way.
    """

    def __init__(
        self,
        folder: Path,
        pairs: Path | Sequence[Path],
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
        self.config = config
        self.builds = Builds(pairs, split="train")
        heldout = Builds(pairs, split="val")
        if len(heldout) == 0:
            _say("no held-out pairs in this build: measuring on pairs trained on")
            heldout = self.builds
        self.device = parallel.pick_device()
        # Fail before the first stage rather than at a later one, or at the end.
        check_exporter()
        for number, stage in enumerate(config.stages):
            parallel.share_batch(stage.batch)
            StagePairs(self.builds, stage, config.seed, number)
        if any(map(config.has_consistency, config.stages)):
            Damages(self.builds)
        self.heldout = HeldoutLoader(
            heldout, config.heldout_num, config.heldout_size_px, batch=8, device=self.device
        )
        if any(stage.is_color for stage in config.stages):
            check_colors(self.heldout)
        self._judge = _find_judge(config)
        self.autocast = Autocast(self.device, config.precision)
        self.standing = Standing(
            folder=folder,
            builds=self.builds,
            config=config,
            minutes=minutes or 0.0,
            networks=build_networks(config, self.device, init, is_resumed=state is not None),
        )
        if state is not None:
            self.standing.restore(state)
            self._start_s -= state.position.run_s + state.position.stage_s
        self.networks, self.position = self.standing.networks, self.standing.position
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
            DivergenceError: If training went astray; the weights of the last look are kept.
            RunError: If the folder can't be written.
        """
        scores: dict[str, float] = {}
        for network in self.networks.list_trained():
            parallel.copy_from_main(network)
        try:
            while self.position.stage < len(self.config.stages):
                self._train_stage(self.config.stages[self.position.stage])
                self.position.begin_stage(self.position.stage + 1)
                self.standing.looks, self.standing.best = [], {}
                self.standing.save()
            scores = self._measure(self.config.stages[-1])
            self.export(scores)
        except DivergenceError as error:
            self._export_last_look()
            if not parallel.is_main():
                raise SystemExit(1) from error  # all went astray together; one says so
            raise DivergenceError(
                f"stopped in stage {self.position.stage + 1}, step {self.position.step}: "
                f"{last_line(error)}. The weights of the last look before it are in "
                f"{self.folder / MODEL_NAME}"
            ) from error
        except (RuntimeError, MemoryError, IndexError) as error:
            if not is_out_of_memory(error):
                raise
            stage = self.config.stages[self.position.stage]
            raise self._explain_memory(
                f"a batch of {stage.batch} photographs of {stage.size_px} px", "batch", error
            ) from error
        except (TrainError, DegradeError) as error:
            error.args = (last_line(error),)
            raise
        finally:
            self.autocast.close()
            if self.log is not None:
                self.log.close()
        broken = sorted(self.standing.broken)
        if broken:
            names = ", ".join(map(self.builds.name, broken[:10]))
            _say(f"skipped {len(broken)} broken samples: {names}")
        return scores

    def export(self, scores: dict[str, float]) -> None:
        """Write the weight average for `restore`, and as a checkpoint."""
        if parallel.is_main():
            self._save_checkpoint(scores)
            metadata = self._describe(scores)
            export_generator(self.folder / MODEL_NAME, self.networks.average, metadata)

    def _export_last_look(self) -> None:
        """Write for `restore` the weights that were looked at last, or those of now if none were.

        The average may have gone astray with the weights.
        """
        if not (self.folder / CHECKPOINT_NAME).exists():
            self.export({})
        elif parallel.is_main():
            export_weights(self.folder / CHECKPOINT_NAME, self.folder / MODEL_NAME)

    def _save_checkpoint(self, scores: dict[str, float]) -> None:
        """Write the weight average, to look at and to train on."""
        if parallel.is_main():
            save_generator(
                self.folder / CHECKPOINT_NAME, self.networks.average, self._describe(scores)
            )

    def _describe(self, scores: dict[str, float]) -> ModelMetadata:
        manifests = [reader.manifest for reader in self.builds.readers]
        return ModelMetadata(
            name=f"{self.config.name}-{self.position.total_steps}",
            description=f"Trained with the {self.config.name} preset for "
            f"{self.position.total_steps} steps, "
            f"{(self.position.run_s + self.position.stage_s) / 60:.0f} minutes.",
            data={
                "num_train": len(self.builds),
                "pairs": self.builds.digest(),
                "profile": " + ".join(str(manifest.profile["name"]) for manifest in manifests),
                "size_px": max(manifest.size_px for manifest in manifests),
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

    def _train_stage(self, stage: StageConfig) -> None:
        if self.standing.minutes and not self.position.stage_budget_s:
            self.position.stage_budget_s = self._share_time()
        training = StageTraining(
            self.standing, stage, self.builds, self.autocast, self.device, self.log
        )
        if self._owes_look(stage, training):
            self._look(stage, training.name)
        with training:
            while not (self._is_stale(stage) or training.is_over()):
                training.train_pass()
                self._look(stage, training.name)
        if self.standing.looks:
            self._end_by_looks()

    def _owes_look(self, stage: StageConfig, training: StageTraining) -> bool:
        """Whether a look is due before the first step: a stage's first, or one that a kill cost."""
        position, pace = self.position, training.pace
        if position.looked_steps == position.total_steps and position.step > 0:
            return False
        if position.step == 0:
            return self._is_judged(stage) and not self.standing.looks
        is_at_report = position.step % training.report_steps == 0
        return not pace.is_timed and (is_at_report or pace.done_frac >= 1)

    def _is_stale(self, stage: StageConfig) -> bool:
        """Whether looks at what a critic does have stopped bringing anything better."""
        return self._is_judged(stage) and judge_looks(self.standing.looks)[1]

    def _is_judged(self, stage: StageConfig) -> bool:
        """Whether a stage ends where looks say so."""
        return stage.may_end_early and (self._judge is not None or not stage.is_color)

    def _share_time(self) -> float:
        """Seconds for the stage that begins: its share of what is left.

        All time since the start is spent, that between stages too; what follows the last stage, a
        look at its end and one at the weights to export, is kept back.
        """
        self.position.run_s = parallel.agree(time.monotonic() - self._start_s)
        kept_s = _RESERVE_S + 2 * parallel.agree(self._look_s)
        left_s = max(60 * self.standing.minutes - kept_s - self.position.run_s, 1.0)
        shares = [stage.time_frac for stage in self.config.stages[self.position.stage :]]
        return left_s * shares[0] / sum(shares)

    def _measure(self, stage: StageConfig, sheet: Path | None = None) -> dict[str, float]:
        """What the average measures: its colours alone in a colour stage."""
        scores: dict[str, float] = {}
        start_s = time.monotonic()
        if parallel.is_main():
            try:
                average, context = self.networks.average, self.autocast.build_context()
                if stage.is_color:
                    scores = measure_colors(
                        average, self.heldout, context, sheet, judge=self._judge
                    )
                else:
                    scores = measure_heldout(average, self.heldout, context, sheet)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                what = f"the held-out photographs of {self.config.heldout_size_px} px"
                raise self._explain_memory(what, "heldout_size_px", error) from error
        self._look_s = time.monotonic() - start_s
        return parallel.agree(scores)

    def _look(self, stage: StageConfig, stage_name: str) -> None:
        """Measure the average, paint a sheet, save a checkpoint; note what may end the stage."""
        if not stage.trains_generator:
            return
        standing, position = self.standing, self.position
        sheet = self.folder / "sheets" / f"{stage_name}-{position.step:06d}.jpg"
        scores = self._measure(stage, sheet)
        if self.log is not None:
            run_s = round(position.run_s + position.stage_s, 1)
            place = {"step": position.step, "total_steps": position.total_steps}
            self.log.add(self.log.heldout, {"stage": stage_name, **place, "run_s": run_s, **scores})
        if self._is_judged(stage):
            look = _note_look(position.step, scores)
            standing.looks.append(look)
            if judge_looks(standing.looks)[0] is look:
                standing.best = copy.deepcopy(self.networks.average.state_dict())
        position.looked_steps = position.total_steps
        self._save_checkpoint(scores)
        if position.step % self.config.log_steps == 0:  # the log's window is empty
            standing.save()

    def _end_by_looks(self) -> None:
        """Go back to the best look, and write down why."""
        self.networks.average.load_state_dict(self.standing.best)
        self.networks.generator.load_state_dict(self.standing.best)
        if not parallel.is_main():
            return
        verdict = json.dumps(describe_verdict(self.standing.looks), indent=2)
        path = self.folder / name_verdict(self.position.stage + 1)
        path.write_text(verdict + "\n")


def _find_judge(config: TrainConfig) -> Judge | None:
    """Who says how natural colours look, in runs where a critic changes them."""
    if not any(stage.is_color and stage.may_end_early for stage in config.stages):
        return None
    try:
        return Judge()
    except TrainError as error:
        _say(f"{error}; without it colour stages with a critic don't end before their time")
        return None


def _note_look(step: int, scores: dict[str, float]) -> Look:
    if "color_kid" in scores:
        return Look(step, scores["color_kid"], 0.0, scores["color_delta_e"])
    return Look(step, scores["swd"], scores["luma_psnr_db"], scores["delta_e"])


def _say(line: str) -> None:
    if parallel.is_main():
        click.echo(line, err=True)


def resume_run(folder: Path, pairs: Path | Sequence[Path] = ()) -> Run:
    """Continue a run that was interrupted.

    Args:
        folder: Of the run.
        pairs: Where its builds are now, if they were moved.

    Raises:
        RunError: If there is no state to continue from, or the pairs are others.
    """
    state = load_state(folder)
    config = decode_config(state.config.encode(), str(folder))
    builds = pairs or [Path(path) for path in state.pairs]
    return Run(folder, builds, config, minutes=state.minutes, state=state)
