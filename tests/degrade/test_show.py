import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from store_photos import build_small, encode, fill_folder

from degrade import PairReader
from degrade.arrays import encode_photo
from degrade.cli import main
from degrade.damage.frame import Frame
from degrade.damage.render import STAGES, without
from degrade.damage.scan import Scan
from degrade.errors import StoreError
from degrade.inspect.sheets import describe_recipe, paint_sheet
from degrade.inspect.stats import _list_stages, describe_pairs, format_stats
from degrade.recipe import decode_recipe


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pairs of 20 photographs, one with a name that is not ASCII."""
    folder = tmp_path_factory.mktemp("show")
    source = fill_folder(folder / "photos", 20)
    (source / "0000.jpg").rename(source / "größe ☂.jpg")
    build_small(source, folder / "pairs", variants=2, val_frac=0.2, shard_size=10)
    return folder / "pairs"


def _run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_sheet_holds_every_pair_side_by_side(build: Path) -> None:
    """The pictures stand where they should, unscaled at their own size."""
    pairs = PairReader(build)[:5]
    sheet = paint_sheet(pairs, num_columns=2, cell_px=48)
    width, height = sheet.shape[1] // 2, sheet.shape[0] // 3
    for index, pair in enumerate(pairs):
        top, left = index // 2 * height + 8, index % 2 * width + 8
        assert np.array_equal(sheet[top : top + 48, left : left + 48], pair.clean)
        assert np.array_equal(sheet[top : top + 48, left + 56 : left + 104], pair.damaged)
        assert np.array_equal(sheet[top : top + 48, left + 112 : left + 160, 0], pair.marks)


def test_recipe_is_described_in_two_lines(build: Path) -> None:
    """Profile first, then marks."""
    recipe = PairReader(build)[0].recipe
    lines = describe_recipe(recipe)
    assert len(lines) == 2
    assert lines[0].startswith(f"{recipe.profile}: ")


def test_show_paints_a_sheet(build: Path, tmp_path: Path) -> None:
    """Of evenly spread samples; an existing one is kept unless forced."""
    out = tmp_path / "sheet.png"
    assert _run("show", build, "-o", out, "--num", 6) == (0, f"{out}\n")
    assert cv2.imread(str(out)) is not None
    status, output = _run("show", build, "-o", out)
    assert status == 1
    assert "already exists" in output
    assert _run("show", build, "-o", out, "--force")[0] == 0


def test_show_lists_samples(build: Path) -> None:
    """A line each, with number and source key."""
    status, output = _run("show", build, "--num", 7, "--split", "val")
    assert status == 0
    val = PairReader(build, "val")
    assert len(output.splitlines()) == min(7, len(val))
    assert output.startswith(f"{val.keys[0]}  {val[0].recipe.key}")


def test_show_prints_a_recipe_that_can_be_used_again(build: Path) -> None:
    """By the sample's number, with or without zeros; in a shard too."""
    reader = PairReader(build)
    expected = reader[3].recipe
    for path, key in ((build, "3"), (build, "00000003"), (build / "train-00000.lmdb", "3")):
        status, output = _run("show", path, key)
        assert status == 0
        assert decode_recipe(output.encode()) == expected


def test_show_finds_all_variants_of_a_photograph(build: Path) -> None:
    """By its key."""
    status, output = _run("show", build, "größe ☂.jpg")
    assert status == 0
    assert [(r["key"], r["variant"]) for r in json.loads(output)] == [
        ("größe ☂.jpg", 0),
        ("größe ☂.jpg", 1),
    ]


def test_show_writes_the_parts_of_samples(build: Path, tmp_path: Path) -> None:
    """As they are stored, byte for byte, into a new folder."""
    out = tmp_path / "parts"
    assert _run("show", build, "3", "-o", out)[0] == 0
    stored = PairReader(build).raw(3)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        f"00000003-{part}": value for part, value in stored.items()
    }
    assert _run("show", build, "4", "-o", out)[0] == 1


