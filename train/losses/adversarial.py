"""Losses between the generator and its critics, whichever critic it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def judge_real_and_fake(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """The critic's hinge loss, averaged over its scales.

    Source:
        Lim, Ye 2017, "Geometric GAN", eq. 11.
    """
    losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def fool_critic(fake: list[Tensor]) -> Tensor:
    """The generator's hinge loss: minus the critic's mean verdict, averaged over its scales.

    Source:
        Lim, Ye 2017, "Geometric GAN", eq. 12.
    """
    return -torch.stack([f.mean() for f in fake]).mean()


def match_features(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean absolute difference of the critic's features, averaged over layers and scales.

    Source:
        Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with
        conditional GANs" (pix2pixHD), eq. 4.
    """
    return torch.stack([F.l1_loss(f, r.detach()) for r, f in zip(real, fake, strict=True)]).mean()
