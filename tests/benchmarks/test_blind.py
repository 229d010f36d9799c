"""Blind judgement: sheets that say nothing, a key that says who is where, votes counted by it."""

import csv
import json
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.judged.blind import QUESTIONS, main, match_pictures
from benchmarks.judged.votes import Vote, count_votes, estimate_share, read_votes
from benchmarks.judged.votes import main as count

TONES = {"a": 40, "b": 200, "originals": 120}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Twelve photographs, each folder in a tone of its own; A's names are those of `restore`."""
    for folder, tone in TONES.items():
        (tmp_path / folder).mkdir()
        for number in range(12):
            picture = np.full((30, 40 + number, 3), tone, np.uint8)
            ending = ".restored.png" if folder == "a" else ".png"
            cv2.imwrite(str(tmp_path / folder / f"photo{number}{ending}"), picture)
    return tmp_path


def lay(folder: Path, *arguments: object, originals: bool = True) -> Result:
    named = ["a", "b", *(["originals"] if originals else [])]
    words = [folder / name for name in named] + ["--sheets", folder / "sheets", *arguments]
    return CliRunner().invoke(main, [str(word) for word in words])


def read_key(folder: Path) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads((folder / "sheets.key.json").read_text())["sheets"]
    return entries


def test_key_tells_who_is_left_and_right(folders: Path) -> None:
    """The original is in the middle, and the tones beside it are those of the key."""
    assert lay(folders).exit_code == 0
    for entry in read_key(folders):
        sheet = cv2.imread(str(folders / "sheets" / entry["sheet"]))
        tones = [int(sheet[200, x, 0]) for x in (100, sheet.shape[1] // 2, -100)]
        assert tones == [TONES[entry["left"]], TONES["originals"], TONES[entry["right"]]]


def test_each_set_is_left_on_half_of_the_sheets_by_chance(folders: Path) -> None:
    """A is left six times of twelve, and not by turns."""
    lay(folders)
    sides = [entry["left"] for entry in read_key(folders)]
    assert sides.count("a") == 6
    assert sides not in (["a", "b"] * 6, ["b", "a"] * 6, ["a"] * 6 + ["b"] * 6)


def test_key_may_lie_in_a_folder_that_is_new(folders: Path) -> None:
    """It is made, rather than sheets be laid that nobody can tell apart."""
    key = folders / "kept" / "for later" / "key.json"
    assert lay(folders, "--key", key).exit_code == 0
    assert len(json.loads(key.read_text())["sheets"]) == 12


def test_order_of_sheets_is_not_that_of_names(folders: Path) -> None:
    """A sheet's number says nothing of the photograph."""
    lay(folders)
    names = [entry["photo"] for entry in read_key(folders)]
    assert names != sorted(names)
    assert sorted(names) == sorted(f"photo{number}" for number in range(12))


def test_same_seed_lays_the_same_sheets(folders: Path, tmp_path: Path) -> None:
    """Another seed lays others."""
    keys = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        lay(folders, "--sheets", tmp_path / name, "--seed", seed)
        keys.append(json.loads((tmp_path / f"{name}.key.json").read_text())["sheets"])
    assert keys[0] == keys[1] != keys[2]
    first = (tmp_path / "one" / "001.png").read_bytes()
    assert first == (tmp_path / "two" / "001.png").read_bytes()


def test_folder_of_sheets_holds_no_key(folders: Path) -> None:
    """Sheets, questions and an empty table of votes; no name of a photograph or of a set."""
    lay(folders)
    files = {file.name: file for file in (folders / "sheets").iterdir()}
    assert set(files) == {f"{n:03d}.png" for n in range(1, 13)} | {"votes.csv", "questions.txt"}
    texts = files["votes.csv"].read_text() + files["questions.txt"].read_text()
    assert "photo0" not in texts
    rows = list(csv.DictReader(files["votes.csv"].read_text().splitlines()))
    assert len(rows) == 12 * len(QUESTIONS)
    assert not any(row["choice"] for row in rows)


def test_key_among_the_sheets_is_refused(folders: Path) -> None:
    """Readers would see it."""
    done = lay(folders, "--key", folders / "sheets" / "key.json")
    assert done.exit_code == 1
    assert "readers would see" in done.output


def test_sheets_are_never_written_over(folders: Path) -> None:
    """Votes on the old ones would be counted by a new key."""
    lay(folders)
    done = lay(folders)
    assert done.exit_code == 1
    assert "exists" in done.output


def test_each_picture_has_the_long_side_that_was_asked_for(folders: Path) -> None:
    """Small ones are enlarged; three of them and two gaps make a sheet."""
    lay(folders, "--side", 700)
    entry = next(e for e in read_key(folders) if e["photo"] == "photo0")  # 40 × 30 px
    sheet = cv2.imread(str(folders / "sheets" / entry["sheet"]))
    assert sheet.shape[:2] == (525, 3 * 700 + 2 * 16)


def test_without_originals_readers_are_asked_for_the_real_one(folders: Path) -> None:
    """Two pictures a sheet, one question."""
    lay(folders, originals=False)
    sheet = cv2.imread(str(folders / "sheets" / "001.png"))
    assert {int(sheet[200, 100, 0]), int(sheet[200, -100, 0])} == {TONES["a"], TONES["b"]}
    votes = (folders / "sheets" / "votes.csv").read_text()
    rows = list(csv.DictReader(votes.splitlines()))
    assert {row["question"] for row in rows} == {"real"}


def test_a_photograph_that_one_set_lacks_is_named(folders: Path) -> None:
    """A set that left out its worst would be compared on the rest."""
    (folders / "b" / "photo3.png").unlink()
    with pytest.raises(click.ClickException, match="photo3"):
        match_pictures(folders / "a", folders / "b", folders / "originals")


KEY = {
    "a": "a/",
    "b": "b/",
    "sheets": [
        {"sheet": "001.png", "photo": "x", "left": "a", "right": "b"},
        {"sheet": "002.png", "photo": "y", "left": "b", "right": "a"},
    ],
}


def test_votes_are_counted_by_the_key() -> None:
    """Left on one sheet and right on the other are both for A."""
    votes = [
        Vote("one", "001.png", "natural", "left"),
        Vote("one", "002.png", "natural", "right"),
        Vote("two", "002.png", "natural", "left"),
        Vote("one", "001.png", "person", "right"),
    ]
    shares = count_votes(votes, KEY)
    assert shares["natural"].value == pytest.approx(2 / 3)
    assert (shares["natural"].num_votes, shares["natural"].num_sheets) == (3, 2)
    assert shares["person"].value == 0


def test_interval_of_a_share_agrees_with_the_table() -> None:
    """Wilson's interval of 8 of 10 is .490 to .943; that of 10 of 10 doesn't end at 1 alone."""
    share = estimate_share([(str(i), i < 8) for i in range(10)])
    assert (share.low, share.high) == pytest.approx((0.490, 0.943), abs=1e-3)
    sure = estimate_share([(str(i), True) for i in range(10)])
    assert (sure.low, sure.high) == pytest.approx((0.722, 1), abs=1e-3)


def test_readers_who_agree_do_not_narrow_the_interval() -> None:
    """Five readers on ten sheets are as sure as one."""
    one = [(str(i), i < 8) for i in range(10)]
    assert estimate_share(5 * one)[:3] == estimate_share(one)[:3]


@pytest.mark.parametrize(
    ("row", "message"),
    [("ann,001.png,natural,middle", "no left or right"), ("ann,009.png,natural,left", "no sheet")],
)
def test_a_vote_that_cannot_be_counted_is_refused(tmp_path: Path, row: str, message: str) -> None:
    """The file or the sheet is named."""
    done = count_table(tmp_path, row)
    assert done.exit_code == 1
    assert message in done.output


def test_a_second_answer_to_a_question_is_refused(tmp_path: Path) -> None:
    """One reader has one vote."""
    done = count_table(tmp_path, "ann,001.png,natural,left", "ann,001.png,natural,right")
    assert done.exit_code == 1
    assert "twice" in done.output


def count_table(folder: Path, *rows: str) -> Result:
    (folder / "key.json").write_text(json.dumps(KEY))
    (folder / "votes.csv").write_text("\n".join(["reader,sheet,question,choice", *rows]))
    return CliRunner().invoke(count, [str(folder / "key.json"), str(folder / "votes.csv")])


def test_empty_choices_are_no_votes(tmp_path: Path) -> None:
    """What a reader left out isn't counted; files without readers count as one each."""
    (tmp_path / "bob.csv").write_text(
        "reader,sheet,question,choice\n,001.png,natural,Left\n,002.png,natural,\n"
    )
    assert read_votes(tmp_path / "bob.csv") == [Vote("bob", "001.png", "natural", "left")]


def test_count_prints_the_share_of_ours_taken_for_the_real_one(tmp_path: Path) -> None:
    """For all readers and for each."""
    done = count_table(tmp_path, "ann,001.png,real,left", "bob,001.png,real,right")
    assert done.exit_code == 0
    assert "taken for the real one" in done.output
    assert [line.split()[0] for line in done.output.splitlines()[1:]] == ["all", "ann", "bob"]
    assert " 50.0%" in done.output.splitlines()[1]
