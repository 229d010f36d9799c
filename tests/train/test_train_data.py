import cv2
import numpy as np
import pytest
import torch
from training_runs import build_pairs

from degrade import PairReader
from train.config.stages import StageConfig
from train.damage.twin import Damages
from train.data.batches import Batch, Columns, to_batch
from train.data.heldout import HeldoutLoader
from train.data.loader import PairLoader
from train.data.pairs import StagePairs


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, PairReader]:
    """Ten training pairs each of three sizes."""
    folder = tmp_path_factory.mktemp("pairs")
    return {
        size_px: PairReader(build_pairs(folder / str(size_px), size_px=size_px), split="train")
        for size_px in (32, 48, 88)
    }


@pytest.fixture(scope="module")
def reader(readers: dict[int, PairReader]) -> PairReader:
    """Ten training pairs of 48 px."""
    return readers[48]


def make_stage(**changes: float) -> StageConfig:
    """A stage of 32 px."""
    settings = {"kind": "generator", "size_px": 32, "batch": 4, "steps": 4, "time_frac": 1}
    return StageConfig(**{**settings, "lr": 1e-3, **changes})  # type: ignore[arg-type]


def test_sample_depends_on_seed_stage_and_position_alone(reader: PairReader) -> None:
    """Asked in any order, a position gives the same bytes; another stage or seed gives others."""
    ours, again = (StagePairs(reader, make_stage(), 3, 0) for _ in range(2))
    forwards = [ours[i] for i in range(12)]
    backwards = [again[i] for i in reversed(range(12))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    for other in (StagePairs(reader, make_stage(), 4, 0), StagePairs(reader, make_stage(), 3, 1)):
        assert any(not np.array_equal(other[i].clean, forwards[i].clean) for i in range(12))


def test_every_pair_comes_once_before_any_comes_again(reader: PairReader) -> None:
    """The order is a permutation, another one each time."""
    pairs = StagePairs(reader, make_stage(), 0, 0)
    indices = [int(pairs[i].pair_index) for i in range(2 * len(reader))]
    first, second = indices[: len(reader)], indices[len(reader) :]
    assert sorted(first) == sorted(second) == list(range(len(reader)))
    assert first != second


@pytest.mark.parametrize("regime", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("size_px", [48, 88])
def test_geometry_repeats_the_augmentation(
    readers: dict[int, PairReader], size_px: int, regime: tuple[float, float]
) -> None:
    """Cropping, averaging and mirroring the stored pair by `geometry` gives the sample's arrays."""
    reader = readers[size_px]
    whole_prob, native_prob = regime
    stage = make_stage(whole_prob=whole_prob, native_prob=native_prob)
    pairs = StagePairs(reader, stage, 0, 0)
    apart: list[float] = []
    grain: list[tuple[float, float]] = []
    for sample in pairs.read(range(24)):
        pair = reader[int(sample.pair_index)]
        left, top, right, bottom, mirrored = sample.geometry.tolist()
        for ours, stored in (
            (sample.clean, pair.clean),
            (sample.damaged, pair.damaged),
            (sample.marks, pair.marks),
        ):
            cut = stored[top:bottom, left:right]
            cut = cv2.resize(cut, (32, 32), interpolation=cv2.INTER_AREA)
            expected = cut[:, ::-1] if mirrored else cut
            assert ours.flags.c_contiguous
            if native_prob == 1:
                assert np.array_equal(ours, expected)
            apart.append(float(np.abs(ours.astype(float) - expected).mean()))
            grain.append((measure_grain(ours), measure_grain(expected)))
    assert np.mean(apart) < 2
    # The finest detail, where grain is, neither gets lost nor comes back as another.
    kept_frac = np.divide(*np.sum(grain, axis=0))
    assert 0.8 < kept_frac < 1.02, (np.mean(apart), kept_frac)


def measure_grain(photo: np.ndarray) -> float:
    """Deviation of what a blur takes away."""
    return float((photo.astype(np.float32) - cv2.blur(photo.astype(np.float32), (3, 3))).std())


def test_photographs_are_never_magnified(readers: dict[int, PairReader]) -> None:
    """A crop's sides are at least as large as the stage, even of pairs that are hardly larger."""
    for size_px in (32, 48, 88):
        for regime in ((1.0, 0.0), (0.0, 0.0), (0.5, 0.3)):
            stage = make_stage(whole_prob=regime[0], native_prob=regime[1])
            for sample in StagePairs(readers[size_px], stage, 0, 0).read(range(40)):
                left, top, right, bottom, _ = sample.geometry.tolist()
                assert 32 <= right - left <= size_px
                assert 32 <= bottom - top <= size_px


def test_regimes_come_as_often_as_the_stage_says(readers: dict[int, PairReader]) -> None:
    """Native crops, nearly whole photographs and scales between."""
    stage = make_stage(whole_prob=0.5, native_prob=0.3)
    samples = StagePairs(readers[88], stage, 0, 0).read(range(400))
    sides = np.array([s.geometry[2:4] - s.geometry[:2] for s in samples])
    area = sides.prod(axis=1) / 88**2
    native = (sides == 32).all(axis=1).mean()
    assert native == pytest.approx(0.3, abs=0.06)
    assert (area == 1).mean() == pytest.approx(0.25, abs=0.06)
    # Some of the scales between are as large: areas are drawn evenly from 0.165 on.
    assert (area > 0.63).mean() == pytest.approx(0.5 + 0.2 * 0.44, abs=0.06)


def test_native_crops_keep_their_pixels(reader: PairReader) -> None:
    """A native crop is as large as the stage; a whole one is most of the photograph."""
    native = StagePairs(reader, make_stage(whole_prob=0.0, native_prob=1.0), 0, 0)
    whole = StagePairs(reader, make_stage(whole_prob=1.0, native_prob=0.0), 0, 0)
    for i in range(6):
        left, top, right, bottom, _ = native[i].geometry.tolist()
        assert (right - left, bottom - top) == (32, 32)
        left, top, right, bottom, _ = whole[i].geometry.tolist()
        assert (right - left) * (bottom - top) >= 0.6 * 48 * 48


def test_samples_read_together_are_those_read_alone(reader: PairReader) -> None:
    """What comes beside a position doesn't matter."""
    pairs = StagePairs(reader, make_stage(), 5, 0)
    for together, position in zip(pairs.read([7, 2, 30]), (7, 2, 30), strict=True):
        alone = pairs[position]
        assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_loader_gives_float_batches_in_channels_last(reader: PairReader) -> None:
    """Photographs are (N, 3, S, S) in [0, 1], marks (N, 1, S, S)."""
    loader = PairLoader(StagePairs(reader, make_stage(), 0, 0), 4, 3, 0)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    batch = Batch(*batches[0])
    assert batch.damage is None
    assert batch.damaged.shape == batch.clean.shape == (4, 3, 32, 32)
    assert batch.marks.shape == (4, 1, 32, 32)
    assert batch.damaged.dtype == batch.marks.dtype == torch.float32
    assert batch.damaged.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(batch.damaged.min()) < float(batch.damaged.max()) <= 1
    assert batch.pair_index.shape == batch.broken.shape == (4,)
    assert batch.geometry.shape == (4, 5)
    assert batch.broken.tolist() == [-1] * 4


def test_loader_continues_from_a_step(reader: PairReader) -> None:
    """From step 2 on, the batches are those of an uninterrupted pass."""
    pairs = StagePairs(reader, make_stage(), 0, 0)
    everything = list(PairLoader(pairs, 4, 4, 0))
    rest = PairLoader(pairs, 4, 2, 0)
    rest.step = 2
    for ours, theirs in zip(rest, everything[2:], strict=True):
        assert_equal(ours, theirs)


def assert_equal(ours: tuple[object, ...], theirs: tuple[object, ...]) -> None:
    """Two batches without damages are equal."""
    for a, b in zip(ours, theirs, strict=True):
        assert a is b is None or torch.equal(a, b)  # type: ignore[arg-type]


def test_loader_gives_the_same_batches_however_many_workers_read(reader: PairReader) -> None:
    """Slots are used again and again, by two workers in turn, and by a pass that is cut short."""
    pairs = StagePairs(reader, make_stage(), 0, 0)
    expected = list(PairLoader(pairs, 4, 24, 0))
    loader = PairLoader(pairs, 4, 24, 2)
    for count, ours in enumerate(loader):
        assert_equal(ours, expected[count])
        if count == 3:
            break
    for ours, theirs in zip(loader, expected, strict=True):
        assert_equal(ours, theirs)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loader_brings_the_damages_along(reader: PairReader, num_workers: int) -> None:
    """Asked for them, it gives those of the batch's own pairs and crops."""
    damages = Damages(reader)
    loader = PairLoader(StagePairs(reader, make_stage(), 0, 0), 4, 3, num_workers, damages)
    for batch in (Batch(*fields) for fields in loader):
        packed = batch.damage
        assert packed is not None
        expected = damages.load(batch.pair_index.numpy(), batch.geometry.numpy(), 32)
        assert packed.num == len(batch.damaged)
        for name, (places, values) in expected.parts.items():
            assert np.array_equal(packed.parts[name][0], places)
            assert np.array_equal(packed.parts[name][1], values)


def test_to_batch_maps_bytes_to_fractions() -> None:
    """0, 51 and 255 become 0, 0.2 and 1."""
    photo = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    rest = (torch.zeros(1), torch.zeros(1, 5), torch.zeros(1))
    batch = to_batch(Columns(photo, photo, photo[..., 0], *rest))
    assert batch.clean.flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_heldout_photographs_are_fixed(reader: PairReader) -> None:
    """Two loaders hold the same photographs, of the size asked for."""
    first, second = (list(HeldoutLoader(reader, 5, 32, batch=2)) for _ in range(2))
    assert [len(b.clean) for b in first] == [2, 2, 1]
    for a, b in zip(first, second, strict=True):
        assert a.clean.shape[-2:] == (32, 32)
        assert torch.equal(a.damaged, b.damaged)
