import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
import torch
from training_runs import TINY, build_pairs, read_log

from degrade import PairReader
from restore.checkpoint import load_generator, read_info
from train.callbacks import Pace
from train.config import TrainConfig
from train.errors import DataError, DivergenceError, RunError, TrainError
from train.stages import Run, resume_run


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Train on one thread: the networks are tiny."""
    num = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of twelve pairs."""
    return build_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def finished(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that went through."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    Run(folder, pairs, TINY).train()
    return folder


class _Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, total_steps: int) -> None:
    """Have training die at a step, before anything of it is logged or saved."""
    count = Pace.after_batch

    def die(self: Pace) -> None:
        if self.position.total_steps == total_steps:
            raise _Killed
        count(self)

    monkeypatch.setattr(Pace, "after_batch", die)


def test_run_leaves_what_it_promises(finished: Path) -> None:
    """Weights, configuration, logs, sheets, state and the verdict on the adversarial stage."""
    names = {p.name for p in finished.iterdir()}
    assert names == {
        "adversarial-3.json",
        "config.json",
        "heldout.csv",
        "log.csv",
        "model.safetensors",
        "sheets",
        "state.pt",
        "tensorboard",
    }
    assert (finished / "sheets" / "1-generator-32-000004.jpg").exists()
    config = msgspec.json.decode((finished / "config.json").read_bytes(), type=TrainConfig)
    assert config == TINY