def test_show_explains_an_unknown_key(build: Path) -> None:
    """In one line, with status 1."""
    status, output = _run("show", build, "12345")
    assert (status, output.count("\n")) == (1, 1)
    assert "no sample 12345" in output


def test_stats_describe_every_parameter(build: Path) -> None:
    """Counts, sizes, stages, numbers, words, and marks by kind."""
    stats = describe_pairs(build)
    assert stats.num_train + stats.num_val == stats.num_examined == 40
    reader = PairReader(build)
    recipes = [pair.recipe for pair in reader]
    grains = [r.grain.strength_frac for r in recipes if r.grain is not None]
    assert stats.numbers["grain.strength_frac"].count == len(grains)
    assert stats.numbers["grain.strength_frac"].max == max(grains)
    assert stats.stages["grain"] == len(grains) / 40
    assert sum(stats.words["profile"].values()) == 40
    assert stats.words["marks[].kind"].keys() == {m.kind for r in recipes for m in r.marks}
    assert stats.bytes["clean.jpg"].min == min(len(reader.raw(i)["clean.jpg"]) for i in range(40))


def test_stats_measure_what_each_kind_of_mark_covers(build: Path) -> None:
    """The share of pairs is exact, the cover lies in (0, 1]."""
    stats = describe_pairs(build)
    recipes = [pair.recipe for pair in PairReader(build)]
    for kind, coverage in stats.coverage.items():
        having = [r for r in recipes if kind in {mark.kind for mark in r.marks}]
        assert coverage.pairs_frac == len(having) / 40
        assert 0 <= coverage.mean_frac <= coverage.max_frac <= 1


def test_stats_are_printed_as_text_and_json(build: Path) -> None:
    """Both hold the same figures; a shard alone has them too."""
    status, output = _run("stats", build, "--json")
    assert status == 0
    assert json.loads(output) == msgspec.to_builtins(describe_pairs(build))
    assert _run("stats", build) == (0, format_stats(describe_pairs(build)) + "\n")
    assert _run("stats", build / "train-00000.lmdb")[0] == 0


def test_stats_keep_the_rejections_of_a_build_called_like_a_shard(tmp_path: Path) -> None:
    """A build's folder may end in .lmdb; what was left out is counted all the same."""
    source = fill_folder(tmp_path / "photos", 3)
    (source / "grey.png").write_bytes(encode(np.full((90, 120, 3), 90, np.uint8), ".png"))
    build_small(source, tmp_path / "pairs.lmdb", val_frac=0.0)
    assert describe_pairs(tmp_path / "pairs.lmdb").num_rejected == {"grey": 1}


def test_sound_pairs_are_called_undamaged_framed_or_not(build: Path) -> None:
    """A scan whose numbers don't count is none; a frame is on the clean photograph, too."""
    reader = PairReader(build)
    recipe = msgspec.structs.replace(
        without(reader.recipe(0), frozenset(STAGES)), scan=Scan(sharpen_sigma_px=1.0, noise_x_px=3)
    )
    assert list(_list_stages(recipe)) == ["(undamaged)"]
    frame = Frame(kind="border", left_px=1, top_px=1, right_px=1, bottom_px=1, paper=(1, 1, 1))
    framed = msgspec.structs.replace(recipe, frame=frame)
    assert list(_list_stages(framed)) == ["frame", "(undamaged)"]
    assert "undamaged" in describe_recipe(recipe)[0]
    sharpened = msgspec.structs.replace(recipe, scan=Scan(sharpen_amount=0.5))
    assert list(_list_stages(sharpened)) == ["scan"]
    assert "sharpened 0.50" in describe_recipe(sharpened)[0]


def test_sheet_that_no_file_holds_is_refused(tmp_path: Path) -> None:
    """WebP ends at 16,383 px."""
    with pytest.raises(StoreError, match=r"17000 x 2 px are more than a \.webp file holds"):
        encode_photo(np.zeros((2, 17000, 3), np.uint8), ".webp")
