import json
import os
import shutil
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from store_photos import build_small, encode, fill_folder, make_lsun, paint_photo, read_all

from degrade import PairReader
from degrade.build.options import BuildOptions
from degrade.build.plan import find_split
from degrade.build.work import SETTINGS_NAME
from degrade.errors import SourceError, StoreError


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 photographs."""
    return fill_folder(tmp_path_factory.mktemp("build") / "photos", 30)


def _read_by_source(build: Path) -> dict[tuple[str, int], dict[str, bytes]]:
    reader = PairReader(build)
    samples = [reader.raw(index) for index in range(len(reader))]
    recipes = [json.loads(sample["recipe.json"]) for sample in samples]
    return {(r["key"], r["variant"]): s for r, s in zip(recipes, samples, strict=True)}


def _read_rejected(build: Path) -> dict[str, str]:
    lines = (build / "rejected.jsonl").read_text().splitlines()
    return {line["key"]: line["reason"] for line in map(json.loads, lines)}


def test_build_is_the_same_for_any_number_of_workers(photos: Path, tmp_path: Path) -> None:
    """One, two and three workers write equal records and equal manifests."""
    options = {"shard_size": 4, "variants": 2, "val_frac": 0.2}
    for num_workers in (1, 2, 3):
        build_small(photos, tmp_path / str(num_workers), num_workers=num_workers, **options)
    records = read_all(tmp_path / "1")
    assert len(records) == 30 * 2 * 4
    for other in ("2", "3"):
        assert read_all(tmp_path / other) == records
        for name in ("manifest.json", "rejected.jsonl"):
            assert (tmp_path / other / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_build_leaves_nothing_but_its_results(photos: Path, tmp_path: Path) -> None:
    """No lock, no plan, no temporary file."""
    build_small(photos, tmp_path / "pairs", val_frac=0.0)
    names = sorted(path.name for path in (tmp_path / "pairs").rglob("*"))
    assert names == [
        "data.mdb",
        "manifest.json",
        "rejected.jsonl",
        "runs.jsonl",
        "shard.json",
        "train-00000.lmdb",
    ]


def test_build_depends_on_its_seed(photos: Path, tmp_path: Path) -> None:
    """Another seed, other damage."""
    digests = {build_small(photos, tmp_path / str(s), seed=s, limit=4).digest for s in (1, 2)}
    assert len(digests) == 2


def test_added_photographs_change_no_others(photos: Path, tmp_path: Path) -> None:
    """Samples of the first photographs stay what they were, byte for byte."""
    source = tmp_path / "photos"
    shutil.copytree(photos, source)
    build_small(source, tmp_path / "before", variants=2)
    fill_folder(source / "added", 5, first=100)
    (source / "00000.jpg").write_bytes(encode(paint_photo(200)))
    build_small(source, tmp_path / "after", variants=2, shard_size=6)
    before, after = (_read_by_source(tmp_path / name) for name in ("before", "after"))
    assert len(after) == len(before) + 12
    assert {key: after[key] for key in before} == before


def test_shards_and_variants_change_no_sample(photos: Path, tmp_path: Path) -> None:
    """More variants add to a build; they change nothing in it."""
    build_small(photos, tmp_path / "one", limit=6)
    build_small(photos, tmp_path / "three", limit=6, variants=3, shard_size=5)
    one, three = (_read_by_source(tmp_path / name) for name in ("one", "three"))
    assert len(three) == 3 * len(one) == 18
    assert {key: three[key] for key in one} == one
    damaged = {three[key]["damaged.jpg"] for key in three}
    assert len(damaged) == 18


def test_limit_takes_a_part_of_what_a_larger_limit_takes(photos: Path, tmp_path: Path) -> None:
    """And exactly as many photographs as it says."""
    small, large = (
        set(_read_by_source(tmp_path / str(n)))
        for n in (5, 12)
        if build_small(photos, tmp_path / str(n), limit=n)
    )
    assert (len(small), len(large)) == (5, 12)
    assert small < large


def test_splits_follow_the_hash_of_the_key(photos: Path, tmp_path: Path) -> None:
    """All variants of a photograph fall on one side, whatever the seed."""
    build_small(photos, tmp_path / "pairs", variants=2, val_frac=0.3)
    for split in ("train", "val"):
        keys = [pair.recipe.key for pair in PairReader(tmp_path / "pairs", split)]
        assert keys
        assert {find_split(key, 0.3) for key in keys} == {split}


def test_splits_have_the_share_asked_for() -> None:
    """Over many keys, within three standard deviations; a smaller share is part of a larger."""
    keys = [f"photo {number}" for number in range(4000)]
    tenth = {key for key in keys if find_split(key, 0.1) == "val"}
    assert len(tenth) == pytest.approx(400, abs=3 * 19)
    assert tenth < {key for key in keys if find_split(key, 0.2) == "val"}


def test_rejections_name_photograph_and_reason(tmp_path: Path) -> None:
    """Broken, small, grey and doubled photographs are left out; the first of equals stays."""
    source = fill_folder(tmp_path / "photos", 3)
    good = encode(paint_photo(0))
    grey = cv2.cvtColor(paint_photo(9), cv2.COLOR_RGB2GRAY)
    for name, data in {
        "a-empty.jpg": b"",
        "b-empty.jpg": b"",
        "broken.jpg": b"rubbish",
        "cut.jpg": good[: len(good) // 2],
        "small.png": encode(paint_photo(8, 47, 90), ".png"),
        "grey.jpg": encode(np.repeat(grey[..., None], 3, axis=2)),
        "zwin.jpg": good,
    }.items():
        (source / name).write_bytes(data)
    (source / "link.jpg").symlink_to("nowhere.jpg")
    manifest = build_small(source, tmp_path / "pairs")
    assert _read_rejected(tmp_path / "pairs") == {
        "a-empty.jpg": "undecodable",
        "b-empty.jpg": "undecodable",
        "broken.jpg": "undecodable",
        "cut.jpg": "undecodable",
        "small.png": "too-small",
        "grey.jpg": "grey",
        "zwin.jpg": "duplicate",
        "link.jpg": "unreadable",
    }
    assert manifest.num_rejected == {
        "duplicate": 1, "grey": 1, "too-small": 1, "undecodable": 4, "unreadable": 1,
    }  # fmt: skip
    assert manifest.num_train + manifest.num_val == 3


@pytest.mark.parametrize("limit", [None, 5])
def test_odd_keys_are_listed_and_stop_nothing(tmp_path: Path, limit: int | None) -> None:
    """Keys that aren't UTF-8 count as looked at; all others are built, and resuming agrees."""
    values = {bytes([number]) * 4: encode(paint_photo(number)) for number in (1, 2, 130, 200, 255)}
    source = make_lsun(tmp_path / "lsun", values)
    manifest = build_small(source, tmp_path / "pairs", limit=limit)
    assert _read_rejected(tmp_path / "pairs") == {
        r"\x82\x82\x82\x82": "odd-key",
        r"\xc8\xc8\xc8\xc8": "odd-key",
        r"\xff\xff\xff\xff": "odd-key",
    }
    assert manifest.num_rejected == {"odd-key": 3}
    assert manifest.source.num_photos == 5
    assert {pair.recipe.key for pair in PairReader(tmp_path / "pairs")} == {"\1" * 4, "\2" * 4}


