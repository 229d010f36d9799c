"""Batches tell the truth: what is done, what failed, what was passed over; and they end cleanly."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from photo_zoo import MODELS, draw_photo, write_pillow
from PIL import Image

from restore.album.job import read_mask
from restore.cli import main
from restore.errors import PhotoError
from restore.hints import Hint, write_hints
from restore.scan.metadata.read import read_metadata
from restore.scan.photo import Photo
from restore.scan.private import PREFIX, PrivateFolder
from restore.scan.provenance import read_origin

IDENTITY = ("--model", str(MODELS / "identity.zip"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command is run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: object, model: tuple[str, ...] = IDENTITY) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments), *model])


def _photo(path: Path | str, shade: int = 0, **options: Any) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_photo() // 2 + shade).save(path, **options)
    return path


def test_name_too_long_fails_by_itself(folder: Path) -> None:
    """A photograph whose result's name would be too long stops no other."""
    for name in ("a.jpg", "z.jpg", "x" * 249 + ".jpg"):
        _photo(name)
    result = _run(folder)
    assert result.exit_code == 1
    assert len(list(folder.glob("[az].restored.jpg"))) == 2
    assert "1 photograph failed" in result.stderr
    assert "the name is too long" in result.stderr


@pytest.mark.parametrize("arguments", [["x" * 300], ["a.jpg", "-o", "x" * 300 + ".jpg"]])
def test_impossible_name_is_one_line(arguments: list[str], folder: Path) -> None:
    """Of the photograph, or of the result."""
    _photo("a.jpg")
    result = _run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].count("the name is too long") == 1
    assert isinstance(result.exception, SystemExit)


