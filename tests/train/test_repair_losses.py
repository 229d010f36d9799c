"""The terms of a close look's loss: what they reward, and what they leave alone."""

from pathlib import Path

import pytest
import torch
from classifiers import install_classifier

from train.config.losses import LossShape, LossWeights
from train.damage.laid import find_thin
from train.losses import repair
from train.losses.fidelity import measure_marks
from train.network.features import FrozenFeatures
from train.network.generator import Look
from train.network.toning import make_neutral

SURE = 8.0


def paint(*boxes: tuple[slice, slice]) -> torch.Tensor:
    """Opaque marks (1, 1, 64, 64)."""
    marks = torch.zeros(1, 1, 64, 64)
    for rows, columns in boxes:
        marks[..., rows, columns] = 1
    return marks


HAIR = paint((slice(4, 6), slice(0, 64)))
STAIN = paint((slice(20, 52), slice(20, 52)))
SEEN = torch.ones_like(STAIN)


def answer(marks: torch.Tensor) -> torch.Tensor:
    """Logits that are sure of these marks."""
    return SURE * (2 * marks - 1)


def test_thin_marks_are_told_from_wide_ones() -> None:
    """A hair is thin, a stain isn't; opacity is kept."""
    assert torch.equal(find_thin(HAIR), HAIR)
    assert not find_thin(STAIN).any()
    torch.testing.assert_close(find_thin(0.5 * HAIR), 0.5 * HAIR)


