"""ImageNet weights for an encoder, where torchvision can fetch them."""

from __future__ import annotations

import pickle
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from train.errors import TrainError


def fetch_resnet34() -> dict[str, Tensor]:
    """The weights of torchvision's resnet34, from its cache or from the network.

    Raises:
        TrainError: If they are in neither.
    """
    from torchvision.models import ResNet34_Weights  # type: ignore[import-untyped]  # ships none

    weights = ResNet34_Weights.IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        file = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[1])
        line = " ".join(str(error).split())[:200]
        raise TrainError(
            f"the ImageNet weights of resnet34 can't be had ({line}); connect to the network, put "
            f"them at {file}, or train without --pretrained"
        ) from error
    return state
