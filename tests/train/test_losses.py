import math

import pytest
import torch

from train.config.losses import LossShape, LossWeights
from train.losses import adversarial
from train.losses import fidelity as losses


def make_flat(red: float, green: float, blue: float) -> torch.Tensor:
    """A photograph (1, 3, 8, 8) of one colour."""
    return torch.tensor([red, green, blue]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)),
        ((0.5, 0.5, 0.5), (0.5, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (0.299, -0.168736, 0.5)),
        ((0.0, 0.0, 1.0), (0.114, 0.5, -0.081312)),
    ],
)
def test_luma_and_chroma_are_those_of_bt601(
    rgb: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    """Greys have no chroma, pure red and blue reach 0.5."""
    luma, chroma = losses.split_luma_chroma(make_flat(*rgb))
    found = (float(luma[0, 0, 0, 0]), *chroma[0, :, 0, 0].tolist())
    assert found == pytest.approx(expected, abs=1e-5)


def test_charbonnier_costs_nothing_at_zero_and_the_distance_far_away() -> None:
    """sqrt(d² + 1e-6) - 1e-3 at 0, 0.001 and 0.5."""
    values = losses.charbonnier(torch.tensor([0.0, 0.001, -0.5]))
    expected = [0.0, math.sqrt(2e-6) - 1e-3, math.sqrt(0.25 + 1e-6) - 1e-3]
    assert values.tolist() == pytest.approx(expected, abs=1e-7)


def test_charbonnier_has_a_gradient_everywhere() -> None:
    """At a perfect answer the gradient is 0, not NaN."""
    difference = torch.zeros(3, requires_grad=True)
    losses.charbonnier(difference).sum().backward()
    assert difference.grad is not None
    assert difference.grad.tolist() == [0, 0, 0]


def test_marks_weigh_more_by_their_opacity() -> None:
    """Weights are 1 in the open, 1 + boost under an opaque mark, and between for half-opaque."""
    assert losses.weigh_marks(torch.tensor([0.0, 0.5, 1.0]), 2.0).tolist() == [1, 2, 3]


def test_saturated_colours_weigh_more_than_grey() -> None:
    """With boost 4, full saturation weighs five times grey, and the mean weight is 1."""
    chroma = torch.zeros(1, 2, 1, 2)
    chroma[0, 0, 0, 1] = losses.FULL_SATURATION
    weights = losses.weigh_saturation(chroma, 4.0)
    assert weights.flatten().tolist() == pytest.approx([1 / 3, 5 / 3])


def test_chroma_error_is_the_length_of_the_difference() -> None:
    """An error of (0.3, 0.4) counts as 0.5."""
    error = torch.tensor([0.3, 0.4]).reshape(1, 2, 1, 1)
    value = losses.measure_chroma(error, torch.zeros_like(error), torch.ones(1, 1, 1, 1))
    assert float(value) == pytest.approx(0.5, abs=1.5e-3)


def test_detail_ignores_a_constant_error() -> None:
    """A photograph that is too bright everywhere has the right detail."""
    luma = torch.rand(1, 1, 32, 32)
    value = losses.measure_detail(luma + 0.25, luma, torch.ones_like(luma))
    assert float(value) == pytest.approx(0, abs=1e-6)


def test_detail_counts_noise_at_its_scale() -> None:
    """A checkerboard of ±0.1 lies in the finest band alone and costs 0.1 there."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    noise = (0.1 - 0.2 * ((rows + columns) % 2)).reshape(1, 1, 32, 32)
    value = losses.measure_detail(noise, torch.zeros_like(noise), torch.ones_like(noise))
    assert float(value) == pytest.approx(0.1, abs=1.5e-3)


def test_detail_sees_noise_behind_a_wrong_tone() -> None:
    """With a bias of 0.3, noise doesn't change the luma term but does change the detail term."""
    torch.manual_seed(0)
    clean = torch.zeros(1, 1, 64, 64)
    flat, noisy = clean + 0.3, clean + 0.3 + 0.1 * torch.randn_like(clean)
    ones = torch.ones_like(clean)
    luma = [float(losses.measure_luma(photo, clean, ones)) for photo in (flat, noisy)]
    assert luma[1] == pytest.approx(luma[0], rel=0.02)
    assert float(losses.measure_detail(noisy, clean, ones)) > 0.1


def test_detail_counts_colour_noise() -> None:
    """A checkerboard of ±0.1 in both chroma channels, and not in luma, costs 0.1."""
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    noise = (0.1 - 0.2 * ((rows + columns) % 2)).expand(1, 1, 32, 32)
    clean = torch.full((1, 3, 32, 32), 0.5)
    red, blue = noise * 1.402, noise * 1.772  # Cr and Cb of BT.601
    green = -(0.299 * red + 0.114 * blue) / 0.587
    noisy = clean + torch.cat([red, green, blue], dim=1)
    loss = losses.FidelityLoss(LossWeights(), LossShape())
    loss((noisy, torch.zeros_like(noise)), clean, torch.zeros_like(noise), noisy)
    assert float(loss.terms["luma"]) == pytest.approx(0, abs=1e-4)
    assert float(loss.terms["detail"]) == pytest.approx(0.1, abs=1.5e-3)


def test_marks_loss_is_zero_for_the_right_answer() -> None:
    """Certain and right costs nothing."""
    marks = torch.zeros(1, 1, 4, 4)
    marks[..., 0] = 1
    assert float(losses.measure_marks((marks - 0.5) * 200, marks)) == pytest.approx(0, abs=1e-6)


def test_marks_loss_matches_a_computation_by_hand() -> None:
    """Doubt (p = ½) on 2 marked of 4 pixels: ln 2 + 1 - (2 · 1 + 1) / (1 + 2 + 1)."""
    marks = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    value = losses.measure_marks(torch.zeros(1, 1, 2, 2), marks)
    assert float(value) == pytest.approx(math.log(2) + 0.25)


def test_half_opaque_marks_are_best_answered_by_their_opacity() -> None:
    """For a mark of opacity 0.3 the loss is lowest at the probability 0.3."""
    marks = torch.full((1, 1, 16, 16), 0.3)
    candidates = torch.linspace(0.05, 0.95, 19)
    costs = [
        float(losses.measure_marks(torch.logit(p).expand(1, 1, 16, 16), marks)) for p in candidates
    ]
    assert float(candidates[costs.index(min(costs))]) == pytest.approx(0.3, abs=1e-6)


def test_hinge_losses_match_a_computation_by_hand() -> None:
    """The critic pays up to a margin of 1 on either side; the generator is paid by the verdict."""
    real = [torch.tensor([2.0, 0.0]), torch.tensor([1.0])]
    fake = [torch.tensor([-2.0, 0.5]), torch.tensor([-1.0])]
    # First scale: mean(0, 1) + mean(0, 1.5); second: 0 + 0.
    assert float(adversarial.judge_real_and_fake(real, fake)) == pytest.approx((0.5 + 0.75 + 0) / 2)
    # Means -0.75 and -1.
    assert float(adversarial.fool_critic(fake)) == pytest.approx(0.875)


def test_feature_matching_is_the_mean_distance_and_spares_the_clean_side() -> None:
    """Distances 1 and 3 give 2; no gradient reaches the clean photograph's features."""
    real = [torch.zeros(2, requires_grad=True), torch.zeros(4, requires_grad=True)]
    fake = [torch.ones(2, requires_grad=True), torch.full((4,), -3.0, requires_grad=True)]
    value = adversarial.match_features(real, fake)
    value.backward()
    assert value.item() == pytest.approx(2)
    assert real[0].grad is None
    assert fake[0].grad is not None


def test_fidelity_loss_is_the_weighted_sum_of_its_terms() -> None:
    """The total is Σ weight · term over the terms that were noted."""
    weights = LossWeights(luma=1, chroma=2, detail=3, marks=4)
    loss = losses.FidelityLoss(weights, LossShape())
    clean, restored = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    marks = (torch.rand(2, 1, 16, 16) > 0.8).float()
    total = loss((restored, torch.randn(2, 1, 16, 16)), clean, marks, clean)
    terms = {name: float(value) for name, value in loss.terms.items()}
    assert set(terms) == {"luma", "chroma", "detail", "marks"}
    expected = terms["luma"] + 2 * terms["chroma"] + 3 * terms["detail"] + 4 * terms["marks"]
    assert float(total) == pytest.approx(expected)


def test_psnr_matches_a_computation_by_hand() -> None:
    """An error of 0.1 everywhere is 20 dB, 30 dB short of 50; none is 0."""
    clean = torch.rand(2, 1, 8, 8)
    restored = clean + torch.tensor([0.1, 0.0])[:, None, None, None]
    value = float(losses.measure_psnr(restored, clean))
    assert value == pytest.approx((math.log10(0.01 + 1e-5) + 5) / 2, abs=1e-4)


def test_psnr_weighs_photographs_by_the_share_of_their_error() -> None:
    """Halving a small error gains as much as halving a large one."""
    clean = torch.zeros(1, 1, 8, 8)
    large, small = (
        [float(losses.measure_psnr(clean + e, clean)) for e in (d, d / 2)] for d in (0.4, 0.1)
    )
    assert large[0] - large[1] == pytest.approx(small[0] - small[1], abs=0.01)


def test_fidelity_loss_is_zero_for_the_clean_photograph() -> None:
    """A perfect restoration with perfect marks costs nothing."""
    clean = torch.rand(1, 3, 16, 16)
    marks = (torch.rand(1, 1, 16, 16) > 0.8).float()
    loss = losses.FidelityLoss(LossWeights(), LossShape())
    assert float(loss((clean, (marks - 0.5) * 200), clean, marks, clean)) == pytest.approx(
        0, abs=1e-6
    )


def test_cast_is_what_is_wrong_everywhere() -> None:
    """The length of a shift of all chroma counts, the mean over photographs; noise doesn't."""
    clean = torch.rand(2, 2, 16, 16)
    noise = torch.randn(2, 2, 16, 16)
    noise -= noise.mean((2, 3), keepdim=True)
    assert losses.measure_cast(clean + noise, clean) < 1e-5
    shift = torch.tensor([[0.03, 0.04], [0.0, 0.15]])[:, :, None, None]
    shifted = losses.measure_cast(clean + noise + shift, clean)
    assert float(shifted) == pytest.approx((0.05 + 0.15) / 2, abs=1e-3)


@pytest.mark.parametrize("name", ["luma", "psnr", "chroma", "cast", "detail", "marks"])
def test_a_term_of_weight_zero_is_left_out(name: str) -> None:
    """Switching a term off removes it from the log as well."""
    weights = dict.fromkeys(("luma", "psnr", "chroma", "cast", "detail", "marks"), 1.0)
    loss = losses.FidelityLoss(LossWeights(**{**weights, name: 0.0}), LossShape())
    photo = torch.rand(1, 3, 16, 16)
    loss((photo, torch.zeros(1, 1, 16, 16)), photo, torch.zeros(1, 1, 16, 16), photo)
    assert set(loss.terms) == set(weights) - {name}
