"""The folder of a run: begun in an empty place or with leave to replace, exported from later."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import torch

from restore.engine.model_file import ModelMetadata
from train.config.files import decode_config, encode_config
from train.config.run import TrainConfig
from train.errors import RunError
from train.network.checkpoint import load_generator, read_info, save_generator
from train.network.export import Precision, export_generator
from train.network.generator import Generator
from train.run.state import STATE_NAME, load_state

CHECKPOINT_NAME = "checkpoint.safetensors"
MODEL_NAME = "model.zip"
CONFIG_NAME = "config.json"
LOG_NAME, HELDOUT_NAME = TABLE_NAMES = ("log.csv", "heldout.csv")


def name_verdict(stage: int | str) -> str:
    """Name of the file that says how an adversarial stage, counted from 1, ended."""
    return f"adversarial-{stage}.json"


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder in which a new run would lie among other files.

    Raises:
        RunError: If it isn't empty, and holds no run or none that may be replaced.
    """
    try:
        is_taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise RunError(f"{folder}: can't be read ({error.strerror})") from error
    is_run = any((folder / name).exists() for name in (CONFIG_NAME, STATE_NAME))
    if is_taken and not is_run:
        raise RunError(f"{folder}: not empty, and holds no run; name another folder")
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
        for name in (STATE_NAME, CHECKPOINT_NAME, MODEL_NAME):
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
    names = (*TABLE_NAMES, CONFIG_NAME, CHECKPOINT_NAME, MODEL_NAME, STATE_NAME)
    verdicts = folder.glob(name_verdict("*"))
    for path in (*verdicts, *(folder / name for name in names)):
        path.unlink(missing_ok=True)


def export_weights(
    source: Path,
    output: Path,
    *,
    name: str | None = None,
    description: str | None = None,
    precision: Precision = "fp16",
) -> None:
    """Write weights for `restore` (.zip), or as a checkpoint (.safetensors).

    Args:
        source: Folder of a run, finished or not, whose weight average is taken; or a checkpoint,
            or an exported file.
        output: File to write; its suffix says which kind.
        name: Instead of the one that the weights have.
        description: Likewise.
        precision: Of the stored weights; "int8" is for restore only.

    Raises:
        RunError: If there is no run, or the output is of no kind that is known.
        CheckpointError: If a file can't be read or written.
    """
    if output.suffix not in (".zip", ".safetensors"):
        raise RunError(f"{output}: weights for restore are written as .zip, others as .safetensors")
    if source.is_dir():
        state = load_state(source)
        config = decode_config(state.config.encode(), str(source))
        generator = Generator(config.generator)
        generator.load_state_dict(state.tensors["average"])
        saved = source / CHECKPOINT_NAME  # missing before a run's first look
        known = read_info(saved).metadata if saved.exists() else ModelMetadata(config.name)
        if known.name != (now := f"{config.name}-{state.position.total_steps}"):
            known = replace(known, name=now, scores={})  # it went on since it was looked at
    else:
        generator, info = load_generator(source)
        known = info.metadata
    metadata = replace(known, name=name or known.name, description=description or known.description)
    if output.suffix == ".zip":
        export_generator(output, generator, metadata, precision=precision)
    else:
        dtype = torch.float32 if precision == "fp32" else torch.float16
        save_generator(output, generator, metadata, dtype=dtype)
