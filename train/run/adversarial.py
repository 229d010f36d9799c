"""The critic's part in training: a fastai callback with an optimiser of its own.

The learner's model and optimiser are the generator's. In a critic stage the generator is only run;
in an adversarial stage each batch serves the generator first and then the critic.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from train import parallel
from train.data.batches import Batch
from train.fastai_names import Callback, CancelBatchException
from train.losses.adversarial import fool_critic, judge_real_and_fake, match_features
from train.losses.fidelity import FidelityLoss
from train.network.critic import Critic
from train.run.callbacks import Autocast
from train.run.order import Order
from train.run.rates import share_rate

# Gradients of the critic longer than this are shortened.
_CLIP_NORM = 10.0


class CriticTraining(Callback):  # type: ignore[misc]  # fastai ships no types
    """Trains the critic, and in an adversarial stage adds its terms to the generator's loss."""

    order = Order.CRITIC_TRAINING
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
        batch: Batch = self.batch
        weights = loss.weights
        if weights.adversarial == 0 and weights.features == 0:
            return
        self.critic.requires_grad_(False)
        with self.autocast.build_context():
            verdicts, features = self.critic(batch.damaged, self.pred[0])
        if weights.adversarial > 0:
            self.learn.loss_grad += loss.weigh("adversarial", fool_critic(verdicts))
        if weights.features > 0:
            with torch.no_grad(), self.autocast.build_context():
                _, true_features = self.critic(batch.damaged, batch.clean)
            self.learn.loss_grad += loss.weigh("features", match_features(true_features, features))
        self.learn.loss = self.loss_grad.detach().clone()

    def after_step(self) -> None:
        """The critic's turn."""
        self._train_critic()

    def _train_critic(self) -> Tensor:
        batch: Batch = self.batch
        self.critic.requires_grad_(True)
        rates = share_rate(self.optimizer, self.schedule(self.pct_train))
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        with self.autocast.build_context():
            real, _ = self.critic(batch.damaged, batch.clean)
            fake, _ = self.critic(batch.damaged, self.pred[0].detach())
        loss = judge_real_and_fake(real, fake)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        parallel.average_gradients(self.critic.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.critic.parameters(), _CLIP_NORM)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        self.learn.loss_func.terms["critic"] = loss.detach()
        return loss.detach()
