"""Checkpoints: safetensors with the network's configuration and what is known of the training.

Training goes on from them, and from files of weights that were exported for `restore`, which hold
the same weights (train/network/export.py). Nothing here is a pickle. A checkpoint holds one
metadata entry, JSON, so that equal weights and metadata give equal bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from degrade.errors import StoreError
from degrade.store.whole import write_whole
from restore.engine.model_file import ModelMetadata, read_metadata
from restore.errors import ModelError
from train.errors import CheckpointError
from train.network.generator import Generator, GeneratorConfig
from train.network.layers import unfold_norms

FORMAT_VERSION = 1
_METADATA_KEY = "old_pictures_restoration"


@dataclass(frozen=True)
class CheckpointInfo:
    """A weights file's network configuration and metadata."""

    config: GeneratorConfig
    metadata: ModelMetadata


def save_generator(
    path: Path,
    generator: Generator,
    metadata: ModelMetadata,
    *,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a generator's weights; an existing file is replaced at once or not at all.

    What isn't learned by gradient, as the statistics of norms, keeps its own precision: variances
    may be larger than half precision knows.

    Args:
        path: File to write; its folder must exist.
        generator: Of any device and precision.
        metadata: Stored beside the configuration.
        dtype: Precision of the stored weights.

    Raises:
        CheckpointError: If a weight isn't finite in that precision, or the file can't be written.
    """
    tensors: dict[str, Tensor] = {}
    kept = {name for name, _ in generator.named_buffers()}
    for name, tensor in generator.state_dict().items():
        stored = tensor.dtype if name in kept else dtype
        tensors[name] = tensor.detach().to("cpu", stored).contiguous()
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: {name} isn't finite as {stored}; nothing was written")
    document = {
        "format_version": FORMAT_VERSION,
        "config": generator.config.to_dict(),
        "name": metadata.name,
        "description": metadata.description,
        "data": dict(metadata.data),
        "scores": dict(metadata.scores),
        "created": metadata.created,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        write_whole(path, [safetensors.torch.save(tensors, metadata={_METADATA_KEY: text})])
    except StoreError as error:
        raise CheckpointError(str(error)) from error


def read_info(path: Path) -> CheckpointInfo:
    """Read the configuration and metadata of a checkpoint or an exported file, not its weights.

    Raises:
        CheckpointError: If the file is missing, damaged or not one of ours.
    """
    if is_exported(path):
        try:
            metadata = read_metadata(path)
            return CheckpointInfo(GeneratorConfig.from_dict(metadata.config), metadata)
        except (ModelError, ValueError) as error:
            raise CheckpointError(str(error)) from error
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: not a weights file ({_line(error)})") from error
    if _METADATA_KEY not in entries:
        raise CheckpointError(f"{path}: a safetensors file, but not of this project's network")
    try:
        document = json.loads(entries[_METADATA_KEY])
        version = document["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: format version {version}, this version reads {FORMAT_VERSION}; "
                "update the package or export the weights again"
            )
        scores = {str(k): float(v) for k, v in document["scores"].items()}
        if not all(map(math.isfinite, scores.values())):
            raise ValueError("scores must be finite")
        return CheckpointInfo(
            config=GeneratorConfig.from_dict(document["config"]),
            metadata=ModelMetadata(
                name=str(document["name"]),
                description=str(document["description"]),
                data=dict(document["data"]),
                scores=scores,
                created=str(document["created"]),
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its metadata can't be read ({_line(error)})") from error


def load_generator(
    path: Path, device: torch.device | str = "cpu"
) -> tuple[Generator, CheckpointInfo]:
    """Load a generator, ready to restore.

    Args:
        path: Written by `save_generator`, or by `train.network.export.export_generator`.
        device: Where to put it.

    Returns:
        The generator in evaluation mode with float32 weights in channels-last order, and what the
        file says of itself.

    Raises:
        CheckpointError: If the file is missing, damaged or not one of ours.
    """
    info = read_info(path)
    with torch.device("meta"):  # no memory, no random initialisation
        generator = Generator(info.config)
    expected = {name: tensor.shape for name, tensor in generator.state_dict().items()}
    try:
        if is_exported(path):
            from train.network.export import read_weights

            stored = unfold_norms(generator, read_weights(path))
        else:
            stored = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: not a weights file ({_line(error)})") from error
    if expected != {name: tensor.shape for name, tensor in stored.items()}:
        raise CheckpointError(f"{path}: its weights don't fit its own configuration")
    weights = {n: t.float() if t.is_floating_point() else t for n, t in stored.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise CheckpointError(f"{path}: some weights aren't finite; download or export it again")
    generator.load_state_dict(weights, assign=True)
    generator.requires_grad_(False).eval()
    generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this combination
    return generator, info


def is_exported(path: Path) -> bool:
    """Whether a file is a ZIP archive."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False  # opening it will tell


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
