"""Small builds, presets and runs for the tests of the trainer."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from store_photos import build_small, fill_folder

from train.config.critics import CriticConfig
from train.config.run import TrainConfig
from train.config.stages import StageConfig
from train.network.config import GeneratorConfig

# What a log says of the machine rather than of the training.
TIMINGS = ("run_s", "images_per_s", "waiting_frac")

TINY = TrainConfig(
    name="tiny",
    generator=GeneratorConfig(
        widths=(8, 8, 16),
        encoder_blocks=(1, 1, 1),
        decoder_blocks=(1, 1),
        marks_width=8,
        tone_scale=1,
    ),
    critic=CriticConfig(widths=(8, 8), num_scales=1),
    num_workers=0,
    log_steps=2,
    report_steps=4,
    save_s=0.001,
    heldout_num=2,
    heldout_size_px=32,
    stages=(
        StageConfig(kind="generator", size_px=32, batch=4, steps=8, time_frac=1, lr=1e-3),
        StageConfig(kind="critic", size_px=32, batch=4, steps=4, time_frac=1, lr=1e-3),
        StageConfig(kind="adversarial", size_px=32, batch=4, steps=8, time_frac=1, lr=1e-3),
    ),
)


def build_pairs(folder: Path, num_photos: int = 12, size_px: int = 48) -> Path:
    """Build pairs of photographs drawn by code, a sixth of them held out."""
    source = fill_folder(folder / "photos", num_photos)
    build_small(source, folder / "pairs", size_px=size_px, val_frac=1 / 6)
    return folder / "pairs"


def write_preset(path: Path, config: TrainConfig = TINY) -> Path:
    """Write a configuration as a preset file."""
    plain = msgspec.to_builtins(config)
    stages = plain.pop("stages")
    tables = {name: plain.pop(name) for name in list(plain) if isinstance(plain[name], dict)}
    lines = _list_fields(plain)
    for name, table in tables.items():
        lines += [f"[{name}]", *_list_fields(table)]
    for stage in stages:
        lines += ["[[stages]]", *_list_fields(stage)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _list_fields(table: dict[str, object]) -> list[str]:
    """TOML of numbers, texts and lists of numbers, which JSON writes alike."""
    return [f"{name} = {json.dumps(value)}" for name, value in table.items()]


def run_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the train command in a process of its own, with one thread."""
    command = [sys.executable, "-m", "train", *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, total_steps: int) -> None:
    """Have training die at a step, before anything of it is logged or saved."""
    from train.run.pace import Pace  # late: this module is imported where torch isn't needed

    count = Pace.after_batch

    def die(self: Pace) -> None:
        if self.position.total_steps == total_steps:
            raise Killed
        count(self)

    monkeypatch.setattr(Pace, "after_batch", die)


def run_until_killed(folder: Path, pairs: Path, config: TrainConfig, total_steps: int) -> None:
    """Begin a run that dies at a step."""
    from train.run.run import Run

    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at(monkeypatch, total_steps)
        with pytest.raises(Killed):
            Run(folder, pairs, config).train()


def read_log(run: Path, name: str = "log.csv") -> list[dict[str, str]]:
    """A run's log without its timings."""
    with (run / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows]
