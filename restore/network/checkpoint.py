"""Weights files: safetensors with the network's configuration and what is known of the training.

Nothing that a user loads is a pickle. A file holds one metadata entry, JSON, so that equal weights
and metadata give equal bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from restore.errors import CheckpointError
from restore.network.generator import Generator, GeneratorConfig

FORMAT_VERSION = 1
_METADATA_KEY = "old_pictures_restoration"


@dataclass(frozen=True)
class ModelMetadata:
    """What a weights file says of itself.

    Attributes:
        name: Short name, shown by `restore`.
        description: One sentence.
        data: What it was trained on (JSON values).
        scores: Measured on held-out pairs.
        created: ISO 8601 date, or empty.
        format_version: Of the file.
    """

    name: str
    description: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    created: str = ""
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True)
class CheckpointInfo:
    """A weights file's network configuration and metadata."""

    config: GeneratorConfig
    metadata: ModelMetadata


def default_model_path() -> Path:
    """The weights that come with the package."""
    return Path(__file__).parents[1] / "weights" / "default.safetensors"


def save_generator(
    path: Path,
    generator: Generator,
    metadata: ModelMetadata,
    *,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a generator's weights; an existing file is replaced at once or not at all.

    Args:
        path: File to write; its folder must exist.
        generator: Of any device and precision.
        metadata: Stored beside the configuration.
        dtype: Precision of the stored weights.

    Raises:
        CheckpointError: If a weight isn't finite in that precision, or the file can't be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in generator.state_dict().items():
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: {name} isn't finite as {dtype}; nothing was written")
    document = {
        "format_version": metadata.format_version,
        "config": generator.config.to_dict(),
        "name": metadata.name,
        "description": metadata.description,
        "data": dict(metadata.data),
        "scores": dict(metadata.scores),
        "created": metadata.created,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    _write_aside(path, safetensors.torch.save(tensors, metadata={_METADATA_KEY: text}))


def read_info(path: Path) -> CheckpointInfo:
    """Read a weights file's configuration and metadata, not its weights.

    Raises:
        CheckpointError: If the file is missing, damaged or not one of ours.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: not a weights file ({_line(error)})") from error
    if _METADATA_KEY not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not of this project's network")
    try:
        document = json.loads(metadata[_METADATA_KEY])
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
                format_version=version,
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its metadata can't be read ({_line(error)})") from error


def load_generator(
    path: Path, device: torch.device | str = "cpu"
) -> tuple[Generator, CheckpointInfo]:
    """Load a generator, ready to restore.

    Args:
        path: Weights file written by `save_generator`.
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
        stored = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path}: not a weights file ({_line(error)})") from error
    if expected != {name: tensor.shape for name, tensor in stored.items()}:
        raise CheckpointError(f"{path}: its weights don't fit its own configuration")
    weights = {name: tensor.float() for name, tensor in stored.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
        raise CheckpointError(f"{path}: some weights aren't finite; download or export it again")
    generator.load_state_dict(weights, assign=True)
    generator.requires_grad_(False).eval()
    generator.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this combination
    return generator, info


def _write_aside(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: a reader never sees half a file."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: can't be written ({_line(error)})") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