def test_odd_names_of_files_and_folders_are_listed(tmp_path: Path) -> None:
    """They change nothing in the samples of the others; none but such is an error."""
    source = fill_folder(tmp_path / "photos", 2)
    build_small(source, tmp_path / "before")
    try:
        (source / os.fsdecode(b"\xff.jpg")).write_bytes(encode(paint_photo(8)))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    fill_folder(source / os.fsdecode(b"caf\xe9"), 1)
    build_small(source, tmp_path / "pairs")
    assert _read_rejected(tmp_path / "pairs") == {
        r"caf\xe9/0000.jpg": "odd-key", r"\xff.jpg": "odd-key",
    }  # fmt: skip
    assert read_all(tmp_path / "pairs") == read_all(tmp_path / "before")
    for name in ("0000.jpg", "0001.jpg"):
        (source / name).unlink()
    with pytest.raises(SourceError, match=r"none of 2 photographs can be used: .* UTF-8"):
        build_small(source, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("suffix", [".webp", ".jpg", ".png", ".tif"])
def test_broken_photographs_are_undecodable_whatever_their_header_says(
    tmp_path: Path, suffix: str
) -> None:
    """Cut off, or with zeros where the size stands; none of them is called too small."""
    source = fill_folder(tmp_path / "photos", 1)
    whole = encode(paint_photo(3), suffix)
    zeros = slice(12, 40) if suffix == ".jpg" else slice(16, 40)
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "stub": whole[:24],
        "zeroed": whole[: zeros.start] + bytes(zeros.stop - zeros.start) + whole[zeros.stop :],
    }.items():
        (source / f"{name}{suffix}").write_bytes(content)
    build_small(source, tmp_path / "pairs")
    reasons = _read_rejected(tmp_path / "pairs")
    assert set(reasons.values()) == {"undecodable"}
    assert {f"cut{suffix}", f"stub{suffix}"} <= set(reasons)


def test_numbers_have_no_gaps_where_photographs_were_left_out(tmp_path: Path) -> None:
    """Within a shard samples count up from its first number."""
    source = fill_folder(tmp_path / "photos", 6)
    (source / "0002.jpg").write_bytes(b"rubbish")
    manifest = build_small(source, tmp_path / "pairs", shard_size=3, val_frac=0.0)
    assert list(PairReader(tmp_path / "pairs").keys) == [
        "00000000", "00000001", "00000003", "00000004", "00000005",
    ]  # fmt: skip
    assert [shard.num_pairs for shard in manifest.shards] == [2, 3]


