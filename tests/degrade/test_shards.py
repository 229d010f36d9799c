import os
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from store_photos import build_small, fill_folder

from degrade import Pair, PairReader, Recipe
from degrade.errors import StoreError, UnreadablePhoto
from degrade.store.lmdb_files import check_whole
from degrade.store.shards import PARTS, ShardWriter, StreamDigest


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of 24 pairs in shards of 8."""
    folder = tmp_path_factory.mktemp("shards")
    build_small(fill_folder(folder / "photos", 24), folder / "pairs", shard_size=8, val_frac=0.2)
    return folder / "pairs"


def test_writer_enlarges_a_map_that_is_full(tmp_path: Path) -> None:
    """Nothing is lost when the first map is far too small."""
    values = {f"{i:08d}/clean.jpg": os.urandom(4000) for i in range(700)}
    digest = StreamDigest()
    with ShardWriter(tmp_path, map_size=1 << 16) as writer:
        for key, value in values.items():
            writer.put(key, value)
            digest.update(key.encode(), value)
    assert writer.hexdigest() == digest.hexdigest()
    with lmdb.open(str(tmp_path), readonly=True, lock=False) as env, env.begin() as txn:
        assert {k.decode(): v for k, v in txn.cursor()} == values


def test_writer_refuses_keys_out_of_order(tmp_path: Path) -> None:
    """LMDB itself would drop the record in silence."""
    writer = ShardWriter(tmp_path)
    writer.put("00000001/clean.jpg", b"x")
    writer.put("00000000/clean.jpg", b"x")
    with pytest.raises(StoreError, match="out of order"):
        writer.__exit__(None, None, None)


def test_empty_shard_is_whole(tmp_path: Path) -> None:
    """A shard all of whose photographs were left out can still be read."""
    with ShardWriter(tmp_path):
        pass
    check_whole(tmp_path / "data.mdb")


def test_reader_gives_typed_samples_in_any_order(build: Path) -> None:
    """Random access, negative, sliced and iterated over, all agree."""
    reader = PairReader(build)
    pairs = list(reader)
    assert len(reader) == len(pairs) == 24
    for index in (17, 3, -1):
        pair = reader[index]
        assert isinstance(pair, Pair)
        assert isinstance(pair.recipe, Recipe)
        assert pair.key == pairs[index].key == reader.keys[index]
        assert pair.clean.shape == pair.damaged.shape == (48, 48, 3)
        assert pair.marks.shape == (48, 48)
        assert pair.clean.dtype == pair.damaged.dtype == pair.marks.dtype == np.uint8
        assert np.array_equal(pair.damaged, pairs[index].damaged)
    assert [pair.key for pair in reader[2:9:3]] == reader.keys[2:9:3]
    with pytest.raises(IndexError):
        reader[24]


def test_reader_finds_samples_by_number_and_by_source_key(build: Path) -> None:
    """Names lead back to positions."""
    reader = PairReader(build)
    for index, key in enumerate(reader.keys):
        assert reader.keys.index(key) == index
        assert reader.find(reader.recipe(index).key) == [index]
    assert "99999999" not in reader.keys
    assert reader.find("no such photograph") == []


@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_reader_reduces_as_averaging_would(build: Path, reduce: int) -> None:
    """Decoded smaller, photographs are near the averages of their pixels, and so are the marks."""
    reader = PairReader(build)
    for index in range(0, 24, 5):
        whole, reduced = reader[index], reader.read(index, reduce)
        height, width = whole.marks.shape
        size = -(-width // reduce), -(-height // reduce)
        for stored, ours in zip(whole[1:4], reduced[1:4], strict=True):
            expected = cv2.resize(stored, size, interpolation=cv2.INTER_AREA)
            assert ours.shape == expected.shape
            assert np.abs(ours.astype(float) - expected).mean() < 3
        assert reduced.recipe == whole.recipe
    with pytest.raises(ValueError, match="reduce is 1, 2, 4 or 8"):
        reader.read(0, 3)


def test_reader_splits_train_from_val(build: Path) -> None:
    """The two splits are the whole, and share no photograph."""
    train, val = PairReader(build, "train"), PairReader(build, "val")
    assert (len(train), len(val)) == (train.manifest.num_train, train.manifest.num_val)
    assert len(val) > 0
    keys = [{pair.recipe.key for pair in part} for part in (train, val)]
    assert len(keys[0] | keys[1]) == 24
    assert not keys[0] & keys[1]


def test_reader_reads_one_shard(build: Path) -> None:
    """A shard's folder alone is enough, even elsewhere."""
    shard = PairReader(build / "train-00001.lmdb")
    whole = PairReader(build, "train")
    start = whole.keys.index(shard.keys[0])
    assert shard.raw(0) == whole.raw(start)
    assert shard.manifest == whole.manifest