def test_long_side_results_fail_by_themselves(folder: Path) -> None:
    """So does the name of a comparison that would be too long, before anything is restored."""
    long = "x" * 240
    _photo("a.jpg")
    _photo(f"{long}.jpg")
    result = _run(folder, "--compare")
    assert result.exit_code == 1
    assert f"{long}.restored.compare.jpg: the name is too long" in result.stderr
    assert len(list(folder.glob("*.restored.jpg"))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("place", ["folder", "file", "output"])
def test_names_that_are_not_utf8_are_restored(place: str, folder: Path) -> None:
    """Folders and files of old disks, and folders to write to."""
    odd = os.fsdecode(b"caf\xe9")
    photo = {"folder": f"{odd}/in.tif", "file": f"{odd}.tif", "output": "in.tif"}[place]
    _photo(photo), _photo("z.jpg")
    out = ["-o", odd] if place == "output" else []
    command = [sys.executable, "-m", "restore", ".", "--recursive", *out, *IDENTITY]
    done = subprocess.run([*command, "--marks-out", odd + "m"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"caf\xe9" in done.stdout
    assert len(list(folder.rglob("*.restored.*"))) == 2


def test_unreadable_folder_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails by itself; what can be read is restored; the exit status is 1."""
    _photo("sub/a.jpg"), _photo("ok/b.jpg")
    scan = os.scandir

    def scan_most(path: Any = ".") -> Any:
        if str(path).endswith("sub"):  # root may read everything, so pretend
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_most)
    result = _run(".", "--recursive", "--json")
    assert result.exit_code == 1
    assert "sub: no permission to read it" in result.stderr
    found = {r["photo"]: r["status"] for r in map(json.loads, result.stdout.splitlines())}
    assert found == {"sub": "failed", "ok/b.jpg": "restored"}


def test_result_of_another_photo_is_not_done(folder: Path) -> None:
    """Two photographs of one name in two folders: the second is not called done."""
    _photo("f1/scan.jpg"), _photo("f2/scan.jpg", shade=9)
    assert _run("f1", "-o", "out").exit_code == 0
    result = _run("f2", "-o", "out")
    assert result.exit_code == 1
    assert "is of another photograph" in result.stderr
    assert _run("f1", "-o", "out").exit_code == 0  # this one is done


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--strength", "0.5"], "other settings (strength 1.0, not 0.5)"),
        (["--no-colorize"], "other settings (colorize True, not False)"),
        (["--marks-in", "mask.png"], "other marks"),
        (["--compare"], "a.restored.compare.jpg isn't there"),
    ],
)
def test_other_settings_are_not_done(options: list[str], reason: str, folder: Path) -> None:
    """What would come out otherwise now isn't called done; a line says what differs."""
    _photo("a.png"), _photo("mask.png")
    assert _run("a.png").exit_code == 0
    assert _run("a.png").exit_code == 0
    result = _run("a.png", *options)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert _run("a.png", *options, "--force").exit_code == 0
    assert _run("a.png", *options).exit_code == 0


def test_other_weights_are_not_done(folder: Path) -> None:
    """Weights are told by their content."""
    _photo("a.png")
    assert _run("a.png").exit_code == 0
    result = _run("a.png", model=("--model", str(MODELS / "tiny.zip")))
    assert result.exit_code == 1
    assert "other weights (identity)" in result.stderr
    shutil.copy(MODELS / "identity.zip", "renamed.zip")
    assert _run("a.png", model=("--model", "renamed.zip")).exit_code == 0


def test_result_without_provenance_is_never_done(folder: Path) -> None:
    """Not even one that would come out the same."""
    _photo("a.png")
    assert _run("a.png", "--no-provenance").exit_code == 0
    result = _run("a.png", "--no-provenance")
    assert result.exit_code == 1
    assert "doesn't say what it was made of" in result.stderr


def test_copy_is_done_if_it_is_the_same(folder: Path) -> None:
    """With --strength 0 the result is a copy, and must still be one."""
    photo = _photo("a.jpg")
    assert _run("a.jpg", "--strength", "0").exit_code == 0
    assert _run("a.jpg", "--strength", "0").exit_code == 0
    photo.write_bytes(photo.read_bytes() + b"\0")
    assert _run("a.jpg", "--strength", "0").exit_code == 1


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "b.png", "--marks-out", "a.png"],
        ["-o", "b.png", "--marks-in", "mask.png", "--marks-out", "mask.png"],
        ["-o", "b.png", "--marks-out", "b.png"],
        ["-o", "b.jpg", "--compare", "--marks-out", "../here/b.compare.jpg"],
    ],
)
def test_nothing_is_overwritten_that_is_read_or_written(options: list[str], folder: Path) -> None:
    """Not even with --force: marks over the photograph, over the mask, over the result."""
    here = folder / "here"
    here.mkdir()
    os.chdir(here)
    _photo("a.png"), _photo("mask.png")
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert _run("a.png", *options, "--force").exit_code == 1
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_comparison_never_takes_the_place_of_a_photograph(folder: Path) -> None:
    """Of one restored in the same run."""
    photo = _photo("a.restored.compare.jpg")
    before = photo.read_bytes()
    Path("x.compare.jpg").symlink_to("x.jpg")
    _photo("x.jpg")
    assert _run("x.jpg", "-o", "x.png", "--compare", "--force").exit_code == 1
    assert Path("x.jpg").exists()
    assert photo.read_bytes() == before


def test_side_results_of_one_run_do_not_clash(folder: Path) -> None:
    """Masks repeat the folders; two comparisons of one name fail before anything is restored."""
    _photo("al/1/a.png"), _photo("al/2/a.png", 99)
    _photo("masks/2/a.marks.png")
    assert _run("al", "--recursive", "-o", "out", "--marks-out", "found").exit_code == 0
    assert sorted(str(p.relative_to("found")) for p in Path("found").rglob("*.png")) == [
        *("1/a.marks.png", "2/a.marks.png")
    ]
    result = _run("al", "--recursive", "-o", "with", "--marks-in", "masks", "--json")
    marks = [
        read_origin(read_metadata(Path("with", name, "a.restored.png")).xmp) for name in ("1", "2")
    ]
    assert result.exit_code == 0
    assert ["marks" in origin.inputs for origin in marks if origin is not None] == [False, True]
    _photo("b.jpg"), _photo("b.png")
    result = _run("b.jpg", "b.png", "--compare")
    assert result.exit_code == 1
    assert "b.restored.compare.jpg is written for another photograph already" in result.stderr
    assert len(list(folder.glob("b.restored.*"))) == 2