def test_found_marks_without_boost_are_cross_entropy_and_dice() -> None:
    """With even shares and no boost the term is the U-Net's."""
    torch.manual_seed(0)
    logits, marks = torch.randn(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(
        repair.measure_found_marks(logits, marks, torch.ones_like(marks), 0.0, 0.5),
        measure_marks(logits, marks),
    )


def test_missed_hair_costs_more_with_boost() -> None:
    """Beside a stain that is found, a missed hair costs more than twice as much."""
    marks, logits = torch.maximum(HAIR, STAIN), answer(STAIN)
    plain, boosted = (repair.measure_found_marks(logits, marks, SEEN, b, 0.7) for b in (0.0, 4.0))
    assert boosted > 2 * plain


def lay(marks: torch.Tensor, ink: float, photo: torch.Tensor) -> torch.Tensor:
    """A grey photograph (1, 3, 64, 64) under marks of one ink."""
    return (photo + marks * (ink - photo)).expand(-1, 3, -1, -1)


def look(photo: torch.Tensor, marks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is wanted of marks, and how far it counts, in their pixels."""
    wanted, visible = repair.find_wanted(photo, marks)
    return wanted[marks > 0], visible[marks > 0]


def test_what_nobody_sees_is_not_asked_for() -> None:
    """Dust in the tone of the sky doesn't count, nor a faint hair in gravel; a plain one does."""
    torch.manual_seed(0)
    sky = torch.full((1, 1, 64, 64), 0.8)
    assert float(look(lay(HAIR, 0.81, sky), HAIR)[1].max()) < 0.35
    assert float(look(lay(HAIR, 0.4, sky), HAIR)[1].min()) == 1
    gravel = (sky - 0.3 + 0.2 * torch.randn_like(sky)).clamp(0, 1)
    assert float(look(lay(HAIR, 0.55, gravel), HAIR)[1].mean()) < 0.6
    assert float(look(lay(HAIR, 1.0, gravel), HAIR)[1].min()) > 0.9
    logits, opaque = answer(torch.zeros_like(HAIR)), torch.zeros_like(HAIR)
    unseen = repair.measure_found_marks(logits, HAIR, opaque + (HAIR == 0), 4.0, 0.7)
    assert float(unseen) < 0.01


def test_thin_marks_are_wanted_as_far_as_they_are_seen() -> None:
    """A black hair narrower than a pixel, a grey one as opaque, one in gravel, a faint stain."""
    torch.manual_seed(0)
    sky, thin = torch.full((1, 1, 64, 64), 0.8), 0.2 * HAIR
    assert float(look(lay(thin, 0.1, sky), thin)[0].min()) == 1
    assert float(look(lay(thin, 0.72, sky), thin)[0].max()) == pytest.approx(0.4, abs=0.01)
    gravel = (sky - 0.3 + 0.2 * torch.randn_like(sky)).clamp(0, 1)
    assert float(look(lay(thin, 0.1, gravel), thin)[0].mean()) < 0.45
    stain = 0.2 * STAIN
    torch.testing.assert_close(repair.find_wanted(lay(stain, 0.1, sky), stain)[0], 2 * stain)
    rim = torch.maximum(HAIR, 0.02 * paint((slice(6, 7), slice(0, 64))))
    wanted, _ = repair.find_wanted(lay(rim, 0.4, sky), rim)
    assert float(wanted[..., 6, :].max()) < 0.05


def test_what_is_no_mark_always_counts_and_is_not_wanted() -> None:
    """Visibility is asked of marks alone, and of those that have something beside them."""
    torch.manual_seed(0)
    photo, none = torch.rand(1, 3, 64, 64), torch.zeros_like(HAIR)
    assert torch.equal(torch.cat(repair.find_wanted(photo, none)), torch.cat([none, SEEN]))
    assert torch.equal(repair.find_wanted(photo, SEEN)[1], SEEN)  # a mark over all
    wanted, visible = (plane[HAIR == 0] for plane in repair.find_wanted(photo, HAIR))
    assert not wanted.any()
    assert bool((visible == 1).all())


def test_half_opaque_marks_are_to_be_found_entirely() -> None:
    """What hides half of the photograph hides it; a breath of a stain hides little."""
    opacity = torch.tensor([0.0, 0.1, 0.5, 1.0])
    torch.testing.assert_close(repair.find_hiding(opacity), torch.tensor([0.0, 0.2, 1.0, 1.0]))


def test_miss_costs_more_than_false_alarm() -> None:
    """At the same number of wrong pixels."""
    other = paint((slice(58, 60), slice(0, 64)))
    missed = repair.measure_found_marks(answer(STAIN), torch.maximum(STAIN, other), SEEN, 0.0, 0.7)
    false = repair.measure_found_marks(answer(torch.maximum(STAIN, other)), STAIN, SEEN, 0.0, 0.7)
    assert missed > 1.1 * false


def test_sound_is_what_has_no_mark_near() -> None:
    """Marks reach two pixels farther."""
    sound = repair.find_sound(HAIR)
    assert torch.equal(sound, 1 - torch.nn.functional.max_pool2d(HAIR, 5, 1, 2))


def test_false_alarms_count_where_photographs_are_sound() -> None:
    """Where marks are, or most isn't sound, they are left to the other term."""
    logits = answer(HAIR).repeat(2, 1, 1, 1)
    assert float(repair.measure_false_alarms(logits, torch.zeros(2, 1, 64, 64))) == 0
    half = torch.cat([torch.zeros_like(SEEN), SEEN])
    alone = repair.measure_false_alarms(logits[1:], half[1:])
    torch.testing.assert_close(repair.measure_false_alarms(logits, half), alone)
    assert float(alone) > 0.1
    assert float(repair.measure_false_alarms(logits, 1 - HAIR.repeat(2, 1, 1, 1))) < 1e-3


def test_few_false_alarms_are_not_averaged_away() -> None:
    """A hundredth of the pixels decides."""
    alarm = paint((slice(30, 36), slice(30, 37)))  # 42 of 4096 pixels
    value = repair.measure_false_alarms(answer(alarm), SEEN)
    assert float(value) == pytest.approx(SURE, rel=0.05)


def test_detail_is_laid_on_the_true_tone() -> None:
    """A restored photograph that is too dark differs in nothing; one that is too smooth does."""
    torch.manual_seed(0)
    true = 0.5 + 0.1 * torch.randn(1, 1, 64, 64)
    laid = repair.lay_detail(true - 0.2, true)
    assert laid.shape == (1, 3, 64, 64)
    torch.testing.assert_close(laid, true.expand(-1, 3, -1, -1))
    smooth = torch.nn.functional.avg_pool2d(true, 5, stride=1, padding=2)
    assert float((repair.lay_detail(smooth, true) - true).abs().mean()) > 0.05


def test_neutral_photographs_are_wanted_of_those_without_colors() -> None:
    """Beside a colour network grey is as it should be; colours that are there are kept."""
    clean = torch.rand(3, 3, 1, 1) * torch.rand(3, 1, 32, 32)
    clean = (clean + torch.rand(3, 3, 32, 32)) / 2
    grey = make_neutral(clean)
    damaged = torch.cat(
        [grey[:1], clean[1:2], grey[2:] * torch.tensor([1, 0.8, 0.6]).view(3, 1, 1)]
    )
    restored = torch.cat([grey[:1], clean[1:2], grey[2:]])
    pred = restored, torch.full((3, 1, 32, 32), -20.0)
    marks = torch.zeros(3, 1, 32, 32)
    for guesses_colors in (True, False):
        loss = repair.RepairLoss(LossWeights(), LossShape(), None, guesses_colors=guesses_colors)
        loss(pred, clean, marks, damaged)
        assert (float(loss.terms["chroma"]) > 0.01) == guesses_colors
    assert float(loss.terms["chroma"]) < 1e-4


def test_wholes_tell_whether_there_are_colors() -> None:
    """A brown door in a photograph in colour stays brown; a part of a sepia print is neutral."""
    luma = torch.rand(1, 1, 32, 32)
    brown = (luma * torch.tensor([1, 0.8, 0.6]).view(3, 1, 1)).expand(2, -1, -1, -1)
    toned = brown[:1]
    wholes = torch.cat([torch.rand(1, 3, 16, 16), toned[..., ::2, ::2]])
    look = Look(wholes, torch.tensor([[0.0, 0.0, 0.5, 0.5]]).expand(2, -1))
    wanted = repair.make_neutral_where_toned(brown, brown, look)
    assert torch.equal(wanted[0], brown[0])
    torch.testing.assert_close(wanted[1], make_neutral(brown)[1])
    alone = repair.make_neutral_where_toned(brown, brown)
    torch.testing.assert_close(alone, make_neutral(brown))
    pred = wanted, torch.full((2, 1, 32, 32), -20.0)
    loss = repair.RepairLoss(LossWeights(), LossShape(), None, guesses_colors=False)
    loss(pred, brown, torch.zeros(2, 1, 32, 32), brown, look)
    assert float(loss.terms["chroma"]) < 1e-4


def test_repair_loss_notes_the_terms_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terms of weight 0 aren't computed; in marks stages marks alone count."""
    install_classifier(monkeypatch, tmp_path)
    torch.manual_seed(0)
    restored, clean = torch.rand(2, 2, 3, 32, 32)
    logits, marks = torch.randn(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    weights = LossWeights(false_alarms=0.1, perceptual_detail=0.02)
    loss = repair.RepairLoss(weights, LossShape(), FrozenFeatures())
    assert torch.isfinite(loss((restored, logits), clean, marks, clean))
    fidelity = {"luma", "chroma", "detail"}
    assert set(loss.terms) == fidelity | {"marks", "false_alarms", "perceptual_detail"}
    assert loss.judged is not None
    without = repair.RepairLoss(LossWeights(), LossShape(), None)
    without((restored, logits), clean, marks, clean)
    assert set(without.terms) == fidelity | {"marks"}
    alone = repair.MarksLoss(weights, LossShape())
    alone((restored, logits), clean, marks, clean)
    assert set(alone.terms) == {"marks", "false_alarms"}