def test_reader_survives_pickling_while_open(build: Path) -> None:
    """The copy reads the same bytes."""
    reader = PairReader(build)
    first = reader.raw(0)
    assert pickle.loads(pickle.dumps(reader)).raw(0) == first


def test_two_readers_share_one_process(build: Path) -> None:
    """LMDB allows one environment per file and process; readers needn't care."""
    assert PairReader(build).raw(5) == PairReader(build).raw(5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reader_survives_starting_processes(build: Path, method: str) -> None:
    """Children of either kind read what the parent reads, while it has its shards open."""
    script = f"""
import multiprocessing, sys
from degrade import PairReader
if __name__ == "__main__":
    reader = PairReader({str(build)!r})
    mine = [reader.raw(i)["damaged.jpg"] for i in range(len(reader))]
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        theirs = pool.map(reader.raw, range(len(reader)))
    assert [parts["damaged.jpg"] for parts in theirs] == mine
    assert reader.raw(0)["damaged.jpg"] == mine[0]
    print("equal")
"""
    path = build.parent / f"{method}.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reader_serves_a_torch_loader_with_workers(build: Path, method: str) -> None:
    """The example of docs/pair-store.md, with two workers."""
    docs = Path(__file__).parents[2] / "docs" / "pair-store.md"
    example = next(b for b in _list_examples(docs) if "DataLoader" in b)
    example = example.replace('"pairs"', repr(str(build))).replace("batch_size=16", "batch_size=4")
    example = example.replace("num_workers=2", f"num_workers=2, multiprocessing_context={method!r}")
    path = build.parent / f"loader_{method}.py"
    path.write_text(example)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([4, 3, 48, 48])" in done.stdout


def test_documented_plain_reader_reads_the_store(build: Path) -> None:
    """The ten lines of docs/pair-store.md need nothing but lmdb, and count the samples."""
    docs = Path(__file__).parents[2] / "docs" / "pair-store.md"
    example = next(b for b in _list_examples(docs) if "import lmdb" in b)
    example = example.replace("pairs/train-00000.lmdb", str(build / "train-00000.lmdb"))
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=False, cwd=build
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(PairReader(build / "train-00000.lmdb"))


def _list_examples(docs: Path) -> list[str]:
    return [block.partition("\n")[2] for block in docs.read_text().split("```")[1::2]]


def test_reader_refuses_what_is_no_store(tmp_path: Path) -> None:
    """Missing, empty and foreign folders are told apart in one line."""
    for path, word in ((tmp_path / "no", "no such folder"), (tmp_path, "not a pair store")):
        with pytest.raises(StoreError, match=word):
            PairReader(path)
    with pytest.raises(StoreError, match="no such shard"):
        PairReader(tmp_path / "train-00000.lmdb")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="damaged or not ours"):
        PairReader(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format_version": 99}')
    with pytest.raises(StoreError, match="format version 99"):
        PairReader(tmp_path)


def _copy_shard(build: Path, folder: Path) -> Path:
    shard = folder / "train-00000.lmdb"
    shard.mkdir()
    for name in ("data.mdb", "shard.json"):
        (shard / name).write_bytes((build / "train-00000.lmdb" / name).read_bytes())
    return shard


def test_reader_refuses_a_shard_that_was_cut_off(build: Path, tmp_path: Path) -> None:
    """It says so instead of dying of SIGBUS."""
    shard = _copy_shard(build, tmp_path)
    os.truncate(shard / "data.mdb", (shard / "data.mdb").stat().st_size - 1)
    with pytest.raises(StoreError, match="cut off"):
        PairReader(shard)[0]


def test_reader_names_a_broken_sample_and_its_shard(build: Path, tmp_path: Path) -> None:
    """Both a value that cannot be decoded and one that is missing."""
    shard = _copy_shard(build, tmp_path)
    key = PairReader(shard).keys[1]
    with lmdb.open(str(shard), map_size=1 << 24, lock=False) as env, env.begin(write=True) as txn:
        txn.put(f"{key}/clean.jpg".encode(), b"rubbish")
        txn.delete(f"{PairReader(shard).keys[2]}/marks.png".encode())
    reader = PairReader(shard)
    with pytest.raises(UnreadablePhoto, match=rf"train-00000.*{key}/clean\.jpg"):
        reader[1]
    with pytest.raises(UnreadablePhoto, match=r"marks\.png is missing"):
        reader[2]
    assert set(reader.raw(0)) == set(PARTS)
