"""Two processes that share each batch train as one does; torchrun starts them once for all."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from classifiers import install_classifier, write_package
from training_runs import TINY, build_pairs, read_log, run_until_killed, write_preset

from train.config.stages import StageConfig
from train.network.checkpoint import load_generator
from train.network.config import GeneratorConfig
from train.run.run import Run

pytestmark = pytest.mark.slow

COLOR = StageConfig(
    kind="color-adversarial", size_px=32, batch=4, steps=6, time_frac=1, lr=1e-3,
    critic_alone_steps=2,
)  # fmt: skip
# Single precision, since half precision depends on how a batch is split.
EXACT = msgspec.structs.replace(
    TINY,
    generator=replace(TINY.generator, color_encoder="lite0"),
    stages=(*TINY.stages, COLOR),
    precision="fp32",
)
CLOSE_LOOK = msgspec.structs.replace(
    EXACT,
    generator=GeneratorConfig(
        widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1,), tone_scale=0,
        marks_widths=(8, 8), marks_blocks=(1, 1),
    ),
    stages=(
        StageConfig(kind="marks", size_px=32, batch=4, steps=6, time_frac=1, lr=1e-3),
        StageConfig(kind="generator", size_px=32, batch=4, steps=2, time_frac=1, lr=1e-3),
    ),
)  # fmt: skip
_KILLED_AT = 13  # in the adversarial stage, where everything is in use


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs: `alone` by one process, the rest as shared_run.py makes them."""
    folder = tmp_path_factory.mktemp("runs")
    pairs = build_pairs(folder)
    write_package(folder / "package")
    with pytest.MonkeyPatch.context() as context:
        install_classifier(context, folder)
        Run(folder / "alone", pairs, EXACT).train()
        Run(folder / "alone-close", pairs, CLOSE_LOOK).train()
        run_until_killed(folder / "killed", pairs, EXACT, _KILLED_AT)
    odd = msgspec.structs.replace(EXACT.stages[0], batch=3)
    write_preset(folder / "even.toml", EXACT)
    write_preset(folder / "close.toml", CLOSE_LOOK)
    write_preset(folder / "odd.toml", msgspec.structs.replace(EXACT, stages=(odd,)))
    # On its own port, since another run may be under way.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2"]
    script = Path(__file__).parent / "shared_run.py"
    path = [str(folder / "package"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [*torchrun, str(script), str(pairs), str(folder), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path)},
    )
    assert done.returncode == 0, done.stderr
    return folder


def read_results(runs: Path, name: str) -> list[tuple[int, str]]:
    """Exit status and output of both processes, the main one first."""
    files = [runs / f"results-{rank}.json" for rank in (0, 1)]
    return [tuple(json.loads(file.read_text())[name]) for file in files]


def assert_alike(run: Path, alone: Path) -> None:
    """Every number of both logs within float noise, every other entry the same."""
    for name in ("log.csv", "heldout.csv"):
        ours, theirs = read_log(run, name), read_log(alone, name)
        assert len(ours) == len(theirs) > 0
        for row, expected in zip(ours, theirs, strict=True):
            assert row.keys() == expected.keys()
            for key, value in expected.items():
                if key == "stage" or not value:
                    assert row[key] == value
                else:
                    assert float(row[key]) == pytest.approx(float(value), rel=1e-4, abs=1e-6), key


def test_two_processes_log_the_losses_of_one(runs: Path) -> None:
    """All terms, gradient norms and looks of all stages, consistency among them, are the same."""
    assert_alike(runs / "fresh", runs / "alone")
    filled = {key for row in read_log(runs / "fresh") for key, value in row.items() if value}
    assert {"marks", "chroma", "consistency", "adversarial", "features", "critic"} <= filled
    assert {"color", "perceptual", "stray_edges", "hints", "projected"} <= filled


def test_two_processes_norm_over_the_batch_of_both(runs: Path) -> None:
    """Where layers are normed over the batch, losses and statistics are those of one process."""
    assert_alike(runs / "close", runs / "alone-close")
    ours, theirs = (
        load_generator(runs / name / "checkpoint.safetensors")[0]
        for name in ("close", "alone-close")
    )
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)


def test_two_processes_train_the_weights_of_one(runs: Path) -> None:
    """The exported weights agree, up to half precision and float noise."""
    ours, theirs = (
        load_generator(runs / name / "checkpoint.safetensors")[0] for name in ("fresh", "alone")
    )
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-4)


def test_two_processes_resume_what_one_began(runs: Path) -> None:
    """A run goes on with another number of processes to the same losses."""
    assert_alike(runs / "killed", runs / "alone")


def test_only_the_main_process_prints(runs: Path) -> None:
    """The scores come once, after what is left out where no classifier judges."""
    (status, printed), other = read_results(runs, "fresh")
    assert status == 0
    *notes, scores = printed.splitlines()
    assert all("EfficientNet-Lite1" in note for note in notes)
    assert len(notes) <= 1
    assert json.loads(scores)["weights"] == str(runs / "fresh" / "model.zip")
    assert other == (0, "")


def test_batch_that_cannot_be_shared_is_one_line(runs: Path) -> None:
    """Both processes end, one says why, and no folder is left."""
    (status, printed), other = read_results(runs, "uneven")
    assert status == 1
    assert printed.count("\n") == 1
    assert "a batch of 3 photographs can't be shared evenly by 2 processes" in printed
    assert other == (1, "")
    assert not (runs / "uneven").exists()
