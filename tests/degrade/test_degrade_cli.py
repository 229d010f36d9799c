import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from store_photos import encode, fill_folder, paint_photo, run_degrade

from degrade.recipe import decode_recipe

COMMANDS = ("build", "photo", "textures", "show", "stats", "verify", "profiles")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of four photographs."""
    return fill_folder(tmp_path / "photos", 4)


def _expect_error(done: subprocess.CompletedProcess[str], status: int, words: str) -> None:
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if status == 1:
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_of_degrade_imports_neither_torch_nor_albumentations(command: str) -> None:
    """Nor anything else of weight."""
    script = f"""
import sys
blocked = ("torch", "torchvision", "fastai", "albumentations", "restore", "train", "cv2", "lmdb")
for name in (*blocked, "dask", "distributed"):
    sys.modules[name] = None
from degrade.cli import main
main({[*command.split(), "--help"]!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")
    assert "\\b" not in done.stdout  # click's mark for text that isn't to be wrapped


def test_degrade_works_without_torch_and_albumentations(photos: Path, tmp_path: Path) -> None:
    """A build, its workers too, with the forbidden packages blocked."""
    blocked = ("torch", "torchvision", "fastai", "albumentations", "restore", "train")
    blocked += ("dask", "distributed")
    (tmp_path / "block").mkdir()
    for name in blocked:
        (tmp_path / "block" / f"{name}.py").write_text("raise ImportError('blocked')")
    arguments = ["build", str(photos), str(tmp_path / "pairs"), "--seed", "1", "--size", "48"]
    arguments += ["--workers", "2", "--shard-size", "1"]
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path / "block")!r})
from degrade.cli import main
if __name__ == "__main__":
    main({arguments!r})
"""
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pairs to train on" in done.stdout


def test_build_reports_on_stdout_and_is_quiet_otherwise(photos: Path, tmp_path: Path) -> None:
    """No progress where stderr is no terminal."""
    done = run_degrade(
        "build", photos, tmp_path / "pairs", "--seed", 1, "--size", 48, "--val-frac", 0
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'pairs'}: 4 pairs to train on, 0 to validate with\n"


def test_build_with_a_broken_photograph_is_finished_but_fails(photos: Path, tmp_path: Path) -> None:
    """It is counted and skipped; the status says that something was."""
    (photos / "broken.jpg").write_bytes(b"rubbish")
    out = tmp_path / "pairs"
    done = run_degrade("build", photos, out, "--seed", 1, "--size", 48)
    _expect_error(done, 1, "the build is whole, but 1 photographs could not be read or decoded")
    assert "left out: 1 undecodable" in done.stdout
    assert (out / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{tmp}/missing", "{tmp}/pairs"), "no such file or folder"),
        (("{tmp}/empty", "{tmp}/pairs"), "holds no photographs"),
        (("{tmp}/photos/0000.jpg", "{tmp}/pairs"), "neither a folder nor an LMDB file"),
        (("{tmp}/photos", "{tmp}/photos/0000.jpg"), "a file; name a folder"),
        (("{tmp}/photos", "{tmp}/photos"), "not empty"),
        (("{tmp}/photos", "/proc/pairs"), "cannot be written"),
        (("{tmp}/photos", "{tmp}/pairs", "--profile", "nobody"), "no such profile"),
        (("{tmp}/photos", "{tmp}/pairs", "--textures", "{tmp}/empty"), "no textures"),
        (("{tmp}/photos", "{tmp}/pairs", "--size", "2000"), "none of 4 photographs can be used"),
    ],
)
def test_build_explains_what_is_wrong(
    photos: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """One line, status 1, and nothing half-written."""
    (tmp_path / "empty").mkdir()
    done = run_degrade("build", *(a.format(tmp=tmp_path) for a in arguments), "--seed", 1)
    _expect_error(done, 1, words)
    assert not (tmp_path / "pairs").exists()


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may read everything"
)
@pytest.mark.parametrize("folder", ["photos/sub", "photos/sub/inner"])
def test_build_blames_the_folder_that_cannot_be_read(tmp_path: Path, folder: str) -> None:
    """Not the output's, and nothing is left of that."""
    fill_folder(tmp_path / "photos" / "sub" / "inner", 1)
    locked = tmp_path / folder
    blamed = locked / "inner" if folder == "photos/sub" else locked
    locked.chmod(0o444 if folder == "photos/sub" else 0o000)
    command = [sys.executable, "-m", "degrade", "build", tmp_path / "photos", tmp_path / "pairs"]
    if os.geteuid() == 0:
        drop = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}", *command]
    done = subprocess.run(
        [*map(str, command), "--seed", "1"], capture_output=True, text=True, check=False
    )
    locked.chmod(0o755)
    _expect_error(done, 1, f"{blamed}: cannot be read: Permission denied")
    assert not (tmp_path / "pairs").exists()


