"""Texture packs: same seed, same bytes; seamless; sizes as measured; one's own packs."""

import json
import shutil

import cv2
import numpy as np
import pytest

from degrade.errors import TextureError
from degrade.textures.kinds import KINDS
from degrade.textures.pack import Textures, default_folder
from degrade.textures.paint import make_textures
from degrade.textures.painters.sheets import SHEET_FRAME_PX

ISSUE_KINDS = {
    "hair", "fibre", "dust", "dirt", "scratch", "stain", "foxing", "crease", "tear", "corner",
    "fingerprint", "watermark", "peel", "strand", "fold", "wear", "flake",
}  # fmt: skip


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """The pack painted anew from the seed of the shipped one."""
    out = tmp_path_factory.mktemp("packs") / "pack"
    seed = json.loads((default_folder() / "manifest.json").read_text())["seed"]
    make_textures(out, seed)
    return out


def test_textures_painted_again_are_the_shipped_bytes(pack):
    """The same seed gives the committed pack, byte for byte."""
    shipped = default_folder()
    names = sorted(p.relative_to(pack).as_posix() for p in pack.rglob("*") if p.is_file())
    assert names == sorted(
        p.relative_to(shipped).as_posix() for p in shipped.rglob("*") if p.is_file()
    )
    for name in names:
        assert (pack / name).read_bytes() == (shipped / name).read_bytes(), name