def test_run_logs_every_stage_and_term(finished: Path) -> None:
    """The critic's loss appears when it trains, the adversarial terms in the last stage."""
    with (finished / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    filled = {row["stage"]: {k for k, v in row.items() if v} for row in rows}
    fidelity = {"luma", "chroma", "detail", "marks"}
    assert list(filled) == ["1-generator-32", "2-critic-32", "3-adversarial-32"]
    assert fidelity <= filled["1-generator-32"]
    assert "critic" not in filled["1-generator-32"]
    assert "critic" in filled["2-critic-32"]
    assert not fidelity & filled["2-critic-32"]
    assert fidelity | {"critic", "adversarial", "features"} <= filled["3-adversarial-32"]
    assert [int(row["total_steps"]) for row in rows] == list(range(2, 2 * len(rows) + 1, 2))


def test_exported_weights_carry_data_and_scores(finished: Path) -> None:
    """The metadata says what the weights were trained on and what they measured."""
    generator, info = load_generator(finished / "model.safetensors")
    assert generator.config == TINY.generator
    assert info.metadata.data["num_train"] == 10
    assert info.metadata.data["size_px"] == 48
    assert {"luma_psnr_db", "delta_e", "swd", "marks_f1"} <= set(info.metadata.scores)


def test_adversarial_stage_keeps_its_best_look(finished: Path) -> None:
    """The exported weights are those of the chosen step: they score as it did."""
    verdict = json.loads((finished / "adversarial-3.json").read_text())
    chosen = next(x for x in verdict["looks"] if x["step"] == verdict["chosen_step"])
    assert chosen["score"] == min(x["score"] for x in verdict["looks"])
    scores = read_info(finished / "model.safetensors").metadata.scores
    assert scores["luma_psnr_db"] == pytest.approx(chosen["luma_psnr_db"])
    assert scores["swd"] == pytest.approx(chosen["swd"])


def test_same_seed_trains_the_same_weights(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """Two runs with one seed agree in every loss and every byte of the weights' tensors."""
    Run(tmp_path / "again", pairs, TINY).train()
    assert read_log(tmp_path / "again") == read_log(finished)
    ours, theirs = (
        load_generator(f / "model.safetensors")[0] for f in (tmp_path / "again", finished)
    )
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_seed_trains_other_weights(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """The seed decides."""
    Run(tmp_path / "other", pairs, msgspec.structs.replace(TINY, seed=1)).train()
    assert read_log(tmp_path / "other") != read_log(finished)


def test_workers_do_not_change_the_training(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """Pairs read by two other processes give the same losses."""
    Run(tmp_path / "workers", pairs, msgspec.structs.replace(TINY, num_workers=2)).train()
    assert read_log(tmp_path / "workers") == read_log(finished)


@pytest.mark.parametrize("step", [1, 5, 8, 10, 13, 15])
def test_resumed_run_equals_an_uninterrupted_one(
    finished: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A run killed in any stage goes on to the same losses, looks and weights."""
    folder = tmp_path / "killed"
    with monkeypatch.context() as context:
        kill_at(context, step)
        with pytest.raises(_Killed):
            Run(folder, pairs, TINY).train()
    if step < 2:
        with pytest.raises(RunError, match="no run to resume"):
            resume_run(folder)
        return
    resume_run(folder).train()
    assert read_log(folder) == read_log(finished)
    assert read_log(folder, "heldout.csv") == read_log(finished, "heldout.csv")
    ours, theirs = (load_generator(f / "model.safetensors")[0] for f in (folder, finished))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_resuming_a_finished_run_changes_nothing(finished: Path) -> None:
    """There is nothing left to do."""
    before = (finished / "log.csv").read_bytes()
    scores = resume_run(finished).train()
    assert (finished / "log.csv").read_bytes() == before
    assert scores == dict(read_info(finished / "model.safetensors").metadata.scores)


def test_resume_refuses_other_pairs(finished: Path, tmp_path: Path) -> None:
    """A run goes on with the pairs that it began with."""
    other = build_pairs(tmp_path, num_photos=7)
    with pytest.raises(RunError, match="not the pairs"):
        resume_run(finished, other)


def test_broken_state_is_refused(tmp_path: Path) -> None:
    """Half a state file is named, not half-loaded."""
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RunError, match="not a whole state"):
        resume_run(tmp_path)


def test_time_limit_ends_every_stage_in_time(pairs: Path, tmp_path: Path) -> None:
    """With minutes, all stages run and their schedules come down, whatever their steps."""
    run = Run(tmp_path / "timed", pairs, TINY, minutes=0.25)
    run.train()
    assert run.position.stage == 3
    assert run.position.run_s < 30
    with (tmp_path / "timed" / "log.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "1-generator-32"]
    rates = [float(row["lr"]) for row in rows]
    assert rates[-1] < max(rates) / 3


def test_init_starts_from_given_weights(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """The generator begins with the file's weights, up to their half precision."""
    run = Run(tmp_path / "warm", pairs, TINY, init=finished / "model.safetensors")
    loaded, _ = load_generator(finished / "model.safetensors")
    for ours, theirs in zip(run.networks.generator.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_init_refuses_a_network_of_another_size(
    finished: Path, pairs: Path, tmp_path: Path
) -> None:
    """Weights of another size are named, with the remedy."""
    from restore.generator_config import GeneratorConfig

    config = msgspec.structs.replace(TINY, generator=GeneratorConfig())
    with pytest.raises(TrainError, match="another size"):
        Run(tmp_path / "warm", pairs, config, init=finished / "model.safetensors")


def test_terms_can_be_switched_off(pairs: Path, tmp_path: Path) -> None:
    """Without the critic's terms and the marks, they aren't in the log and the rest trains."""
    config = TINY.without("adversarial", "features", "marks")
    Run(tmp_path / "less", pairs, config).train()
    rows = read_log(tmp_path / "less")
    assert all(not row[n] for row in rows for n in ("adversarial", "features", "marks"))
    assert rows[-1]["luma"]


def test_divergence_keeps_the_last_good_weights(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When gradients stop being finite, the run ends with a word and loadable weights."""
    from train import losses

    measure, num = losses.measure_luma, [0]

    def break_down(*arguments: Any) -> torch.Tensor:
        num[0] += 1
        return measure(*arguments) * (float("nan") if num[0] > 4 else 1.0)

    monkeypatch.setattr(losses, "measure_luma", break_down)
    with pytest.raises(
        DivergenceError, match=r"without a finite gradient.*lower the learning rate"
    ):
        Run(tmp_path / "broken", pairs, TINY).train()
    load_generator(tmp_path / "broken" / "model.safetensors")
    monkeypatch.undo()
    resume_run(tmp_path / "broken").train()


def _break_sample(pairs: Path, number: int) -> None:
    """Spoil one training sample's damaged photograph."""
    shard = sorted(pairs.glob("train-*.lmdb"))[0]
    with lmdb.open(str(shard), lock=False, map_size=1 << 26) as env, env.begin(write=True) as txn:
        keys = [k for k, _ in txn.cursor() if k.endswith(b"damaged.jpg")]
        txn.put(keys[number], b"not a photograph")


def test_broken_sample_is_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One corrupt sample costs itself and is named at the end."""
    pairs = build_pairs(tmp_path)
    _break_sample(pairs, 3)
    run = Run(tmp_path / "run", pairs, TINY)
    run.train()
    assert run.broken == {3}
    assert f"skipped 1 broken samples: {PairReader(pairs, 'train').keys[3]}" in (
        capsys.readouterr().err
    )


def test_pairs_smaller_than_a_stage_are_refused(pairs: Path, tmp_path: Path) -> None:
    """A stage larger than the pairs is found out before training begins."""
    stage = msgspec.structs.replace(TINY.stages[0], size_px=64)
    config = msgspec.structs.replace(TINY, stages=(TINY.stages[0], stage))
    with pytest.raises(DataError, match=r"pairs of 48 px.*--size 64"):
        Run(tmp_path / "run", pairs, config)
    assert not (tmp_path / "run").exists()


def test_eight_pairs_can_be_learned_by_heart(tmp_path: Path) -> None:
    """Enough steps on eight pairs drive every fidelity term far down."""
    pairs = build_pairs(tmp_path, num_photos=9, size_px=32)
    stage = msgspec.structs.replace(
        TINY.stages[0], steps=300, batch=8, lr=3e-3, whole_prob=0.0, native_prob=1.0
    )
    config = msgspec.structs.replace(
        TINY, stages=(stage,), log_steps=20, report_steps=300, save_s=1e3
    )
    Run(tmp_path / "run", pairs, config).train()
    rows = read_log(tmp_path / "run")
    first, last = rows[0], rows[-1]
    for name in ("luma", "chroma"):
        assert float(last[name]) < 0.5 * float(first[name])
