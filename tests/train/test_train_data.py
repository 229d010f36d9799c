from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from training_runs import build_pairs

from train.config.stages import StageConfig
from train.damage.twin import Damages
from train.data.batches import Batch, Columns, to_batch
from train.data.builds import Builds
from train.data.heldout import HeldoutLoader
from train.data.loader import PairLoader
from train.data.pairs import StagePairs, look_at_whole
from train.errors import DataError


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Builds]:
    """Ten training pairs each of three sizes."""
    folder = tmp_path_factory.mktemp("pairs")
    return {
        size_px: Builds(build_pairs(folder / str(size_px), size_px=size_px), split="train")
        for size_px in (32, 48, 88)
    }


@pytest.fixture(scope="module")
def builds(sizes: dict[int, Builds]) -> Builds:
    """Ten training pairs of 48 px."""
    return sizes[48]


def make_stage(**changes: float | str) -> StageConfig:
    """A stage of 32 px."""
    settings = {"kind": "generator", "size_px": 32, "batch": 4, "steps": 4, "time_frac": 1}
    return StageConfig(**{**settings, "lr": 1e-3, **changes})  # type: ignore[arg-type]


def test_sample_depends_on_seed_stage_and_position_alone(builds: Builds) -> None:
    """Asked in any order, a position gives the same bytes; another stage or seed gives others."""
    ours, again = (StagePairs(builds, make_stage(), 3, 0) for _ in range(2))
    forwards = [ours[i] for i in range(12)]
    backwards = [again[i] for i in reversed(range(12))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    for other in (StagePairs(builds, make_stage(), 4, 0), StagePairs(builds, make_stage(), 3, 1)):
        assert any(not np.array_equal(other[i].clean, forwards[i].clean) for i in range(12))


def test_every_pair_comes_once_before_any_comes_again(builds: Builds) -> None:
    """The order is a permutation, another one each time."""
    pairs = StagePairs(builds, make_stage(), 0, 0)
    indices = [int(pairs[i].pair_index) for i in range(2 * len(builds))]
    first, second = indices[: len(builds)], indices[len(builds) :]
    assert sorted(first) == sorted(second) == list(range(len(builds)))
    assert first != second


def test_builds_take_turns(sizes: dict[int, Builds]) -> None:
    """Of two builds each gives half of the photographs, every pair once, cut for its own size."""
    small, large = sizes[32], sizes[88]
    both = Builds([*large.paths, *small.paths], split="train")
    stage = make_stage(whole_prob=0.0, native_prob=1.0)
    samples = StagePairs(both, stage, 0, 0).read(range(2 * len(both)))
    indices = [int(sample.pair_index) for sample in samples]
    assert len(both) == len(large) + len(small)
    assert sorted(indices[::2]) == sorted([*range(len(large))] * 2)
    assert sorted(indices[1::2]) == sorted([*range(len(large), len(both))] * 2)
    for sample in samples:
        left, top, right, bottom, _ = sample.geometry
        assert (right - left, bottom - top) == (32, 32)
        index = int(sample.pair_index)
        reader, within = (large, index) if index < len(large) else (small, index - len(large))
        assert both.recipe(index) == reader.recipe(within)
        assert both.name(index).startswith(str(reader.paths[0]))
        clean = reader.read(within).clean[top:bottom, left:right]
        assert np.array_equal(sample.clean, clean) or np.array_equal(sample.clean[:, ::-1], clean)


def test_small_builds_stay_out_of_larger_stages(sizes: dict[int, Builds]) -> None:
    """Only the large one gives photographs; where none is large enough, that is said."""
    both = Builds([*sizes[32].paths, *sizes[88].paths], split="train")
    samples = StagePairs(both, make_stage(size_px=64), 0, 0).read(range(20))
    large = range(len(sizes[32]), len(both))
    assert sorted(int(sample.pair_index) for sample in samples) == sorted([*large] * 2)
    with pytest.raises(DataError, match="pairs of 88 px, but a stage trains on 96 px"):
        StagePairs(both, make_stage(size_px=96), 0, 0)


def test_first_build_alone_comes_as_it_would_alone(sizes: dict[int, Builds]) -> None:
    """A second one changes no order: those of the first are the same, at every other position."""
    both = Builds([*sizes[48].paths, *sizes[32].paths], split="train")
    pairs, alone = StagePairs(both, make_stage(), 0, 0), StagePairs(sizes[48], make_stage(), 0, 0)
    ours = [int(pairs[2 * i].pair_index) for i in range(20)]
    assert ours == [int(alone[i].pair_index) for i in range(20)]
    with pytest.raises(IndexError, match="no pair 20 of 20"):
        both.read(20)


@pytest.mark.parametrize("regime", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("size_px", [48, 88])
def test_geometry_repeats_the_augmentation(
    sizes: dict[int, Builds], size_px: int, regime: tuple[float, float]
) -> None:
    """Cropping, averaging and mirroring the stored pair by `geometry` gives the sample's arrays."""
    builds = sizes[size_px]
    whole_prob, native_prob = regime
    stage = make_stage(whole_prob=whole_prob, native_prob=native_prob)
    pairs = StagePairs(builds, stage, 0, 0)
    apart: list[float] = []
    grain: list[tuple[float, float]] = []
    for sample in pairs.read(range(24)):
        pair = builds[int(sample.pair_index)]
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


@pytest.mark.parametrize("regime", [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_look_shows_the_sample_where_its_box_says(
    sizes: dict[int, Builds], regime: tuple[float, float]
) -> None:
    """Cut out of the look by its box, mirrored or not, damaged and clean: the sample, blurred."""
    whole_prob, native_prob = regime
    stage = make_stage(whole_prob=whole_prob, native_prob=native_prob)
    pairs = StagePairs(sizes[88], stage, 0, 0, look_px=64)
    boxes = []
    for sample in pairs.read(range(16)):
        assert sample.look is not None
        left, top, right, bottom = sample.look.box.tolist()
        boxes.append((left, top, right, bottom))
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        x, y = (np.linspace(a, b, 33) * 64 for a, b in ((left, right), (top, bottom)))
        grid = np.meshgrid((x[1:] + x[:-1]) / 2 - 0.5, (y[1:] + y[:-1]) / 2 - 0.5)
        for look, ours in (
            (sample.look.damaged, sample.damaged),
            (sample.look.clean, sample.clean),
        ):
            assert look.shape == (64, 64, 3)
            places = [place.astype(np.float32) for place in grid]
            cut = cv2.remap(look, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            apart = np.abs(cv2.blur(cut, (5, 5)).astype(float) - cv2.blur(ours, (5, 5)))
            assert apart.mean() < 4
    assert len(set(boxes)) > 1


def test_look_at_a_wide_pair_is_a_square_around_the_sample() -> None:
    """As large as the pair allows, without leaving it."""
    photo = np.zeros((40, 100, 3), np.uint8)
    photo[:, 60:] = 255
    recipe = SimpleNamespace(width_px=200, height_px=80)  # decoded at half size
    pair = SimpleNamespace(damaged=photo, clean=photo, recipe=recipe)
    look = look_at_whole(pair, np.array([160, 0, 200, 40, 1]), 40)  # type: ignore[arg-type]
    assert look is not None
    assert look.box.tolist() == [0, 0, 0.5, 0.5]  # mirrored: it was on the right
    assert look.damaged.min() == 255
    look = look_at_whole(pair, np.array([100, 40, 140, 80, 0]), 40)  # type: ignore[arg-type]
    assert look is not None
    assert look.box.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert look.clean.mean() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loader_brings_the_looks_along(builds: Builds, num_workers: int) -> None:
    """As fractions in batches, those of its own samples; without a side there are none."""
    pairs = StagePairs(builds, make_stage(), 0, 0, look_px=16)
    [batch] = [Batch(*fields) for fields in PairLoader(pairs, 4, 1, num_workers)]
    assert batch.look is not None
    assert batch.clean_look is not None
    for i, sample in enumerate(pairs.read(range(4))):
        assert sample.look is not None
        assert np.array_equal(batch.look.box[i], sample.look.box)
        for ours, seen in (
            (batch.look.photo, sample.look.damaged),
            (batch.clean_look, sample.look.clean),
        ):
            assert torch.equal(ours[i], torch.from_numpy(seen.copy()).permute(2, 0, 1) / 255)
    [plain] = [Batch(*f) for f in PairLoader(StagePairs(builds, make_stage(), 0, 0), 4, 1, 0)]
    assert plain.look is plain.clean_look is None


def measure_grain(photo: np.ndarray) -> float:
    """Deviation of what a blur takes away."""
    return float((photo.astype(np.float32) - cv2.blur(photo.astype(np.float32), (3, 3))).std())


def test_photographs_are_never_magnified(sizes: dict[int, Builds]) -> None:
    """A crop's sides are at least as large as the stage, even of pairs that are hardly larger."""
    for size_px in (32, 48, 88):
        for regime in ((1.0, 0.0), (0.0, 0.0), (0.5, 0.3)):
            stage = make_stage(whole_prob=regime[0], native_prob=regime[1])
            for sample in StagePairs(sizes[size_px], stage, 0, 0).read(range(40)):
                left, top, right, bottom, _ = sample.geometry.tolist()
                assert 32 <= right - left <= size_px
                assert 32 <= bottom - top <= size_px


def test_marks_may_be_magnified(sizes: dict[int, Builds]) -> None:
    """As often as a marks stage says: by up to 2.5, to the stage's size, of pairs of any size."""
    for size_px in (32, 88):
        stage = make_stage(whole_prob=0.0, native_prob=0.5, magnified_prob=0.5, kind="marks")
        samples = StagePairs(sizes[size_px], stage, 0, 0).read(range(200))
        assert {(s.damaged.shape, s.marks.shape) for s in samples} == {((32, 32, 3), (32, 32))}
        sides = np.array([s.geometry[2:4] - s.geometry[:2] for s in samples])
        assert sides.min() >= 11
        assert sides.max() <= 34
        assert (sides != 32).any(axis=1).mean() == pytest.approx(0.5, abs=0.1)
    with pytest.raises(ValueError, match="magnified_prob: only in marks stages"):
        make_stage(magnified_prob=0.1)


def test_regimes_come_as_often_as_the_stage_says(sizes: dict[int, Builds]) -> None:
    """Native crops, nearly whole photographs and scales between."""
    stage = make_stage(whole_prob=0.5, native_prob=0.3)
    samples = StagePairs(sizes[88], stage, 0, 0).read(range(400))
    sides = np.array([s.geometry[2:4] - s.geometry[:2] for s in samples])
    area = sides.prod(axis=1) / 88**2
    native = (sides == 32).all(axis=1).mean()
    assert native == pytest.approx(0.3, abs=0.06)
    assert (area == 1).mean() == pytest.approx(0.25, abs=0.06)
    # Some of the scales between are as large: areas are drawn evenly from 0.165 on.
    assert (area > 0.63).mean() == pytest.approx(0.5 + 0.2 * 0.44, abs=0.06)


def test_native_crops_keep_their_pixels(builds: Builds) -> None:
    """A native crop is as large as the stage; a whole one is most of the photograph."""
    native = StagePairs(builds, make_stage(whole_prob=0.0, native_prob=1.0), 0, 0)
    whole = StagePairs(builds, make_stage(whole_prob=1.0, native_prob=0.0), 0, 0)
    for i in range(6):
        left, top, right, bottom, _ = native[i].geometry.tolist()
        assert (right - left, bottom - top) == (32, 32)
        left, top, right, bottom, _ = whole[i].geometry.tolist()
        assert (right - left) * (bottom - top) >= 0.6 * 48 * 48


def test_samples_read_together_are_those_read_alone(builds: Builds) -> None:
    """What comes beside a position doesn't matter."""
    pairs = StagePairs(builds, make_stage(), 5, 0)
    for together, position in zip(pairs.read([7, 2, 30]), (7, 2, 30), strict=True):
        alone = pairs[position]
        assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))


def test_loader_gives_float_batches_in_channels_last(builds: Builds) -> None:
    """Photographs are (N, 3, S, S) in [0, 1], marks (N, 1, S, S)."""
    loader = PairLoader(StagePairs(builds, make_stage(), 0, 0), 4, 3, 0)
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


def test_loader_continues_from_a_step(builds: Builds) -> None:
    """From step 2 on, the batches are those of an uninterrupted pass."""
    pairs = StagePairs(builds, make_stage(), 0, 0)
    everything = list(PairLoader(pairs, 4, 4, 0))
    rest = PairLoader(pairs, 4, 2, 0)
    rest.step = 2
    for ours, theirs in zip(rest, everything[2:], strict=True):
        assert_equal(ours, theirs)


def assert_equal(ours: tuple[object, ...], theirs: tuple[object, ...]) -> None:
    """Two batches without damages are equal."""
    for a, b in zip(ours, theirs, strict=True):
        assert a is b is None or torch.equal(a, b)  # type: ignore[arg-type]


def test_loader_gives_the_same_batches_however_many_workers_read(builds: Builds) -> None:
    """Slots are used again and again, by two workers in turn, and by a pass that is cut short."""
    pairs = StagePairs(builds, make_stage(), 0, 0)
    expected = list(PairLoader(pairs, 4, 24, 0))
    loader = PairLoader(pairs, 4, 24, 2)
    for count, ours in enumerate(loader):
        assert_equal(ours, expected[count])
        if count == 3:
            break
    for ours, theirs in zip(loader, expected, strict=True):
        assert_equal(ours, theirs)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loader_brings_the_damages_along(builds: Builds, num_workers: int) -> None:
    """Asked for them, it gives those of the batch's own pairs and crops."""
    damages = Damages(builds)
    loader = PairLoader(StagePairs(builds, make_stage(), 0, 0), 4, 3, num_workers, damages)
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


def test_heldout_photographs_are_fixed(builds: Builds) -> None:
    """Two loaders hold the same photographs, of the size asked for."""
    first, second = (list(HeldoutLoader(builds, 5, 32, batch=2)) for _ in range(2))
    assert [len(b.clean) for b in first] == [2, 2, 1]
    for a, b in zip(first, second, strict=True):
        assert a.clean.shape[-2:] == (32, 32)
        assert torch.equal(a.damaged, b.damaged)
