"""Configurations as files: presets in TOML, and JSON beside every run.

The presets lie in `train/presets/`. The resolved configuration is saved beside every run, and the
exported weights carry it.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from train.config.run import TrainConfig
from train.errors import ConfigError
from train.network.config import GeneratorConfig

# Configurations of earlier versions name it; they knew a second one.
_ONLY_ENCODER = "plain"


def list_presets() -> list[str]:
    """Names of the presets that come with the package."""
    folder = files("train") / "presets"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith("toml"))


def load_preset(name_or_path: str) -> TrainConfig:
    """Read a preset by name, or a configuration file by path.

    Raises:
        ConfigError: If there is no such preset or file, or it holds a wrong field or value.
    """
    if name_or_path in list_presets():
        return _decode_preset(
            (files("train") / "presets" / f"{name_or_path}.toml").read_bytes(), name_or_path
        )
    if not name_or_path.endswith(".toml"):
        names = ", ".join(list_presets())
        raise ConfigError(f"no preset {name_or_path!r}; there are {names}, or give a .toml file")
    try:
        content = Path(name_or_path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name_or_path}: {error.strerror}") from error
    return _decode_preset(content, name_or_path)


def encode_config(config: TrainConfig) -> bytes:
    """Canonical JSON: equal configurations give equal bytes."""
    return msgspec.json.encode(config, order="sorted")


def decode_config(content: bytes, name: str) -> TrainConfig:
    """Read what `encode_config` wrote.

    Raises:
        ConfigError: If it isn't a configuration; the message starts with `name`.
    """
    try:
        return _convert(msgspec.json.decode(content), name)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def _decode_preset(content: bytes, name: str) -> TrainConfig:
    try:
        return _convert(msgspec.toml.decode(content), name)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def _convert(plain: Any, name: str) -> TrainConfig:
    """A configuration of plain values.

    Raises:
        ConfigError: If its generator has fields that there aren't, or are no more. msgspec would
            pass over those of a dataclass in silence.
        msgspec.ValidationError: If anything else is wrong.
    """
    generator = plain.get("generator") if isinstance(plain, dict) else None
    if isinstance(generator, dict):
        generator = dict(generator)
        encoder = generator.pop("encoder", _ONLY_ENCODER)
        if encoder != _ONLY_ENCODER:
            raise ConfigError(
                f"{name}: its generator has the encoder {encoder!r}, which this version doesn't "
                "build any more; leave the field out and train anew"
            )
        unknown = sorted(generator.keys() - {field.name for field in fields(GeneratorConfig)})
        if unknown:
            raise ConfigError(f"{name}: [generator] has no field {', '.join(unknown)}")
        plain = {**plain, "generator": generator}
    return msgspec.convert(plain, TrainConfig)


def describe_config(config: TrainConfig) -> dict[str, Any]:
    """The configuration as plain JSON values."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain
