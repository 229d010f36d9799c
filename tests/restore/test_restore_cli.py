"""The command `restore`: files, folders, what is skipped, what fails, and what is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from photo_zoo import MODELS, draw_photo, read_with_pillow, write_pillow
from PIL import Image

from restore import RestoreSettings
from restore.cli import main


@pytest.fixture(scope="module")
def model() -> Path:
    """Weights of a small network that changes photographs."""
    return MODELS / "tiny.zip"


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs, in which the command is run."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "deep/c.tif"):
        write_pillow("RGB")(folder / name)
    (folder / "notes.txt").write_text("no photograph")
    (folder / ".hidden.jpg").write_bytes(b"")
    monkeypatch.chdir(folder)
    return folder


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.restored.*"))


def test_one_photo_is_written_beside(album: Path, model: Path) -> None:
    """`restore a.jpg` writes a.restored.jpg, prints its name and says which model it used."""
    result = _run("a.jpg", "--model", model)
    assert result.exit_code == 0, result.output
    assert result.stdout == "a.restored.jpg\n"
    assert "model: tiny" in result.stderr
    assert read_with_pillow(Path("a.restored.jpg")).size == read_with_pillow(Path("a.jpg")).size


def test_output_suffix_decides_the_format(album: Path, model: Path) -> None:
    """-o names the file, its suffix the format."""
    assert _run("a.jpg", "--model", model, "-o", "x.png").exit_code == 0
    with Image.open("x.png") as image:
        assert image.format == "PNG"


def test_folder_is_restored_flat_or_deep(album: Path, model: Path) -> None:
    """A folder's photographs, and with --recursive those in its folders; nothing twice."""
    assert _run(".", "a.jpg", "--model", model).exit_code == 0
    assert _names(album) == ["a.restored.jpg", "b.restored.png"]
    result = _run(".", "--recursive", "--model", model, "--json")
    status = {r["photo"]: r["status"] for r in map(json.loads, result.stdout.splitlines())}
    assert status == {"a.jpg": "skipped", "b.png": "skipped", "deep/c.tif": "restored"}


def test_output_folder_repeats_folders(album: Path, model: Path) -> None:
    """The folder that -o names is made, and not searched for photographs."""
    for _ in range(2):
        assert _run(".", "--recursive", "--model", model, "-o", "out").exit_code == 0
    assert _names(album / "out") == ["a.restored.jpg", "b.restored.png", "deep/c.restored.tif"]


@pytest.mark.parametrize("exists", [True, False])
def test_output_may_be_a_folder_for_one_photo(album: Path, model: Path, exists: bool) -> None:
    """A folder that exists, or a name without a suffix, takes the photograph under its name."""
    if exists:
        Path("new.prints").mkdir()
    folder = "new.prints" if exists else "prints"
    assert _run("a.jpg", "--model", model, "-o", folder).exit_code == 0
    assert _names(album / folder) == ["a.restored.jpg"]


def test_old_options_go_on_working(album: Path, model: Path) -> None:
    """--out-dir and --damage of version 0.1 do what -o and --repair do, and aren't shown."""
    off = ["--denoise", "0", "--tone", "0", "--color", "0", "--model", str(model)]
    assert _run("a.jpg", "--damage", "0.5", *off, "--out-dir", "old").exit_code == 0
    assert _run("a.jpg", "--repair", "0.5", *off, "-o", "new").exit_code == 0
    old, new = (read_with_pillow(Path(f, "a.restored.jpg")) for f in ("old", "new"))
    assert np.array_equal(np.asarray(old), np.asarray(new))
    shown = _run("--help").output
    assert "--damage" not in shown
    assert "--out-dir" not in shown


def test_pattern_is_expanded(album: Path, model: Path) -> None:
    """Patterns that the shell left alone are understood."""
    result = _run("*.[jp]*g", "--model", model)
    assert result.stdout.splitlines() == ["a.restored.jpg", "b.restored.png"]


def test_done_photos_are_skipped_unless_forced(album: Path, model: Path) -> None:
    """A second run does nothing, and loads no model; --force does it again."""
    assert _run("a.jpg", "b.png", "--model", model).exit_code == 0
    before = Path("a.restored.jpg").stat().st_mtime_ns
    again = _run("a.jpg", "b.png", "a.restored.jpg", "--model", model)
    assert "model:" not in again.stderr
    assert again.exit_code == 0
    assert again.stdout == ""
    assert "0 restored, 3 skipped, 0 failed" in again.stderr
    assert Path("a.restored.jpg").stat().st_mtime_ns == before
    assert _run("a.jpg", "--model", model, "--force").exit_code == 0
    assert Path("a.restored.jpg").stat().st_mtime_ns > before


