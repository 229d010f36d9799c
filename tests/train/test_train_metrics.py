import numpy as np
import pytest
import torch
from skimage import color, data

from train.measure import metrics


@pytest.fixture
def photos() -> torch.Tensor:
    """Two real photographs, (2, 3, 64, 64) RGB in [0, 1]."""
    cuts = [data.astronaut()[0:64, 180:244], data.coffee()[100:164, 200:264]]
    return torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2).float() / 255


def test_luma_psnr_of_a_known_error(photos: torch.Tensor) -> None:
    """A luma error of 0.1 everywhere is 20 dB."""
    found = metrics.measure_luma_psnr(photos + 0.1, photos)
    assert found.tolist() == pytest.approx([20.0, 20.0], abs=1e-3)


def test_luma_psnr_is_bounded(photos: torch.Tensor) -> None:
    """A perfect photograph counts 50 dB."""
    assert metrics.measure_luma_psnr(photos, photos).tolist() == pytest.approx([50.0, 50.0])


def test_delta_e_agrees_with_scikit_image(photos: torch.Tensor) -> None:
    """The independent implementation gives the same mean, photograph by photograph."""
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.normal(0, 0.15, photos.shape).astype(np.float32))
    other = (photos + noise).clamp(0, 1)
    found = metrics.measure_delta_e(other, photos)
    for i in range(len(photos)):
        labs = [color.rgb2lab(p[i].permute(1, 2, 0).double().numpy()) for p in (other, photos)]
        assert float(found[i]) == pytest.approx(color.deltaE_ciede2000(*labs).mean(), abs=2e-3)


def test_delta_e_of_equal_photographs_is_zero(photos: torch.Tensor) -> None:
    """No difference, no distance; greys don't trip the hue."""
    grey = photos.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert metrics.measure_delta_e(photos, photos).tolist() == [0, 0]
    assert metrics.measure_delta_e(grey, grey).tolist() == [0, 0]


def test_colourfulness_matches_a_computation_by_hand() -> None:
    """Half red, half blue: rg = ±255 · (1, 0), yb = 127.5 and -255."""
    photo = torch.zeros(1, 3, 2, 2)
    photo[:, 0, :, 0] = 1
    photo[:, 2, :, 1] = 1
    red_green, yellow_blue = np.array([255.0, 0.0]), np.array([127.5, -255.0])
    expected = np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(
        red_green.mean(), yellow_blue.mean()
    )
    assert float(metrics.measure_colorfulness(photo)) == pytest.approx(expected, rel=1e-5)


def test_grey_has_no_colourfulness() -> None:
    """Grey counts 0."""
    assert float(metrics.measure_colorfulness(torch.rand(1, 1, 8, 8).expand(1, 3, 8, 8))) == 0


def test_marks_f1_matches_a_computation_by_hand() -> None:
    """2 hits, 1 false alarm, 1 missed: 2 · 2 / (2 · 2 + 1 + 1); faint ones are free."""
    logits = torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0]).reshape(1, 1, 1, 7)
    marks = torch.tensor([1.0, 0.6, 0.4, 0.2, 0.5, 0.3, 0.0]).reshape(1, 1, 1, 7)
    counts = metrics.count_marks(logits, marks)
    assert counts.tolist() == [[2, 1, 1]]
    assert metrics.summarise_f1(counts) == pytest.approx(4 / 6)


def test_marks_f1_is_one_where_there_is_nothing_to_find() -> None:
    """Clean photographs called clean are right."""
    assert metrics.summarise_f1(torch.zeros(3, 3)) == 1


def test_swd_is_zero_for_equal_sets_and_grows_with_noise(photos: torch.Tensor) -> None:
    """More noise is further away, and the measure repeats itself exactly."""
    torch.manual_seed(0)
    noise = torch.randn_like(photos)
    distances = [metrics.measure_swd(photos + s * noise, photos) for s in (0, 0.02, 0.1)]
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]
    assert metrics.measure_swd(photos + 0.1 * noise, photos) == distances[2]


def test_marks_ap_matches_a_computation_by_hand() -> None:
    """Scores .9 (right), .6 (wrong), .3 (right): half the recall at 1, half at 2/3."""
    scores = torch.tensor([0.9, 0.6, 0.3, 0.0]).reshape(1, 1, 2, 2)
    marks = torch.tensor([1.0, 0.0, 0.7, 0.2]).reshape(1, 1, 2, 2)
    counts = metrics.count_scores(scores, marks)
    assert metrics.summarise_ap(counts) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_marks_ap_agrees_with_torchmetrics() -> None:
    """On scores in steps of 1/255, over several photographs counted one by one."""
    from torchmetrics.functional.classification import binary_average_precision

    torch.manual_seed(0)
    marks = (torch.rand(4, 1, 32, 32) > 0.8).float()
    scores = ((0.3 * marks + torch.rand_like(marks)).clamp(max=1) * 255).round() / 255
    counts = sum(
        metrics.count_scores(scores[i : i + 1], marks[i : i + 1]) for i in range(len(marks))
    )
    expected = binary_average_precision(scores.flatten(), marks.flatten().long())
    assert metrics.summarise_ap(counts) == pytest.approx(float(expected), abs=1e-6)


def test_marks_ap_without_an_opinion_is_the_share_of_marks() -> None:
    """One score everywhere finds every pixel at once; where there are no marks, nothing is lost."""
    marks = torch.zeros(1, 1, 10, 10)
    assert metrics.summarise_ap(metrics.count_scores(torch.zeros_like(marks), marks)) == 1
    marks[..., :3, :] = 1
    counts = metrics.count_scores(torch.zeros_like(marks), marks)
    assert metrics.summarise_ap(counts) == pytest.approx(0.3)
