"""The whole chain, from photographs to a restored one, through the commands a user calls."""

import subprocess
import sys
from pathlib import Path

import pytest
from store_photos import fill_folder
from training_runs import TINY, write_preset


def call(*words: object) -> str:
    """Run a command of ours and return what it prints."""
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_chain(folder: Path, source: Path) -> tuple[bytes, bytes]:
    """Eight photographs → pairs → weights → a restored photograph."""
    pairs, run, out = folder / "pairs", folder / "run", folder / "restored.png"
    call("degrade", "build", source, pairs, "--seed", 42, "--size", 48, "--val-frac", 0.2)
    preset = write_preset(folder / "tiny.toml", TINY)
    call("train", "run", pairs, "--out", run, "--preset", preset)
    weights = run / "model.zip"
    old = folder / "old.png"
    photo = next(source.glob("*.*"))
    call("degrade", "photo", photo, "-o", old, "--seed", 7, "--profile", "snapshot-1920s")
    call("restore", old, "--model", weights, "-o", out, "--no-provenance", "--device", "cpu")
    return weights.read_bytes(), out.read_bytes()


@pytest.mark.slow
def test_chain_on_eight_photographs_repeats_exactly(tmp_path: Path) -> None:
    """Build, train in all stages, export and restore; once more gives the same bytes."""
    source = fill_folder(tmp_path / "photos", 8)
    results = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        results.append(run_chain(tmp_path / name, source))
    assert results[0] == results[1]
