import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import TINY, build_pairs

from degrade import PairReader
from degrade.errors import StoreError
from degrade.textures import Textures
from train.config.critics import CriticConfig
from train.damage.twin import damage_of
from train.data.batches import Batch
from train.errors import last_line
from train.measure.baselines import keep_as_is, restore_classically
from train.measure.evaluate import Evaluation, name_faults, to_tensor
from train.measure.heldout import measure_heldout
from train.measure.pair import measure_consistency_error
from train.measure.table import format_table
from train.network.critic import Critic
from train.network.generator import Generator
from train.run.callbacks import Autocast, Average
from train.run.learner import build_networks, build_schedule
from train.run.looks import Look, describe_verdict, judge_looks, score_look
from train.run.pace import Pace
from train.run.rates import share_rate
from train.run.state import Position


def evaluate(evaluation: Evaluation, limit: int) -> dict[str, Any]:
    """Measure so many pairs."""
    for index in evaluation.choose_pairs(limit):
        evaluation.add_pair(index)
    return evaluation.summarise()


START = Look(step=0, distance=100.0, luma_psnr_db=20.0, delta_e=10.0)


def test_critic_judges_patches_at_every_scale() -> None:
    """Verdicts shrink with the scale, and every layer's features are handed out."""
    critic = Critic(CriticConfig(widths=(8, 16, 16), num_scales=2))
    verdicts, features = critic(torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64))
    assert [v.shape for v in verdicts] == [(2, 1, 16, 16), (2, 1, 8, 8)]
    assert len(features) == 6


def test_critic_is_conditional() -> None:
    """The verdict on a photograph depends on the damaged one."""
    critic = Critic(CriticConfig(widths=(8, 8), num_scales=1)).eval()
    photo = torch.rand(1, 3, 32, 32)
    verdicts = [critic(torch.rand(1, 3, 32, 32), photo)[0][0] for _ in range(2)]
    assert not torch.allclose(*verdicts)


