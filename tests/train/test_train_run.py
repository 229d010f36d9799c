import csv
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import msgspec
import pytest
import torch
from store_photos import build_small, fill_folder
from training_runs import TINY, Killed, build_pairs, read_log, run_until_killed

from degrade import PairReader
from train.config.files import decode_config, encode_config
from train.config.run import TrainConfig
from train.damage.twin import Damages
from train.data.batches import stack_samples, to_batch
from train.data.builds import Builds
from train.data.pairs import StagePairs
from train.errors import (
    BatchMemoryError,
    ConfigError,
    DataError,
    DivergenceError,
    RunError,
    TrainError,
)
from train.losses import consistency
from train.losses.fidelity import FidelityLoss
from train.network.checkpoint import load_generator, read_info
from train.network.config import GeneratorConfig
from train.run.callbacks import Guard
from train.run.log import CsvTable
from train.run.run import Run, resume_run
from train.run.state import load_state

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_run_leaves_what_it_promises(finished: Path) -> None:
    """Weights, configuration, logs, sheets, state and the verdict on the adversarial stage."""
    names = {p.name for p in finished.iterdir()}
    assert names == {
        "adversarial-3.json",
        "config.json",
        "heldout.csv",
        "log.csv",
        "checkpoint.safetensors",
        "model.zip",
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
    generator, info = load_generator(finished / "checkpoint.safetensors")
    assert generator.config == TINY.generator
    assert info.metadata.data["num_train"] == 10
    assert info.metadata.data["size_px"] == 48
    assert {"luma_psnr_db", "delta_e", "swd", "marks_f1"} <= set(info.metadata.scores)


def test_adversarial_stage_keeps_its_best_look(finished: Path) -> None:
    """The exported weights are those of the chosen step: they score as it did."""
    verdict = json.loads((finished / "adversarial-3.json").read_text())
    chosen = next(x for x in verdict["looks"] if x["step"] == verdict["chosen_step"])
    assert chosen["score"] == min(x["score"] for x in verdict["looks"])
    scores = read_info(finished / "checkpoint.safetensors").metadata.scores
    assert scores["luma_psnr_db"] == pytest.approx(chosen["luma_psnr_db"])
    assert scores["swd"] == pytest.approx(chosen["distance"])


@pytest.mark.slow
def test_same_seed_trains_the_same_weights(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """Two runs with one seed agree in every loss and every byte of the weights' tensors."""
    Run(tmp_path / "again", pairs, TINY).train()
    assert read_log(tmp_path / "again") == read_log(finished)
    ours, theirs = (
        load_generator(f / "checkpoint.safetensors")[0] for f in (tmp_path / "again", finished)
    )
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_another_seed_trains_other_weights(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """The seed decides."""
    Run(tmp_path / "other", pairs, msgspec.structs.replace(TINY, seed=1)).train()
    assert read_log(tmp_path / "other") != read_log(finished)


@pytest.mark.slow
def test_workers_do_not_change_the_training(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """Pairs read by two other processes give the same losses."""
    Run(tmp_path / "workers", pairs, msgspec.structs.replace(TINY, num_workers=2)).train()
    assert read_log(tmp_path / "workers") == read_log(finished)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 8, 13, 15])
def test_resumed_run_equals_an_uninterrupted_one(
    finished: Path, pairs: Path, tmp_path: Path, step: int
) -> None:
    """A run killed in any stage goes on to the same losses, looks and weights."""
    folder = tmp_path / "killed"
    run_until_killed(folder, pairs, TINY, step)
    if step < 2:
        with pytest.raises(RunError, match="no run to resume"):
            resume_run(folder)
        return
    resume_run(folder).train()
    assert read_log(folder) == read_log(finished)
    assert read_log(folder, "heldout.csv") == read_log(finished, "heldout.csv")
    ours, theirs = (load_generator(f / "checkpoint.safetensors")[0] for f in (folder, finished))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_state_killed_before_it_is_renamed_loses_nothing(
    finished: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with the new state written aside, the run goes on from the old one, and tidies up."""
    folder = tmp_path / "killed"
    rename, num = os.replace, [0]

    def die(source: Path, target: Path) -> None:
        num[0] += target.name == "state.pt"
        if num[0] == 4:
            raise Killed
        rename(source, target)

    with monkeypatch.context() as context:
        context.setattr(os, "replace", die)
        with pytest.raises(Killed):
            Run(folder, pairs, TINY).train()
    (aside,) = folder.glob(".state.pt.*")
    aside.rename(folder / ".state.pt.1")  # the next process has another number
    resume_run(folder).train()
    assert read_log(folder) == read_log(finished)
    assert not list(folder.glob(".state.pt.*"))


def test_resuming_a_finished_run_changes_nothing(finished: Path) -> None:
    """There is nothing left to do."""
    before = (finished / "log.csv").read_bytes()
    scores = resume_run(finished).train()
    assert (finished / "log.csv").read_bytes() == before
    assert scores == dict(read_info(finished / "checkpoint.safetensors").metadata.scores)


def test_log_that_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    """A column that has another name now keeps its values."""
    path = tmp_path / "heldout.csv"
    path.write_text("stage,total_steps,colourfulness_frac\none,4,0.5\none,8,0.6\n")
    CsvTable(path, ("stage", "total_steps", "colorfulness_frac"), keep_steps=4)
    assert path.read_text().split() == ["stage,total_steps,colorfulness_frac", "one,4,0.5"]


def test_half_a_line_of_a_log_is_dropped(tmp_path: Path) -> None:
    """As a power cut leaves it."""
    path = tmp_path / "log.csv"
    path.write_text("stage,step,total_steps\none,4,4\none,8")
    CsvTable(path, ("stage", "step", "total_steps"), keep_steps=8)
    assert path.read_text().split() == ["stage,step,total_steps", "one,4,4"]


def test_resume_refuses_other_pairs(finished: Path, tmp_path: Path) -> None:
    """A run goes on with the pairs that it began with."""
    other = build_pairs(tmp_path, num_photos=7)
    with pytest.raises(RunError, match="not the pairs"):
        resume_run(finished, other)


def test_state_of_a_run_on_one_build_is_read(finished: Path, tmp_path: Path) -> None:
    """Runs that began when there could be no more than one build go on."""
    state = torch.load(finished / "state.pt", weights_only=True)
    (path,) = state["pairs"]
    torch.save({**state, "pairs": path}, tmp_path / "state.pt")
    assert load_state(tmp_path).pairs == [path]


def test_broken_state_is_refused(tmp_path: Path) -> None:
    """Half a state file is named, not half-loaded."""
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RunError, match="not a whole state"):
        resume_run(tmp_path)


@pytest.mark.slow
def test_time_limit_ends_every_stage_in_time(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With minutes, all stages run and their schedules come down, whatever their steps."""
    monkeypatch.setattr("train.run.run._RESERVE_S", 2.0)  # of 15 s, so that most is training
    run = Run(tmp_path / "timed", pairs, TINY, minutes=0.25)
    run.train()
    assert run.position.stage == 3
    assert run.position.run_s < 30
    with (tmp_path / "timed" / "log.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "1-generator-32"]
    rates = [float(row["lr"]) for row in rows]
    assert rates[-1] < max(rates) / 3


def test_time_limit_counts_what_is_no_training(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage gets its share of what is left by the clock, with two looks kept back for the end."""
    run = Run(tmp_path / "timed", pairs, TINY, minutes=10)
    clock = time.monotonic

    def share_after(seconds: float) -> float:
        monkeypatch.setattr("train.run.run.time.monotonic", lambda: clock() + seconds)
        return run._share_time()

    early, late = share_after(0), share_after(200)
    assert late / early == pytest.approx((600 - 10 - 200) / (600 - 10), abs=0.01)
    assert run.position.run_s == pytest.approx(200, abs=5)
    run._look_s = 50
    assert share_after(200) / late == pytest.approx((390 - 2 * 50) / 390, abs=0.01)


def test_init_starts_from_given_weights(finished: Path, pairs: Path, tmp_path: Path) -> None:
    """The generator begins with the file's weights, up to their half precision."""
    run = Run(tmp_path / "warm", pairs, TINY, init=finished / "checkpoint.safetensors")
    loaded, _ = load_generator(finished / "checkpoint.safetensors")
    for ours, theirs in zip(run.networks.generator.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_init_refuses_a_network_of_another_size(
    finished: Path, pairs: Path, tmp_path: Path
) -> None:
    """Weights of another size are named, with the remedy."""
    config = msgspec.structs.replace(TINY, generator=GeneratorConfig())
    with pytest.raises(TrainError, match="another size"):
        Run(tmp_path / "warm", pairs, config, init=finished / "checkpoint.safetensors")


def test_pretrained_is_refused_without_an_encoder_for_it() -> None:
    """Without a global branch there is no encoder that has ImageNet weights."""
    content = encode_config(TINY).replace(b'"pretrained":false', b'"pretrained":true')
    with pytest.raises(ConfigError, match="pretrained"):
        decode_config(content, "mine")


def test_encoders_of_earlier_versions_are_refused_by_name() -> None:
    """A run that names another encoder is refused in one line; all old ones name "plain"."""
    plain = json.loads(encode_config(TINY))
    plain["generator"]["encoder"] = "plain"
    assert decode_config(json.dumps(plain).encode(), "mine") == TINY
    plain["generator"]["encoder"] = "resnet34"
    with pytest.raises(ConfigError, match=r"^mine: .* the encoder 'resnet34'") as caught:
        decode_config(json.dumps(plain).encode(), "mine")
    assert "\n" not in str(caught.value)


def test_unknown_field_of_the_generator_is_refused() -> None:
    """A misspelled size doesn't leave the default in silence."""
    content = encode_config(TINY).replace(b'"marks_width"', b'"mark_width"')
    with pytest.raises(ConfigError, match=r"mine: \[generator\] has no field mark_width"):
        decode_config(content, "mine")


@pytest.mark.slow
def test_terms_can_be_switched_off(pairs: Path, tmp_path: Path) -> None:
    """Without the critic's terms and the marks, they aren't in the log and the rest trains."""
    config = TINY.without("adversarial", "features", "marks")
    Run(tmp_path / "less", pairs, config).train()
    rows = read_log(tmp_path / "less")
    assert all(not row[n] for row in rows for n in ("adversarial", "features", "marks"))
    assert rows[-1]["luma"]


@pytest.mark.slow
def test_divergence_keeps_the_last_good_weights(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When gradients stop being finite, the run ends with a word and loadable weights."""
    from train.losses import fidelity as losses

    measure, num = losses.measure_luma, [0]

    def break_down(*arguments: Any) -> torch.Tensor:
        num[0] += 1
        return measure(*arguments) * (float("nan") if num[0] > 4 else 1.0)

    monkeypatch.setattr(losses, "measure_luma", break_down)
    stage = msgspec.structs.replace(TINY.stages[0], steps=12)
    with pytest.raises(
        DivergenceError, match=r"without a finite gradient.*lower the learning rate"
    ):
        Run(tmp_path / "broken", pairs, msgspec.structs.replace(TINY, stages=(stage,))).train()
    load_generator(tmp_path / "broken" / "checkpoint.safetensors")
    monkeypatch.undo()
    resume_run(tmp_path / "broken").train()


def test_divergence_exports_what_was_looked_at_last(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the weights go astray slowly, so does their average: it isn't what is kept."""
    stage = msgspec.structs.replace(TINY.stages[0], steps=12)
    run = Run(tmp_path / "astray", pairs, msgspec.structs.replace(TINY, stages=(stage,)))

    def go_astray(_: Guard) -> None:
        if run.position.step > 6:
            for parameter in run.networks.average.parameters():
                parameter.data.add_(1)
            raise DivergenceError("the loss rose")

    monkeypatch.setattr(Guard, "after_loss", go_astray)
    with pytest.raises(DivergenceError, match=r"the loss rose\. The weights of the last look"):
        run.train()
    kept, exported = (
        load_generator(tmp_path / "astray" / name)
        for name in ("checkpoint.safetensors", "model.zip")
    )
    assert exported[1].metadata.name == "tiny-4"
    assert exported[1].metadata.scores == kept[1].metadata.scores != {}
    for ours, theirs in zip(exported[0].parameters(), kept[0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
@pytest.mark.parametrize(
    "place", ["train.network.local.unet.LocalUNet._encode", "train.losses.consistency.redamage"]
)
def test_too_little_memory_is_one_line_and_keeps_the_state(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    """The batch, its size and the remedy are named; with enough memory the run goes on."""
    folder = tmp_path / "run"
    run_until_killed(folder, pairs, TINY, 5)
    before = (folder / "state.pt").read_bytes()

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    with pytest.raises(BatchMemoryError) as caught:
        resume_run(folder).train()
    message = str(caught.value)
    assert "too little memory for a batch of 4 photographs of 32 px (stage 1, step 4; " in message
    assert "set a smaller batch in a preset file" in message
    assert "\n" not in message
    assert (folder / "state.pt").read_bytes() == before
    monkeypatch.undo()
    assert not torch.is_autocast_enabled("cpu")
    assert resume_run(folder).position.total_steps == 4


def test_other_errors_keep_their_traceback(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug isn't mistaken for little memory."""

    def fail(*_: Any) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr("train.network.local.unet.LocalUNet._encode", fail)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Run(tmp_path / "run", pairs, TINY).train()


def test_held_out_photographs_that_need_too_much_memory_are_named(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is their size that is to blame, not the batch."""

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("train.run.run.measure_heldout", fail)
    with pytest.raises(BatchMemoryError, match=r"held-out.*32 px.*set a smaller heldout_size_px"):
        Run(tmp_path / "run", pairs, TINY).train()


def _break_sample(pairs: Path, number: int) -> None:
    """Spoil one training sample's damaged photograph."""
    shard = sorted(pairs.glob("train-*.lmdb"))[0]
    with lmdb.open(str(shard), lock=False, map_size=1 << 26) as env, env.begin(write=True) as txn:
        keys = [k for k, _ in txn.cursor() if k.endswith(b"damaged.jpg")]
        txn.put(keys[number], b"not a photograph")


@pytest.mark.slow
def test_broken_sample_is_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One corrupt sample costs itself and is named at the end."""
    pairs = build_pairs(tmp_path)
    _break_sample(pairs, 3)
    run = Run(tmp_path / "run", pairs, TINY)
    run.train()
    assert run.standing.broken == {3}
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


@pytest.mark.slow
def test_four_pairs_can_be_learned_by_heart(tmp_path: Path) -> None:
    """Enough steps drive every fidelity term towards zero, and consistency below the identity's."""
    source = fill_folder(tmp_path / "photos", 4)
    build_small(source, tmp_path / "pairs", size_px=32, val_frac=0.0)
    reader = Builds(tmp_path / "pairs", "train")
    assert len(reader) == 4
    stage = msgspec.structs.replace(
        TINY.stages[0], steps=320, batch=4, lr=4e-3, whole_prob=0.0, native_prob=1.0
    )
    generator = replace(TINY.generator, widths=(16, 16, 32))
    config = msgspec.structs.replace(
        TINY, generator=generator, stages=(stage,), log_steps=10, report_steps=320, save_s=1e3
    )
    Run(tmp_path / "run", tmp_path / "pairs", config).train()
    last = read_log(tmp_path / "run")[-1]

    pairs = StagePairs(reader, stage, config.seed, 0)
    batch = to_batch(stack_samples(pairs.read(range(4))))
    damages = Damages(reader)
    damage = damages.load(batch.pair_index.numpy(), batch.geometry.numpy(), 32).unpack()
    loss = FidelityLoss(config.weights, config.shape)
    no_marks = torch.full_like(batch.marks, -4.0)
    loss(
        (batch.damaged, no_marks), batch.clean, batch.marks, batch.damaged
    )  # what doing nothing costs
    for name in ("luma", "chroma", "detail", "marks"):
        assert float(last[name]) < 0.2 * float(loss.terms[name]), name
    identity = consistency.measure_consistency_loss(batch.damaged, batch.damaged, damage)
    assert float(last["consistency"]) < 0.5 * float(identity)
