"""The critic's part in training: a fastai callback with an optimiser of its own.

The learner's model and optimiser are the generator's. In a critic stage the generator is only run;
in an adversarial stage each batch serves the generator first and then the critic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from train import parallel
from train.fastai_names import Callback, CancelBatchException
from train.losses.fidelity import FidelityLoss, fool_critic, judge_real_and_fake, match_features
from train.network.critic import Critic
from train.run.callbacks import Autocast
from train.run.learner import share_rate

# A restoration may lose this much fidelity to the critic for free; beyond, it is paid for.
_FREE_LOSS_DB = 0.25
_FREE_DRIFT_FRAC = 0.02


class CriticTraining(Callback):  # type: ignore[misc]  # fastai ships no types
    """Trains the critic, and in an adversarial stage adds its terms to the generator's loss."""

    order = 10
    run_valid = False

    def __init__(
        self,
        critic: Critic,
        optimizer: torch.optim.Optimizer,
        autocast: Autocast,
        schedule: Callable[[float], float],
        *,
        alone: bool,
    ) -> None:
        self.critic = critic
        self.optimizer = optimizer
        self.autocast = autocast
        self.schedule = schedule
        self.alone = alone

    def after_pred(self) -> None:
        """In a critic stage this is all that happens."""
        if self.alone:
            self.learn.loss_func.terms = {}
            self.learn.loss = self._train_critic()
            raise CancelBatchException

    def after_loss(self) -> None:
        """Add the adversarial terms to the generator's loss."""
        loss: FidelityLoss = self.loss_func
        weights = loss.weights
        if weights.adversarial == 0 and weights.features == 0:
            return
        self.critic.requires_grad_(False)
        with self.autocast.build_context():
            verdicts, features = self.critic(self.x, self.pred[0])
        if weights.adversarial > 0:
            self.learn.loss_grad += loss.weigh("adversarial", fool_critic(verdicts))
        if weights.features > 0:
            with torch.no_grad(), self.autocast.build_context():
                _, true_features = self.critic(self.x, self.y[0])
            self.learn.loss_grad += loss.weigh("features", match_features(true_features, features))
        self.learn.loss = self.loss_grad.detach().clone()

    def after_step(self) -> None:
        """The critic's turn."""
        self._train_critic()

    def _train_critic(self) -> Tensor:
        damaged, clean = self.x, self.y[0]
        self.critic.requires_grad_(True)
        rates = share_rate(self.optimizer, self.schedule(self.pct_train))
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        with self.autocast.build_context():
            real, _ = self.critic(damaged, clean)
            fake, _ = self.critic(damaged, self.pred[0].detach())
        loss = judge_real_and_fake(real, fake)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        parallel.average_gradients(self.critic.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.critic.parameters(), 10.0)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.learn.loss_func.terms["critic"] = loss.detach()
        return loss.detach()


@dataclass(frozen=True)
class Look:
    """The generator on held-out photographs at one point of the adversarial stage.

    Attributes:
        step: Of the stage; 0 is before it.
        swd: Sliced Wasserstein distance; lower is more natural.
        luma_psnr_db: Fidelity.
        delta_e: Colour error.
    """

    step: int
    swd: float
    luma_psnr_db: float
    delta_e: float


def score_look(look: Look, start: Look) -> float:
    """One number for how good a look is beside the start, whose score is 1; lower is better.

    The gain in naturalness (relative sliced Wasserstein distance), plus what was paid for it: each
    dB of fidelity beyond a quarter costs as much as 10 % of the distance, and each percent of
    colour drift beyond two costs 1 %.
    """
    lost_db = max(0.0, start.luma_psnr_db - look.luma_psnr_db - _FREE_LOSS_DB)
    drift = max(0.0, look.delta_e / max(start.delta_e, 1e-6) - 1 - _FREE_DRIFT_FRAC)
    return look.swd / max(start.swd, 1e-6) + 0.1 * lost_db + drift


def judge_looks(looks: list[Look], patience: int = 4) -> tuple[Look, bool]:
    """The best look so far, and whether `patience` looks since have brought nothing better."""
    scores = [score_look(look, looks[0]) for look in looks]
    best = min(range(len(looks)), key=scores.__getitem__)
    return looks[best], len(looks) - 1 - best >= patience


def describe_verdict(looks: list[Look]) -> dict[str, object]:
    """How the adversarial stage ended, as JSON values."""
    best, _ = judge_looks(looks)
    return {
        "rule": score_look.__doc__,
        "chosen_step": best.step,
        "looks": [asdict(look) | {"score": score_look(look, looks[0])} for look in looks],
    }
