"""The projected critic's part in training: a fastai callback with an optimiser of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from train import parallel
from train.fastai_names import Callback
from train.losses.adversarial import fool_critic, judge_real_and_fake
from train.losses.color import ColorLoss
from train.losses.perceptual import Judged
from train.losses.repair import RepairLoss
from train.losses.variation import draw_variation, vary
from train.network.projected_critic import ProjectedCritic
from train.run.order import Order
from train.run.state import Position

# Of its own draws, apart from those of photographs and hints.
_VARIATIONS = 2


class ProjectedTraining(Callback):  # type: ignore[misc]  # fastai ships no types
    """Trains the projected critic on each batch, then adds its term to the generator's loss.

    Its networks run in single precision.
    """

    order = Order.PROJECTED_TRAINING
    run_valid = False

    def __init__(
        self,
        critic: ProjectedCritic,
        optimizer: torch.optim.Optimizer,
        position: Position,
        *,
        rate: float,
        alone_steps: int,
        seed: int | None,
    ) -> None:
        """Begin.

        Args:
            critic: To train.
            optimizer: The critic's.
            position: Of the run.
            rate: Learning rate of the critic.
            alone_steps: Steps of the stage in which it learns and doesn't count yet.
            seed: Photographs are varied before they are judged, by draws from it; None: they
                aren't.
        """
        self.critic = critic
        self.optimizer = optimizer
        self.position = position
        self.rate = rate
        self.alone_steps = alone_steps
        self.seed = seed

    def after_loss(self) -> None:
        """The critic's turn, then its verdict on what it has just seen."""
        loss: ColorLoss | RepairLoss = self.loss_func
        assert loss.judged is not None  # it was given the features
        features, true_features = self._see(loss.judged, loss)
        loss.terms["critic"] = self._train(features, true_features)
        if self.position.step < self.alone_steps or loss.weights.projected == 0:
            return
        self.critic.requires_grad_(False)
        self.learn.loss_grad += loss.weigh("projected", fool_critic(self.critic(features)))
        self.learn.loss = self.loss_grad.detach().clone()

    def _see(
        self, judged: Judged, loss: ColorLoss | RepairLoss
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Features of the guessed and of the true photographs, as the critic sees them."""
        if self.seed is None:
            return judged.features, judged.true_features
        assert loss.features is not None
        at = self.position.stage, self.position.step, parallel.get_rank(), _VARIATIONS
        rng = np.random.default_rng([self.seed, *at])
        num, side_px = len(judged.clean), judged.clean.shape[-1]
        guess = vary(judged.guess, draw_variation(num, side_px, rng))
        clean = vary(judged.clean, draw_variation(num, side_px, rng))
        with torch.no_grad():
            true_features = loss.features(clean)
        return loss.features(guess), true_features

    def _train(self, features: list[Tensor], true_features: list[Tensor]) -> Tensor:
        self.critic.requires_grad_(True)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        real = self.critic(true_features)
        fake = self.critic([f.detach() for f in features])
        loss = judge_real_and_fake(real, fake)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        parallel.average_gradients(self.critic.parameters())
        gradients = [p.grad for p in self.critic.parameters() if p.grad is not None]
        if bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients))):
            self.optimizer.step()
        return loss.detach()