def test_named_output_is_not_overwritten(album: Path, model: Path) -> None:
    """-o on a file that is there is an error without --force."""
    result = _run("a.jpg", "--model", model, "-o", "b.png")
    assert result.exit_code == 1
    assert "b.png: exists; --force overwrites it" in result.stderr
    assert _run("a.jpg", "--model", model, "-o", "b.png", "--force").exit_code == 0


def test_one_bad_photo_stops_nothing(album: Path, model: Path) -> None:
    """The others are restored, the bad ones named at the end, the exit status is 1."""
    Path("bad.jpg").write_bytes(Path("a.jpg").read_bytes()[:400])
    result = _run("bad.jpg", "missing.jpg", "a.jpg", "--model", model)
    assert result.exit_code == 1
    assert result.stdout == "a.restored.jpg\n"
    end = result.stderr[result.stderr.index("Error: 2 photographs failed") :]
    assert "bad.jpg: damaged" in end
    assert "missing.jpg: no such file" in end
    assert _names(album) == ["a.restored.jpg"]


def test_json_is_one_line_per_photo(album: Path, model: Path) -> None:
    """Restored, skipped or failed, each photograph is one line."""
    Path("bad.jpg").write_bytes(b"nothing")
    result = _run("a.jpg", "bad.jpg", "--json", "--model", model)
    good, bad = sorted(map(json.loads, result.stdout.splitlines()), key=lambda r: r["photo"])
    assert good["status"] == "restored"
    assert (good["model"], good["device"], good["depth_bits"]) == ("tiny", "cpu", 8)
    assert (good["width"], good["height"]) == read_with_pillow(Path("a.jpg")).size
    assert bad["status"] == "failed"
    assert "bad.jpg" in bad["error"]


def test_compare_and_marks_are_written(album: Path, model: Path) -> None:
    """--compare shows before and after, --marks-out the damage, as large as the photograph."""
    assert _run("b.png", "--model", model, "--compare", "--marks-out", "m.png").exit_code == 0
    width, height = read_with_pillow(Path("b.png")).size
    with Image.open("m.png") as marks:
        assert (marks.mode, marks.size) == ("L", (width, height))
    with Image.open("b.restored.compare.jpg") as pair:
        assert pair.size[1] == height
        assert pair.size[0] >= 2 * width


def test_report_is_written_beside_the_photograph(album: Path, model: Path) -> None:
    """--report writes PHOTO.report.html and .json, and says so in --json; nothing without it."""
    assert _run("b.png", "--model", model).exit_code == 0
    assert not list(album.glob("*.report.*"))
    result = _run("a.jpg", "b.png", "--model", model, "--report", "--out-dir", "out", "--json")
    assert result.exit_code == 0, result.output
    lines = list(map(json.loads, result.stdout.splitlines()))
    assert sorted(p.name for p in Path("out").glob("*.report.*")) == [
        *("a.report.html", "a.report.json", "b.report.html", "b.report.json")
    ]
    numbers = json.loads(Path("out/b.report.json").read_text())
    assert (numbers["photo"], numbers["restored"]) == ("b.png", "b.restored.png")
    assert (numbers["width_px"], numbers["height_px"]) == read_with_pillow(Path("b.png")).size
    assert lines[1]["report"] == str(Path("out/b.report.html"))
    assert lines[1]["score"] == numbers["score"]
    assert lines[1]["num_flagged_regions"] == len(numbers["flagged_regions"])


def test_report_that_is_there_is_kept_unless_forced(album: Path, model: Path) -> None:
    """A report without its photograph is not overwritten; done photographs are skipped."""
    Path("x.report.json").write_text("mine")
    arguments = ("a.jpg", "--model", model, "--report", "-o", "x.png")
    result = _run(*arguments)
    assert result.exit_code == 1
    assert "x.report.json: exists; --force overwrites it" in result.stderr
    assert Path("x.report.json").read_text() == "mine"
    assert _run(*arguments, "--force").exit_code == 0
    assert json.loads(Path("x.report.json").read_text())["restored"] == "x.png"
    assert _run("b.png", "--model", model, "--report").exit_code == 0
    again = _run("b.png", "--report", "--model", model)
    assert again.exit_code == 0
    assert "done already" in again.stderr


def test_two_reports_for_one_place_are_refused(album: Path, model: Path) -> None:
    """a.jpg and a.png would both report to a.report.html."""
    write_pillow("RGB")(album / "a.png")
    result = _run("a.jpg", "a.png", "--model", model, "--report")
    assert result.exit_code == 1
    assert "a.report.html is written for another photograph already" in result.stderr
    assert _names(album) == ["a.restored.jpg"]


def test_photo_too_small_for_a_report_is_restored_and_named(album: Path, model: Path) -> None:
    """The restored photograph is there, the failed report makes the exit status 1."""
    Image.new("RGB", (40, 20), (90, 80, 70)).save("small.png")
    result = _run("small.png", "--model", model, "--report")
    assert result.exit_code == 1
    assert "small.png: 40 x 20 px is too small" in result.stderr
    assert _names(album) == ["small.restored.png"]