def test_build_with_an_odd_name_is_finished_but_fails(photos: Path, tmp_path: Path) -> None:
    """It is counted; the status says that something was left out."""
    try:
        (photos / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done = run_degrade("build", photos, tmp_path / "pairs", "--seed", 1, "--size", 48)
    _expect_error(done, 1, "the build is whole, but 1 have keys or names that aren't UTF-8")
    assert "left out: 1 odd-key" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("build", "a", "b"),
        ("build", "a", "b", "--seed", "-1"),
        ("build", "a", "b", "--seed", "1", "--size", "0"),
        ("build", "a", "b", "--seed", "1", "--val-frac", "2"),
        ("build", "a", "b", "--seed", "1", "--crop", "round"),
        ("build", "a", "b", "--seed", "1", "--list", "no-such-file"),
        ("photo", "a.jpg", "-o", "b.jpg"),
        ("photo", "a.jpg", "-o", "b.gif", "--seed", "1"),
        ("photo", "a.jpg", "-o", "b.jpg", "--seed", "1", "--skip", "lunch"),
        ("verify", "a", "--rerender", "3"),
        ("show", "a", "-o", "b.txt"),
        ("nonsense",),
    ],
)
def test_wrong_options_exit_with_2(arguments: tuple[str, ...]) -> None:
    """Click's own status for bad usage."""
    _expect_error(run_degrade(*arguments), 2, "Usage: ")


@pytest.mark.parametrize("command", ["show", "stats", "verify"])
def test_looking_into_what_is_no_store_is_one_line(command: str, tmp_path: Path) -> None:
    """Missing folders and foreign ones."""
    _expect_error(run_degrade(command, tmp_path / "missing"), 1, "no such folder")
    _expect_error(run_degrade(command, tmp_path), 1, "not a pair store")


def test_photo_is_damaged_the_same_way_twice(tmp_path: Path) -> None:
    """Same photograph, same seed, same bytes; another seed, others."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode(paint_photo(1)))
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        out = tmp_path / f"{name}.jpg"
        options = ("--seed", seed, "--profile", "badly-damaged")
        assert run_degrade("photo", photo, "-o", out, *options).returncode == 0
    a, b, c = ((tmp_path / f"{name}.jpg").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    decoded = cv2.imdecode(np.frombuffer(a, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (90, 120, 3)


def test_photo_repeats_a_recipe_at_other_sizes(tmp_path: Path) -> None:
    """At its own size the bytes are equal; at another the size is what was asked for."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode(paint_photo(1)))
    recipe = tmp_path / "recipe.json"
    first, again, large = (tmp_path / f"{name}.png" for name in ("first", "again", "large"))
    assert not run_degrade(
        "photo", photo, "-o", first, "--seed", 5, "--size", 64, "--save-recipe", recipe
    ).returncode
    assert min(decode_recipe(recipe.read_bytes()).width_px, 64) == 64
    assert not run_degrade("photo", photo, "-o", again, "--recipe", recipe).returncode
    assert first.read_bytes() == again.read_bytes()
    assert not run_degrade("photo", photo, "-o", large, "--recipe", recipe, "--size", 96).returncode
    assert cv2.imread(str(large)).shape == (96, 128, 3)


def test_photo_of_another_shape_is_not_squeezed(tmp_path: Path) -> None:
    """A recipe of a whole photograph fits photographs of its shape."""
    wide, high, recipe, out = (tmp_path / n for n in ("w.png", "h.png", "r.json", "o.png"))
    cv2.imwrite(str(wide), np.full((64, 96, 3), 90, np.uint8))
    cv2.imwrite(str(high), np.full((96, 64, 3), 90, np.uint8))
    saved = ("--seed", 1, "--save-recipe", recipe)
    assert not run_degrade("photo", wide, "-o", tmp_path / "first.png", *saved).returncode
    done = run_degrade("photo", high, "-o", out, "--recipe", recipe)
    _expect_error(done, 1, "would be squeezed")
    assert not out.exists()


def test_photo_leaves_out_stages(tmp_path: Path) -> None:
    """With all of them left out, the photograph comes back as it was."""
    from degrade.damage.render import STAGES

    photo = tmp_path / "photo.png"
    photo.write_bytes(encode(paint_photo(1), ".png"))
    skip = [option for stage in STAGES for option in ("--skip", stage)]
    out = tmp_path / "same.png"
    done = run_degrade("photo", photo, "-o", out, "--seed", 5, *skip)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(cv2.imread(str(out)), cv2.imread(str(photo)))


def test_photo_explains_what_is_wrong(tmp_path: Path) -> None:
    """A missing photograph, one that is none, a recipe that is none, a file in the way."""
    photo, other = tmp_path / "photo.jpg", tmp_path / "other.jpg"
    photo.write_bytes(encode(paint_photo(1)))
    other.write_bytes(b"rubbish")
    out = ("-o", tmp_path / "out.jpg")
    _expect_error(
        run_degrade("photo", tmp_path / "no.jpg", *out, "--seed", 1), 1, "no.jpg: cannot be read"
    )
    _expect_error(run_degrade("photo", other, *out, "--seed", 1), 1, "other.jpg: not an image")
    _expect_error(run_degrade("photo", photo, *out, "--recipe", other), 1, "not a recipe")
    _expect_error(
        run_degrade("photo", photo, "-o", other, "--seed", 1), 1, "already exists; --force"
    )
    assert not (tmp_path / "out.jpg").exists()


def test_profiles_are_listed_and_printed() -> None:
    """Each with a line; one in full, as TOML."""
    listed = run_degrade("profiles")
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert {"family-album", "wet-plate", "original-2019"} <= set(names)
    assert "description" in run_degrade("profiles", "wet-plate").stdout
    _expect_error(run_degrade("profiles", "nobody"), 1, "no such profile")


def test_textures_refuse_to_overwrite(tmp_path: Path) -> None:
    """Neither what exists, nor by force what is no texture pack."""
    (tmp_path / "precious").mkdir()
    for force in ((), ("--force",)):
        done = run_degrade("textures", tmp_path / "precious", "--seed", 1, *force)
        assert done.returncode == 1
    assert (tmp_path / "precious").is_dir()