def test_textures_of_another_seed_differ(monkeypatch, tmp_path):
    """Another seed paints other textures."""
    monkeypatch.setattr("degrade.textures.paint.KINDS", {"dust": KINDS["dust"]})
    make_textures(tmp_path / "a", 1)
    make_textures(tmp_path / "b", 2)
    name = "masks/dust-00.png"
    assert (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()


def test_shipped_pack_is_small_and_holds_every_kind():
    """At most 15 MB; every kind of mark is there, 8 bit and one channel."""
    files = list(default_folder().rglob("*.png"))
    assert sum(p.stat().st_size for p in files) <= 15e6
    textures = Textures.load()
    for kind in ISSUE_KINDS:
        assert textures.of_kind(kind), kind
    for path in files:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.dtype == np.uint8
        assert image.ndim == 2


@pytest.mark.parametrize("kind", ["dust", "dirt", "hair", "foxing", "field", "grain", "screen"])
def test_sheets_repeat_without_an_edge(kind):
    """Across the joint of a sheet with itself, pixels differ no more than inside it."""
    textures = Textures.load()
    for info in textures.of_kind(kind):
        tile = textures.level(info.name).astype(int)
        joint = np.abs(tile[:, 0] - tile[:, -1]).mean()
        inside = np.abs(np.diff(tile, axis=1)).mean(axis=0).max()
        assert joint <= inside + 1, info.name


@pytest.mark.parametrize(
    ("kind", "per_frame", "median_px2"), [("dust", 763, 61), ("dirt", 270, 130), ("hair", 174, 300)]
)
def test_specks_have_the_measured_number_and_size(kind, per_frame, median_px2):
    """At density 1, specks are as many and as large as on scanned frames, within a factor 2."""
    textures = Textures.load()
    for info in textures.of_kind(kind):
        tile = textures.level(info.name)
        _, _, stats, _ = cv2.connectedComponentsWithStats((tile > 40).astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        frames = tile.size / (SHEET_FRAME_PX**2 * 2 / 3)
        assert 0.5 <= len(areas) / frames / info.density / per_frame <= 2, info.name
        assert 0.5 <= np.median(areas) / median_px2 <= 2, info.name


def test_peeled_emulsion_is_opaque_with_crisp_edges():
    """What has peeled off is gone altogether: few px lie between clear and opaque."""
    textures = Textures.load()
    levels = [textures.level(info.name) for info in textures.of_kind("peel")]
    opaque = np.mean([level > 230 for level in levels])
    between = np.mean([(level > 25) & (level <= 230) for level in levels])
    assert 0.01 < opaque < 0.1
    assert between < opaque / 2


def test_strands_are_thin_and_opaque():
    """A hair is of one width, 2 to 8 px of 512, and hides what is below; few px are half-clear."""
    textures = Textures.load()
    for info in textures.of_kind("strand"):
        level = textures.level(info.name)
        within = cv2.distanceTransform((level > 128).astype(np.uint8), cv2.DIST_L1, 3)
        # At crossings it is as wide as two.
        assert 1 <= np.percentile(within[within > 0], 95) <= 6, info.name
        assert level.max() == 255, info.name
        assert (level > 230).sum() > (level[level > 0] <= 230).sum() / 2, info.name


def test_folds_are_wide_and_let_the_picture_through():
    """In a band along the fold some px are lost altogether and most are hardly touched."""
    textures = Textures.load()
    for info in textures.of_kind("fold"):
        level = textures.level(info.name)
        lost = (level > 200).astype(np.uint8)
        band = cv2.dilate(lost, np.ones((25, 25), np.uint8)) > 0
        assert 0.05 < lost[band].mean() < 0.5, info.name
        assert (level[band] < 80).mean() > 0.4, info.name


def test_flakes_are_one_compact_opaque_spot():
    """Most of each is within reach of its middle, and only its rim is half-clear."""
    textures = Textures.load()
    for info in textures.of_kind("flake"):
        level = textures.level(info.name)
        num, _, stats, _ = cv2.connectedComponentsWithStats((level > 128).astype(np.uint8))
        assert num == 2, info.name
        inside = cv2.distanceTransform((level > 128).astype(np.uint8), cv2.DIST_L2, 5)
        assert np.pi * inside.max() ** 2 > 0.25 * stats[1, cv2.CC_STAT_AREA], info.name
        assert ((level > 25) & (level < 230)).sum() < 0.2 * (level >= 230).sum(), info.name


def test_pack_repeats_the_damage_of_those_before_it():
    """Kinds were added to the pack of version 0.1, and nothing else: its builds are repeatable."""
    textures = Textures.load()
    assert textures.repeats(textures.digest)
    assert textures.repeats("9d7ec8023d99cbb3103bfe6158c37f7d")
    assert textures.repeats("a8f92aec90bca54d8a422fce70cde254")
    assert not textures.repeats("0" * 32)


def test_textures_refuse_an_existing_folder(tmp_path):
    """Nothing is overwritten."""
    with pytest.raises(TextureError, match="already exists"):
        make_textures(tmp_path, 1)


def test_own_pack_replaces_its_kinds_and_keeps_the_rest(tmp_path):
    """A folder with scanned dust replaces dust alone, and needs no manifest."""
    (tmp_path / "masks").mkdir()
    speck = np.zeros((64, 64), np.uint8)
    speck[20:24, 20:24] = 255
    cv2.imwrite(str(tmp_path / "masks" / "dust-scan.png"), speck)
    textures = Textures.load(tmp_path)
    assert [info.name for info in textures.of_kind("dust")] == ["masks/dust-scan.png"]
    assert textures.level("masks/dust-scan.png").shape == (128, 128)
    assert textures.of_kind("hair") == Textures.load().of_kind("hair")
    assert textures.digest != Textures.load().digest


def test_textures_that_changed_are_refused(tmp_path, pack):
    """A texture that differs from its manifest is named, not used."""
    own = tmp_path / "own"
    shutil.copytree(pack, own)
    own.joinpath("masks/dust-00.png").write_bytes(own.joinpath("masks/dust-01.png").read_bytes())
    with pytest.raises(TextureError, match="dust-00"):
        Textures.load(own).level("masks/dust-00.png")


@pytest.mark.parametrize("case", ["missing", "empty", "unknown-kind", "broken-manifest"])
def test_texture_folders_that_are_none_are_refused(tmp_path, case):
    """A missing, empty or malformed folder is a one-line error."""
    folder = tmp_path / "pack"
    if case != "missing":
        (folder / "masks").mkdir(parents=True)
    if case == "unknown-kind":
        (folder / "masks" / "cat-1.png").write_bytes(b"x")
    if case == "broken-manifest":
        (folder / "manifest.json").write_text("{")
    with pytest.raises(TextureError) as caught:
        Textures.load(folder)
    assert "\n" not in str(caught.value)
