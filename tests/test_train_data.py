import cv2
import numpy as np
import pytest
import torch
from training_runs import build_pairs

from degrade import PairReader
from train.config import StageConfig
from train.data import HeldoutLoader, PairLoader, StagePairs, to_batch


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PairReader:
    """Ten training pairs of 48 px."""
    return PairReader(build_pairs(tmp_path_factory.mktemp("pairs")), split="train")


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
def test_geometry_repeats_the_augmentation(reader: PairReader, regime: tuple[float, float]) -> None:
    """Cropping, resizing and mirroring the stored pair by `geometry` gives the sample's arrays."""
    whole_prob, native_prob = regime
    stage = make_stage(whole_prob=whole_prob, native_prob=native_prob)
    pairs = StagePairs(reader, stage, 0, 0)
    for position in range(8):
        sample = pairs[position]
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
            assert np.array_equal(ours, expected)


def test_native_crops_keep_their_pixels(reader: PairReader) -> None:
    """A native crop is as large as the stage; a whole one is most of the photograph."""
    native = StagePairs(reader, make_stage(whole_prob=0.0, native_prob=1.0), 0, 0)
    whole = StagePairs(reader, make_stage(whole_prob=1.0, native_prob=0.0), 0, 0)
    for i in range(6):
        left, top, right, bottom, _ = native[i].geometry.tolist()
        assert (right - left, bottom - top) == (32, 32)
        left, top, right, bottom, _ = whole[i].geometry.tolist()
        assert (right - left) * (bottom - top) >= 0.6 * 48 * 48


def test_loader_gives_float_batches_in_channels_last(reader: PairReader) -> None:
    """Photographs are (N, 3, S, S) in [0, 1], marks (N, 1, S, S)."""
    loader = PairLoader(StagePairs(reader, make_stage(), 0, 0), 4, 3, 0)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    damaged, clean, marks, pair_index, geometry, broken = batches[0]
    assert damaged.shape == clean.shape == (4, 3, 32, 32)
    assert marks.shape == (4, 1, 32, 32)
    assert damaged.dtype == marks.dtype == torch.float32
    assert damaged.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(damaged.min()) < float(damaged.max()) <= 1
    assert pair_index.shape == broken.shape == (4,)
    assert geometry.shape == (4, 5)
    assert broken.tolist() == [-1] * 4


def test_loader_continues_from_a_step(reader: PairReader) -> None:
    """From step 2 on, the batches are those of an uninterrupted pass."""
    pairs = StagePairs(reader, make_stage(), 0, 0)
    everything = list(PairLoader(pairs, 4, 4, 0))
    rest = PairLoader(pairs, 4, 2, 0)
    rest.step = 2
    for ours, theirs in zip(rest, everything[2:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_to_batch_maps_bytes_to_fractions() -> None:
    """0, 51 and 255 become 0, 0.2 and 1."""
    photo = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    rest = (torch.zeros(1), torch.zeros(1, 5), torch.zeros(1))
    batch = to_batch((photo, photo, photo[..., 0], *rest))
    assert batch.clean.flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_heldout_photographs_are_fixed(reader: PairReader) -> None:
    """Two loaders hold the same photographs, of the size asked for."""
    first, second = (list(HeldoutLoader(reader, 5, 32, batch=2)) for _ in range(2))
    assert [len(b.clean) for b in first] == [2, 2, 1]
    for a, b in zip(first, second, strict=True):
        assert a.clean.shape[-2:] == (32, 32)
        assert torch.equal(a.damaged, b.damaged)