def test_marks_in_takes_a_painted_mask(album: Path, model: Path) -> None:
    """A mask of any size; with --marks-mode replace it comes back as the marks."""
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :15] = 255
    Image.fromarray(mask).save("mask.png")
    options = ("--marks-in", "mask.png", "--marks-mode", "replace", "--marks-out", "m.png")
    assert _run("b.png", "--model", model, *options).exit_code == 0
    marks = np.asarray(read_with_pillow(Path("m.png")))
    assert (marks[:, :30] == 255).all()
    assert (marks[:, -30:] == 0).all()


def test_masks_for_several_photos_lie_in_folders(album: Path, model: Path) -> None:
    """--marks-out and --marks-in name folders where there are several photographs."""
    result = _run("a.jpg", "b.png", "--model", model, "--marks-out", "masks")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in Path("masks").iterdir()) == ["a.marks.png", "b.marks.png"]
    again = _run("a.jpg", "b.png", "--model", model, "--marks-in", "masks", "--out-dir", "out")
    assert again.exit_code == 0, again.output


def test_zero_strength_copies_the_file(album: Path, model: Path) -> None:
    """Nothing to change: the very bytes."""
    assert _run("a.jpg", "--model", model, "--strength", "0").exit_code == 0
    assert Path("a.restored.jpg").read_bytes() == Path("a.jpg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["a.jpg", "b.png", "-o", "x.png"],
            "for several name a folder, as in -o x",
        ),
        (["a.jpg", "-o", "x.png", "--out-dir", "out"], "give -o once"),
        (["a.jpg", "--strength", "1.5"], "0<=x<=1"),
        (["a.jpg", "--device", "abacus"], "abacus"),
        (["a.jpg", "--model", "nowhere"], "does not exist"),
        ([], "Missing argument"),
    ],
)
def test_bad_options_are_usage_errors(album: Path, arguments: list[str], reason: str) -> None:
    """Exit status 2."""
    result = _run(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a.jpg", "--model", "b.png"], "not a file of weights"),
        (["empty"], "no photographs in this folder"),
        (["*.xyz"], "no photograph has such a name"),
        (["a.jpg", "-o", "x.bmp"], "can't write .bmp"),
        (["notes.txt"], "not a photograph in a known format"),
    ],
)
def test_other_errors_are_one_line(
    album: Path, model: Path, arguments: list[str], reason: str
) -> None:
    """Exit status 1, one line, nothing written."""
    Path("empty").mkdir()
    if "--model" not in arguments:
        arguments = [*arguments, "--model", str(model)]
    result = _run(*arguments)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) <= 2
    assert reason in result.stderr
    assert _names(album) == []


def test_two_photos_for_one_place_are_refused(album: Path, model: Path) -> None:
    """The second isn't written over the first."""
    write_pillow("RGB")(album / "deep" / "a.jpg")
    result = _run("a.jpg", "deep/a.jpg", "--out-dir", "out", "--model", model)
    assert result.exit_code == 1
    assert "is written for another photograph already" in result.stderr


def test_photo_in_16_bit_is_restored_in_16_bit(album: Path, model: Path) -> None:
    """From the command line, too."""
    import tifffile

    tifffile.imwrite("deep16.tif", draw_photo(deep=True), photometric="rgb", metadata=None)
    assert _run("deep16.tif", "--model", model).exit_code == 0
    assert tifffile.imread("deep16.restored.tif").dtype == np.uint16


def test_help_imports_no_torch() -> None:
    """--help answers at once, without the heavy packages."""
    code = (
        "import sys; sys.modules['torch'] = sys.modules['albumentations'] = None\n"
        "from restore.cli import main\nmain(['--help'])"
    )
    env = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "--marks-in" in done.stdout


def test_docs_name_every_option_and_no_other() -> None:
    """docs/restore.md and the live command agree."""
    text = (Path(__file__).parents[2] / "docs" / "restore.md").read_text()
    named = set(re.findall(r"--[a-z][a-z-]+", text))
    live = {
        option
        for parameter in main.params
        for option in parameter.opts
        if "--" in option and not getattr(parameter, "hidden", False)
    }
    assert live - named == {"--version"}
    assert named - live == {"--large", "--metadata"}  # of the benchmark and the fuzzer


def test_options_begin_as_the_settings_do() -> None:
    """What the command and Python do unasked is the same."""
    defaults = {p.name: p.default for p in main.params if isinstance(p, click.Option)}
    for name in ("strength", "denoise", "repair", "tone", "color", "regrain"):
        assert defaults[name] == getattr(RestoreSettings(), name), name
