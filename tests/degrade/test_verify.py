import os
import shutil
from pathlib import Path

import lmdb
import pytest
from store_photos import build_small, encode, fill_folder, paint_photo, run_degrade

from degrade import PairReader
from degrade.arrays import Photo
from degrade.build.samples import SampleMaker
from degrade.errors import TextureError
from degrade.inspect.verify import verify_pairs


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source of 12 photographs and a build of it in shards of 4."""
    folder = tmp_path_factory.mktemp("verify")
    source = fill_folder(folder / "photos", 12)
    build_small(source, folder / "pairs", shard_size=4, val_frac=0.0)
    return source, folder / "pairs"


@pytest.fixture
def copy(sound: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the build, to break."""
    return Path(shutil.copytree(sound[1], tmp_path / "pairs"))


def _change(shard: Path, key: str, value: bytes | None) -> None:
    with lmdb.open(str(shard), map_size=1 << 24, lock=False) as env, env.begin(write=True) as txn:
        if value is None:
            txn.delete(key.encode())
        else:
            txn.put(key.encode(), value)


def test_verify_finds_nothing_wrong_with_a_sound_build(sound: tuple[Path, Path]) -> None:
    """All shards are read, all samples made anew are equal."""
    source, pairs = sound
    report = verify_pairs(pairs, source=source, num_rerender=100, num_workers=2)
    assert report.faults == []
    assert (report.num_shards, report.num_pairs, report.num_rerendered) == (3, 12, 12)


def test_verify_takes_one_shard(sound: tuple[Path, Path]) -> None:
    """A shard is checked against its own record, and can be made anew too."""
    source, pairs = sound
    report = verify_pairs(pairs / "train-00001.lmdb", source=source, num_rerender=3)
    assert report.faults == []
    assert (report.num_pairs, report.num_rerendered) == (4, 3)


@pytest.mark.parametrize("part", ["clean.jpg", "damaged.jpg", "marks.png", "recipe.json"])
def test_verify_names_the_sample_that_cannot_be_decoded(copy: Path, part: str) -> None:
    """And says that the digest differs."""
    key = f"{PairReader(copy).keys[5]}/{part}"
    _change(copy / "train-00001.lmdb", key, b"rubbish")
    faults = verify_pairs(copy).faults
    assert len(faults) == 2
    assert key in faults[0]
    assert "digest" in faults[1]


def test_verify_finds_a_value_that_is_missing(copy: Path) -> None:
    """The sample is named."""
    _change(copy / "train-00000.lmdb", "00000002/marks.png", None)
    assert "00000002" in verify_pairs(copy).faults[0]


def test_verify_finds_a_change_that_still_decodes(copy: Path) -> None:
    """By the digest."""
    _change(copy / "train-00000.lmdb", "00000001/clean.jpg", encode(paint_photo(1, 48, 48)))
    assert [("digest" in fault) for fault in verify_pairs(copy).faults] == [True]


def test_verify_finds_shards_cut_off_missing_or_too_many(copy: Path) -> None:
    """One line each, and the last shard is still read."""
    data = copy / "train-00000.lmdb" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    shutil.rmtree(copy / "train-00001.lmdb")
    shutil.copytree(copy / "train-00002.lmdb", copy / "train-00009.lmdb")
    faults = sorted(verify_pairs(copy).faults)
    assert len(faults) == 3
    assert "train-00000.lmdb/data.mdb: cut off" in faults[0]
    assert "train-00001.lmdb" in faults[1]
    assert "train-00009.lmdb: not in the manifest" in faults[2]


def test_verify_survives_pages_full_of_rubbish(copy: Path) -> None:
    """Whatever LMDB does to the process that reads it."""
    data = copy / "train-00000.lmdb" / "data.mdb"
    content = bytearray(data.read_bytes())
    content[8192:] = bytes(byte ^ 0xA5 for byte in content[8192:])
    data.write_bytes(content)
    faults = verify_pairs(copy).faults
    assert faults
    assert all("train-00000.lmdb" in fault for fault in faults)


def test_verify_finds_a_source_that_gives_other_pictures(
    sound: tuple[Path, Path], tmp_path: Path
) -> None:
    """A photograph replaced and one gone are named."""
    source = Path(shutil.copytree(sound[0], tmp_path / "photos"))
    (source / "0003.jpg").write_bytes(encode(paint_photo(99)))
    (source / "0005.jpg").unlink()
    report = verify_pairs(sound[1], source=source, num_rerender=12)
    faults = report.faults
    assert len(faults) == 2
    assert report.num_rerendered == 11
    assert "clean.jpg, damaged.jpg of 0003.jpg differ" in faults[0]
    assert "0005.jpg" in faults[1]


def test_verify_refuses_other_textures(sound: tuple[Path, Path], tmp_path: Path) -> None:
    """They would explain every difference."""
    pack = tmp_path / "pack"
    (pack / "masks").mkdir(parents=True)
    (pack / "masks" / "dust-mine.png").write_bytes(encode(paint_photo(1), ".png"))
    with pytest.raises(TextureError, match="--textures"):
        verify_pairs(sound[1], source=sound[0], num_rerender=1, textures=pack)


def test_verify_counts_only_what_it_made_again(
    sound: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it has to stop after two samples, two were made again."""
    made = []

    def make_two(self: SampleMaker, photo: Photo, key: str, variant: int) -> list[bytes]:
        if len(made) == 2:
            raise TextureError("dust-00.png: differs from its manifest")
        made.append(key)
        return make(self, photo, key, variant)

    make = SampleMaker.make
    monkeypatch.setattr(SampleMaker, "make", make_two)
    report = verify_pairs(sound[1], source=sound[0], num_rerender=5)
    assert report.num_rerendered == 2
    assert report.faults == ["dust-00.png: differs from its manifest"]


def test_verify_command_lists_faults_and_fails(sound: tuple[Path, Path], copy: Path) -> None:
    """Status 0 and a summary for a sound build; 1 and the faults on stdout for another."""
    source, pairs = sound
    done = run_degrade("verify", pairs, "--source", source, "--rerender", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 pairs in 3 shards, 2 rendered anew" in done.stdout
    _change(copy / "train-00000.lmdb", "00000001/clean.jpg", b"rubbish")
    done = run_degrade("verify", copy)
    assert done.returncode == 1
    assert "00000001/clean.jpg" in done.stdout
    assert done.stderr.count("\n") == 1
