"""`train find-lr`: which learning rate suits the pairs, by fastai's range test."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from train import parallel
from train.config.run import TrainConfig
from train.data.builds import Builds
from train.data.loader import PairLoader
from train.data.pairs import StagePairs
from train.fastai_names import Recorder, valley
from train.run.callbacks import Autocast, Clip, Giving
from train.run.learner import build_learner, build_networks
from train.run.pace import Pace
from train.run.rates import share_rate
from train.run.state import Position


def find_rate(
    config: TrainConfig, pairs: Path | Sequence[Path], *, num_steps: int = 100
) -> tuple[float, list[tuple[float, float]]]:
    """Raise the learning rate of the first stage step by step and watch the loss.

    Args:
        config: What would be trained.
        pairs: Folders written by degrade build, or one.
        num_steps: Length of the test.

    Returns:
        The rate that fastai suggests (in the middle of the longest descent), and the rates tried
        with the smoothed loss of each.

    Source:
        Smith 2017, "Cyclical learning rates for training neural networks", section 3.3.
    """
    stage = config.stages[0]
    device = parallel.pick_device()
    builds = Builds(pairs, split="train")
    networks = build_networks(config, device)
    pairs_of_stage = StagePairs(builds, stage, config.seed, 0, config.find_look_px(stage))
    loader = PairLoader(pairs_of_stage, stage.batch, num_steps, config.num_workers)
    clip = Clip(list(networks.generator.parameters()), config.clip_norm)
    callbacks = [Autocast(device, config.precision), clip, Recorder()]
    if stage.is_given:
        position = Position()
        callbacks += [Pace(position, num_steps), Giving(stage, config.seed, position)]
    learner = build_learner(networks, config, stage, loader, device, callbacks)
    learner.remove_cbs(learner.cbs.filter(lambda cb: cb.name == "param_scheduler"))
    set_hyper = learner.opt.set_hyper

    def set_all_rates(name: str, value: float) -> None:
        """The test sets one rate; our groups have their own shares of it."""
        shared = name == "lr" and isinstance(value, float)
        set_hyper(name, share_rate(networks.optimizer, value) if shared else value)

    learner.opt.set_hyper = set_all_rates
    with tempfile.TemporaryDirectory() as folder:
        learner.path = Path(folder)
        learner.model_dir = "."
        suggested = learner.lr_find(
            start_lr=1e-6, end_lr=1e-1, num_it=num_steps, show_plot=False, suggest_funcs=(valley,)
        )
    last_share = share_rate(networks.optimizer, 1.0)[-1]  # of which fastai notes the rates
    tried = [
        (float(rate) / last_share, float(loss))
        for rate, loss in zip(learner.recorder.lrs, learner.recorder.losses, strict=True)
    ]
    return float(suggested.valley) / last_share, tried
