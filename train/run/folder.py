"""The folder of a run: begun in an empty place or with leave to replace, exported from later."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from restore.network.checkpoint import ModelMetadata, read_info, save_generator
from restore.network.generator import Generator
from train.config import TrainConfig, decode_config, encode_config
from train.errors import RunError
from train.run.state import STATE_NAME, load_state

MODEL_NAME = "model.safetensors"
CONFIG_NAME = "config.json"


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder in which a new run would lie among other files.

    Raises:
        RunError: If it isn't empty, and a run in it may not be replaced.
    """
    try:
        is_taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder}: can't be read ({error.strerror})") from error
    if is_taken and not force:
        raise RunError(f"{folder}: not empty; --resume it, or replace it with --force")


def prepare_folder(folder: Path, config: TrainConfig, *, is_resumed: bool) -> None:
    """Make a run's folder with its configuration; a run that isn't resumed is removed from it.

    Raises:
        RunError: If the folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_resumed:
            _remove_run(folder)
        for name in (STATE_NAME, MODEL_NAME):
            for aside in folder.glob(f".{name}.*"):  # of a process killed while it saved
                aside.unlink()
        (folder / CONFIG_NAME).write_bytes(
            msgspec.json.format(encode_config(config), indent=2) + b"\n"
        )
    except OSError as error:
        raise RunError(f"{folder}: can't be written ({error.strerror})") from error


def _remove_run(folder: Path) -> None:
    """Remove what a run writes, and nothing else."""
    for name in ("sheets", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in ("*.csv", "*.json", "*.safetensors", STATE_NAME):
        for path in folder.glob(pattern):
            path.unlink()


def export_run(
    folder: Path,
    output: Path,
    *,
    name: str | None = None,
    description: str | None = None,
    half: bool = True,
) -> None:
    """Write the weight average of a run's last state as a weights file.

    Args:
        folder: Of the run, finished or not.
        output: Weights file.
        name: Instead of the run's.
        description: Likewise.
        half: Store float16 instead of float32.

    Raises:
        RunError: If there is no run.
        restore.errors.CheckpointError: If the file can't be written.
    """
    state = load_state(folder)
    config = decode_config(state.config.encode(), str(folder))
    generator = Generator(config.generator)
    generator.load_state_dict(state.tensors["average"])
    exported = folder / MODEL_NAME  # missing before a run's first look
    known = read_info(exported).metadata if exported.exists() else ModelMetadata(config.name)
    metadata = replace(known, name=name or known.name, description=description or known.description)
    dtype = torch.float16 if half else torch.float32
    save_generator(output, generator, metadata, dtype=dtype)