def test_hints_that_are_given_again_are_done(folder: Path) -> None:
    """By --color-at and by --hints, several of them."""
    _photo("a.jpg")
    places = ["--color-at", "3,4=#2f6b3c", "--color-at", "50%,60%=#a8c4e0"]
    write_hints((Hint(3, 4, (47, 107, 60)),), Path("h.json"), width=200, height=100)
    for options in (places, [*places, "--hints", "h.json"]):
        output = f"out{len(options)}"
        for word in ("1 restored", "1 skipped"):
            result = _run(folder / "a.jpg", "-o", output, *options, model=())
            assert result.exit_code == 0, result.stderr
            done = len(list(Path(output).iterdir()))
            assert done == 1
            assert ("done already" in result.stderr) == (word == "1 skipped")


def test_all_pages_that_are_not_to_change_are_copied(folder: Path) -> None:
    """With --strength 0 the whole file, not its first page so often."""
    pages = [Image.fromarray(draw_photo() // 2 + shade) for shade in (0, 40, 80)]
    pages[0].save("a.tif", save_all=True, append_images=pages[1:])
    assert _run("a.tif", "--pages", "all", "--strength", "0").exit_code == 0
    assert Path("a.restored.tif").read_bytes() == Path("a.tif").read_bytes()


def test_original_keeps_its_own_sidecar(folder: Path) -> None:
    """Where the result's would have the same name, it is named after the whole result."""
    _photo("a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    Path("a.xmp").write_text(packet)
    assert _run("a.jpg", "-o", "a.png").exit_code == 0
    assert Path("a.xmp").read_text() == packet
    assert 'tiff:Orientation="1"' in Path("a.png.xmp").read_text()


def test_mask_may_be_nearly_all_black(folder: Path) -> None:
    """Large, and of few bytes: no decompression bomb, as a photograph would be."""
    mask = np.zeros((7200, 7200), np.uint8)
    mask[100:200, 100:200] = 255
    Image.fromarray(mask).save("m.png")
    assert Path("m.png").stat().st_size * 500 < mask.size
    assert read_mask(Path("m.png")).sum() == mask.sum()
    with pytest.raises(PhotoError, match="decompression bomb"):
        Photo(Path("m.png"))


def test_history_says_what_the_result_was_made_of(folder: Path) -> None:
    """Digests of photograph and weights, model and settings; the last entry counts."""
    photo = _photo("a.jpg")
    assert _run("a.jpg", "--tone", "0.5", "-o", "b.jpg").exit_code == 0
    origin = read_origin(read_metadata(Path("b.jpg")).xmp)
    assert origin is not None
    assert origin.settings["tone"] == "0.5"
    assert origin.model == "identity"
    done = subprocess.run(["sha256sum", photo], capture_output=True, text=True, check=True)
    assert origin.inputs["photograph"] == "sha256:" + done.stdout.split()[0]
    assert len(origin.inputs["weights"]) == len("sha256:") + 64


def test_what_is_passed_over_is_counted(folder: Path) -> None:
    """Other formats, hidden files, results and folders, each with its number."""
    _photo("a.jpg"), _photo("deep/b.jpg")
    for name in ("x.psd", "y.psd", "z.mov", ".hidden.jpg", "a.xmp"):
        Path(name).write_bytes(b"")
    assert _run(".").exit_code == 0
    line = next(line for line in _run(".").stderr.splitlines() if "passed over" in line)
    for part in ("3 files", "2 .psd", "1 .mov", "1 written by restore"):
        assert part in line
    assert "1 folder (--recursive" in line


def test_clash_that_appears_meanwhile_is_not_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where names differ by case only, or something is written beside us."""
    _photo("a.jpg"), _photo("b.jpg")
    from restore.album import batch

    before = batch.run_job

    def run(restorer: Any, job: Any, settings: Any) -> Any:
        Path("b.restored.jpg").write_bytes(b"mine")
        return before(restorer, job, settings)

    monkeypatch.setattr("restore.album.batch.run_job", run)
    result = _run("a.jpg", "b.jpg")
    assert result.exit_code == 1
    assert "appeared meanwhile" in result.stderr
    assert Path("b.restored.jpg").read_bytes() == b"mine"


_SLEEPER = """
import sys, time
from restore.album import job
before = job.encode
def encode(*a, **k):
    print("encoding", flush=True)
    for _ in range(600):
        time.sleep(0.1)
    return before(*a, **k)
job.encode = encode
from restore.cli import main
main()
"""


def _start_sleeper(folder: Path, photo: str = "a.jpg") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _SLEEPER, str(folder / photo), *IDENTITY]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "encoding\n", child.communicate()
    return child


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signal_leaves_nothing(name: str, folder: Path) -> None:
    """A process that is told to end removes its private folder first."""
    _photo("a.jpg")
    child = _start_sleeper(folder)
    assert list(folder.glob(".restore-*"))
    child.send_signal(getattr(signal, name))
    child.communicate(timeout=20)
    assert child.returncode not in (0, -getattr(signal, name))
    assert [path.name for path in folder.iterdir()] == ["a.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="kills otherwise")
def test_folders_of_killed_processes_are_swept(folder: Path) -> None:
    """The next run removes what a killed one left; what a living one uses stays."""
    _photo("a.jpg"), _photo("b.jpg"), _photo("c.jpg")
    killed = _start_sleeper(folder, "a.jpg")
    killed.kill()
    killed.communicate()
    (dead,) = folder.glob(PREFIX + "*")
    living = _start_sleeper(folder, "b.jpg")
    assert not dead.exists()
    (alive,) = folder.glob(PREFIX + "*")
    try:
        assert _run("c.jpg").exit_code == 0
        assert list(folder.glob(PREFIX + "*")) == [alive]
    finally:
        living.kill()
        living.communicate()


def test_folders_that_are_not_ours_are_never_swept(folder: Path) -> None:
    """Ours are of a random name and locked; of those without a lock only old, empty ones go."""
    kept = [f"{PREFIX}points", f"{PREFIX}new_new_", f"{PREFIX}full_old", f"{PREFIX}serve-abcdefgh"]
    for name in (*kept, f"{PREFIX}old_old_"):
        place = folder / name
        place.mkdir()
        if not name.endswith("_"):
            (place / "photo.jpg").write_bytes(b"x")
        if not name.endswith("new_"):
            os.utime(place, (time.time() - 2 * 24 * 3600,) * 2)
    locked = folder / f"{PREFIX}holidays"
    locked.mkdir()
    (locked / "in-use").touch()  # our lock, but no name of ours
    locked.rename(folder / f"{PREFIX}my-holidays")
    PrivateFolder(folder).close()
    assert {path.name for path in folder.iterdir()} == {*kept, f"{PREFIX}my-holidays"}
    dead = PrivateFolder(folder, "restore-serve-")
    os.close(dead._lock)
    alive = PrivateFolder(folder, "restore-serve-")
    assert not dead.path.exists()
    dead._lock = None
    dead.close()
    PrivateFolder(folder, "restore-serve-").close()
    assert alive.path.exists()
    alive.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_full_disk_is_blamed_not_the_photo(
    suffix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the place and the cause; nothing is left behind."""
    _photo("a.png"), (folder / "out").mkdir()

    def lay_trap(path: Path | str | bytes) -> None:
        os.symlink(b"/dev/full", path if isinstance(path, bytes) else os.fsencode(path))

    from restore.scan import output

    save = output._save

    def save_full(image: Any, path: bytes, *rest: Any) -> None:
        lay_trap(path)
        lay_trap(Path(os.fsdecode(path)).with_name("probe"))
        save(image, path, *rest)

    monkeypatch.setattr(output, "_save", save_full)
    result = _run("a.png", "-o", f"out/a{suffix}")
    assert result.exit_code == 1
    assert f"Error: out/a{suffix}: can't be written: No space left on device" in result.stderr
    assert "damaged" not in result.stderr
    assert list((folder / "out").iterdir()) == []


def test_error_in_json_names_the_place(folder: Path) -> None:
    """--json says the same."""
    _photo("a.png")
    result = _run("a.png", "-o", "nowhere/out.png", "--json")
    assert json.loads(result.stdout)["error"].startswith("nowhere/out.png: can't be written")


def test_second_name_for_one_file_is_done_once(folder: Path) -> None:
    """A photograph that is named twice is restored once."""
    write_pillow("RGB")(Path("a.png"))
    result = _run("a.png", folder / "a.png", ".", "./a.png")
    assert result.exit_code == 0
    assert result.stdout == "a.restored.png\n"