def test_grey_photographs_stay_if_asked_for(tmp_path: Path) -> None:
    """--keep-grey takes them."""
    (tmp_path / "photos").mkdir()
    grey = np.repeat(paint_photo(9)[..., :1], 3, axis=2)
    (tmp_path / "photos" / "grey.jpg").write_bytes(encode(grey))
    with pytest.raises(SourceError, match="1 grey"):
        build_small(tmp_path / "photos", tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
    manifest = build_small(tmp_path / "photos", tmp_path / "pairs", keep_grey=True)
    assert manifest.num_train + manifest.num_val == 1


def test_lsun_is_built_from_like_a_folder(tmp_path: Path) -> None:
    """WebP, JPEG and PNG values, told by content."""
    values = {
        f"{number:02x}" * 20: encode(paint_photo(number), suffix)
        for number, suffix in enumerate((".webp", ".jpg", ".png"))
    }
    source = make_lsun(tmp_path / "lsun", values)
    manifest = build_small(source, tmp_path / "pairs", num_workers=2, shard_size=1)
    assert manifest.source.kind == "lsun"
    assert {pair.recipe.key for pair in PairReader(tmp_path / "pairs")} == set(values)


def test_whole_photographs_keep_their_ratio(photos: Path, tmp_path: Path) -> None:
    """--crop whole makes the short side as long as asked for."""
    build_small(photos, tmp_path / "pairs", crop="whole", limit=3)
    assert {pair.clean.shape for pair in PairReader(tmp_path / "pairs")} == {(48, 64, 3)}


def test_manifest_records_how_the_build_was_made(photos: Path, tmp_path: Path) -> None:
    """Seed, profile in full, source, versions, key ranges and digests."""
    manifest = build_small(photos, tmp_path / "pairs", shard_size=10)
    assert PairReader(tmp_path / "pairs").manifest == manifest
    assert (manifest.seed, manifest.size_px, manifest.source.num_photos) == (7, 48, 30)
    assert manifest.profile["name"] == "family-album"
    assert {"opencv", "numpy", "degrade"} <= set(manifest.versions)
    train = [shard for shard in manifest.shards if shard.split == "train"]
    assert all(a.last_key < b.first_key for a, b in pairwise(train))
    assert len({shard.digest for shard in manifest.shards}) == len(manifest.shards)


@pytest.mark.parametrize(
    "wrong", [{"crop": "round"}, {"val_frac": 1.5}, {"variants": 0}, {"limit": 0}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """They are checked when they are made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BuildOptions(source=Path("a"), out=Path("b"), seed=1, **wrong)  # type: ignore[arg-type]


def test_finished_build_is_only_overwritten_by_force(photos: Path, tmp_path: Path) -> None:
    """Without it nothing is touched; with it the old shards are gone."""
    out = tmp_path / "pairs"
    build_small(photos, out, shard_size=5)
    before = read_all(out)
    with pytest.raises(StoreError, match="--force"):
        build_small(photos, out, seed=8)
    assert read_all(out) == before
    build_small(photos, out, seed=8, limit=4, force=True)
    assert len(PairReader(out)) == 4
    assert len(list(out.glob("*.lmdb"))) <= 2


def test_force_overcomes_what_a_kill_left_beside_a_finished_build(
    photos: Path, tmp_path: Path
) -> None:
    """Killed after the manifest was written, the settings of the build are there still."""
    out = tmp_path / "pairs"
    build_small(photos, out)
    (out / ".building").mkdir()
    (out / ".building" / SETTINGS_NAME).write_text("{}")
    build_small(photos, out, seed=9, force=True)
    assert PairReader(out).manifest.seed == 9


def test_force_keeps_the_old_build_if_the_source_is_no_good(photos: Path, tmp_path: Path) -> None:
    """A finished build goes only once the new one can begin."""
    out = tmp_path / "pairs"
    build_small(photos, out, limit=3)
    before = read_all(out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError):
        build_small(tmp_path / "empty", out, force=True)
    assert read_all(out) == before
    assert not (out / ".building").exists()


def test_build_refuses_folders_of_others(photos: Path, tmp_path: Path) -> None:
    """Even by force."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter.txt").write_text("dear")
    for force in (False, True):
        with pytest.raises(StoreError, match="not empty"):
            build_small(photos, tmp_path / "precious", force=force)
    assert (tmp_path / "precious" / "letter.txt").exists()


def test_failed_start_leaves_no_trace(tmp_path: Path) -> None:
    """No folder remains of a build whose source is empty."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError):
        build_small(tmp_path / "empty", tmp_path / "pairs")
    assert not (tmp_path / "pairs").exists()