def test_critic_keeps_to_its_spectral_norm() -> None:
    """After a few passes no layer stretches its input by more than about one."""
    critic = Critic(CriticConfig(widths=(8, 8), num_scales=1))
    for _ in range(30):
        critic(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
    weight = critic.scales[0].last.weight.detach().flatten(1)
    assert float(torch.linalg.matrix_norm(weight, 2)) == pytest.approx(1, abs=0.05)


def test_score_of_the_start_is_one() -> None:
    """What hasn't changed scores 1."""
    assert score_look(START, START) == 1


def test_score_matches_a_computation_by_hand() -> None:
    """Distance 0.8, 1.25 dB lost of which 1 is paid for, 7 % drift of which 5 % are paid for."""
    look = Look(step=5, distance=80.0, luma_psnr_db=18.75, delta_e=10.7)
    assert score_look(look, START) == pytest.approx(0.8 + 0.1 * 1.0 + 0.05)


def test_adversarial_stage_ends_when_looks_stop_improving() -> None:
    """The best look wins, and four looks without a better one end the stage."""
    distances = [100.0, 90.0, 70.0, 75.0, 80.0, 85.0, 90.0]
    looks = [Look(i, d, 20.0, 10.0) for i, d in enumerate(distances)]
    assert judge_looks(looks[:6]) == (looks[2], False)
    assert judge_looks(looks) == (looks[2], True)
    assert describe_verdict(looks)["chosen_step"] == 2


def test_adversarial_stage_may_end_where_it_began() -> None:
    """If the critic only harms, the start is kept."""
    looks = [START, Look(1, 99.0, 15.0, 14.0)]
    assert judge_looks(looks)[0] is START


def test_schedule_goes_up_once_and_down_once() -> None:
    """A cycle starts at 1/25 of its height, peaks after the warm-up and ends near zero."""
    schedule = build_schedule(1e-3, 0.1)
    assert schedule(0.0) == pytest.approx(4e-5)
    assert schedule(0.1) == pytest.approx(1e-3)
    assert schedule(1.0) == pytest.approx(1e-6)
    rates = [schedule(i / 100) for i in range(101)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_layers_with_more_inputs_learn_at_lower_rates() -> None:
    """A layer of 64 channels learns at the schedule's rate, four times the inputs at half of it."""
    networks = build_networks(TINY, torch.device("cpu"))
    rates = share_rate(networks.optimizer, 1.0)
    for group, rate in zip(networks.optimizer.param_groups[:-1], rates, strict=False):
        fan_in = group["params"][0][0].numel()
        assert rate == pytest.approx((576 / fan_in) ** 0.5)
    assert rates[-1] == 1


def test_average_follows_slowly_and_starts_fast() -> None:
    """The first update takes 9/10 of the new weights; later ones a part 1 - decay."""
    networks = build_networks(TINY, torch.device("cpu"))
    position = Position()
    average = Average(networks.generator, networks.average, 0.99, position)
    weight, mean = networks.generator.stem.weight, networks.average.stem.weight
    old = mean.clone()
    with torch.no_grad():
        weight.add_(1.0)
    average.after_step()
    torch.testing.assert_close(mean, old + 0.9)
    position.num_updates = 10_000
    average.after_step()
    torch.testing.assert_close(mean, old + 0.9 + 0.01 * 0.1)


@pytest.mark.parametrize(
    ("instructions", "is_half"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"bf16": True}, True),
     ({"avx512_bf16": False, "avx2": True}, False)],
)  # fmt: skip
def test_bfloat16_is_left_to_processors_that_know_it(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], is_half: bool
) -> None:
    """By itself only there; what a preset asks for it gets anywhere."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    device = torch.device("cpu")
    for precision, expected in (("auto", is_half), ("bf16", True), ("fp32", False)):
        autocast = Autocast(device, precision)
        with autocast.build_context():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (torch.bfloat16 if expected else torch.float32)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not Autocast(device, "auto").is_half


def test_pace_is_by_steps_or_by_time() -> None:
    """Without a time limit steps count, with one seconds, earlier ones included."""
    assert Pace(Position(step=3), num_steps=12).done_frac == 0.25
    timed = Pace(Position(step=3, stage_s=50.0, stage_budget_s=100.0), num_steps=12)
    assert timed.done_frac == pytest.approx(0.5, abs=0.01)


def test_classical_chain_removes_a_scratch() -> None:
    """A white line on smooth grey is found and filled."""
    clean = np.full((64, 64, 3), 100, np.uint8)
    damaged = clean.copy()
    damaged[:, 30:32] = 255
    restored, marks = restore_classically(damaged)
    assert marks[:, 30:32].all()
    assert not marks[:, :24].any()
    spread = restored[:, 28:34].astype(int) - int(np.median(restored))
    assert np.abs(spread).max() < 20


def test_doing_nothing_does_nothing() -> None:
    """The first baseline returns its input and no marks."""
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    restored, marks = keep_as_is(photo)
    assert np.array_equal(restored, photo)
    assert not marks.any()


def test_untrained_network_measures_as_doing_nothing(tmp_path: Path) -> None:
    """The identity scores what the first baseline scores, on every metric and fault."""
    reader = PairReader(build_pairs(tmp_path, num_photos=8), split="train")
    generator = Generator(TINY.generator).eval()
    results = evaluate(Evaluation(generator, reader, likeness=False), 4)
    assert results["num_photos"] == 4
    assert results["num_broken"] == 0
    assert results["methods"]["network"] == pytest.approx(results["methods"]["nothing"])
    for slice_ in results["faults"].values():
        assert slice_["network"] == pytest.approx(slice_["nothing"])
    names = {name for i in range(4) for name in name_faults(reader[i * len(reader) // 4].recipe)}
    assert set(results["faults"]) == names
    assert "consistency" in results["methods"]["network"]
    assert all("[pretrained]" in note for note in results["notes"])
    table = format_table(results)
    assert all(name in table for name in ("luma_psnr_db", "consistency", "marks_ap"))
    assert all(name in table for name in names)


def test_clean_photograph_is_more_consistent_than_doing_nothing(tmp_path: Path) -> None:
    """Of what `evaluate` calls consistency, the truth leaves scan and JPEG alone."""
    reader, textures = PairReader(build_pairs(tmp_path), split="train"), Textures.load()
    clean, nothing = [], []
    for pair in map(reader.__getitem__, range(len(reader))):
        damage = damage_of(pair.recipe, textures)
        damaged = to_tensor(pair.damaged)
        clean.append(measure_consistency_error(to_tensor(pair.clean), damaged, damage))
        nothing.append(measure_consistency_error(damaged, damaged, damage))
    assert 0 < sum(clean) < 0.7 * sum(nothing)


def test_consistency_is_left_out_where_textures_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs of another texture pack are measured without it, with a word."""
    reader = PairReader(build_pairs(tmp_path, num_photos=8), split="train")
    monkeypatch.setattr(type(reader.manifest), "texture_digest", "other", raising=True)
    generator = Generator(TINY.generator).eval()
    results = evaluate(Evaluation(generator, reader, baselines=False), 1)
    assert "consistency" not in results["methods"]["network"]
    assert "consistency is left out" in results["notes"][0]


def test_error_of_a_worker_is_its_last_line() -> None:
    """Without the traceback, and without the class that stands before its words."""
    caught = (
        "Caught StoreError in worker 0.\nTraceback:\n  ...\ndegrade.errors.StoreError: a: cut off"
    )
    assert last_line(StoreError(caught)) == "a: cut off"
    assert last_line(ValueError("train.toml: wrong")) == "train.toml: wrong"


def test_grey_photographs_can_be_looked_at() -> None:
    """They have no colourfulness to compare with."""
    grey = torch.rand(2, 1, 32, 32).expand(-1, 3, -1, -1)
    marks = torch.zeros(2, 1, 32, 32)
    batch = Batch(grey, grey, marks, *[torch.zeros(2, dtype=torch.int64)] * 2, None, marks)
    still = StillGenerator()
    scores = measure_heldout(still, [batch], contextlib.nullcontext())  # type: ignore[arg-type]
    assert scores["colorfulness_frac"] == 0
    assert scores["called_frac"] == 0


class StillGenerator(torch.nn.Module):
    """Gives photographs back, and finds no marks."""

    def forward(self, photo: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `train.network.generator.Generator.forward`."""
        return photo, photo[:, :1] * 0 - 4
