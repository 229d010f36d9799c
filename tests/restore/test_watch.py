"""`restore watch`: each photograph once, when it is complete; never our own results."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from photo_zoo import MODELS, draw_photo, write_pillow
from PIL import Image

from restore.album.watch import LEDGER_NAME, Plan, Watch
from restore.errors import PhotoError
from restore.settings import RestoreSettings

_ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def _png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw_photo()).save(file, "PNG")
    return file.getvalue()


@contextmanager
def _watching(folder: Path, *options: str, rescan: float = 0.3) -> Iterator[Path]:
    """The command, in a process of its own; yields the file that its stderr goes to."""
    said = folder.parent / "said.txt"
    command = [sys.executable, "-m", "restore", "watch", str(folder), "--settle", "0.4"]
    command += ["--rescan", str(rescan), "--model", str(MODELS / "tiny.zip"), *options]
    with said.open("w") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, text=True, env=_ENV
        )
        try:
            _wait(lambda: "watching" in said.read_text())
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


def _wait(is_so, seconds: float = 40) -> None:  # type: ignore[no-untyped-def]
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def _complete(watch: Watch, now: float) -> list[str]:
    return [path.name for path in watch.find_complete(now)]


def test_file_that_grows_is_waited_for(tmp_path: Path) -> None:
    """Complete is what hasn't changed for the time of settling, and isn't empty."""
    watch = Watch(Plan(folder=tmp_path, settle_s=2))
    content = _png()
    (tmp_path / "a.png").write_bytes(content[:100])
    (tmp_path / "empty.png").touch()
    assert _complete(watch, 0) == []
    (tmp_path / "a.png").write_bytes(content)
    assert _complete(watch, 3) == []
    assert _complete(watch, 4) == []
    assert _complete(watch, 5) == ["a.png"]


def test_half_a_file_is_tried_again_when_it_changes(tmp_path: Path) -> None:
    """A copy that stalled fails once, isn't tried in vain, and is taken when it is whole."""
    watch = Watch(Plan(folder=tmp_path, settle_s=0))
    (tmp_path / "a.png").write_bytes(_png()[:500])
    (photo,) = watch.find_complete(0)
    with pytest.raises(Exception, match="damaged"):
        watch.plan_job(photo, RestoreSettings())
    watch.note(photo, done=False)
    assert _complete(watch, 9) == []
    (tmp_path / "a.png").write_bytes(_png())
    assert _complete(watch, 10) == ["a.png"]
    assert watch.plan_job(photo, RestoreSettings()) is not None


def test_ledger_outlives_a_restart_and_a_moved_result(tmp_path: Path) -> None:
    """What was restored once isn't restored again, even if its result went elsewhere."""
    (tmp_path / "a.png").write_bytes(_png())
    watch = Watch(Plan(folder=tmp_path, settle_s=0))
    (photo,) = watch.find_complete(0)
    watch.note(photo, done=True)
    again = Watch(Plan(folder=tmp_path, settle_s=0))
    assert _complete(again, 0) == []
    (tmp_path / LEDGER_NAME).write_text("nonsense")
    assert _complete(Watch(Plan(folder=tmp_path, settle_s=0)), 0) == ["a.png"]


def test_photograph_whose_place_is_taken_waits_and_is_told(tmp_path: Path) -> None:
    """Another scan of the same name, or one that would be named the same, is never called done."""
    watch = Watch(Plan(folder=tmp_path, settle_s=0))
    write_pillow("P")(tmp_path / "a.gif")
    shutil.copy(tmp_path / "a.gif", tmp_path / "a.restored.png")  # says nothing of what it is of
    (photo,) = watch.find_complete(0)
    with pytest.raises(PhotoError, match=r"a\.restored\.png exists and [^\n]+"):
        watch.plan_job(photo, RestoreSettings())
    watch.note(photo, done=False)
    assert _complete(watch, 1) == []
    (tmp_path / "a.restored.png").unlink()
    assert _complete(watch, 2) == ["a.gif"]
    assert watch.plan_job(photo, RestoreSettings()) is not None


def test_own_results_are_no_input(tmp_path: Path) -> None:
    """Neither beside the photographs nor in a folder among them."""
    (tmp_path / "out").mkdir()
    for name in ("a.restored.png", "a.compare.jpg", "a.marks.png", ".hidden.png", "out/x.png"):
        (tmp_path / name).write_bytes(_png())
    plan = Plan(folder=tmp_path, output=tmp_path / "out", recursive=True, settle_s=0)
    assert _complete(Watch(plan), 0) == []


def test_lost_folder_is_told(tmp_path: Path) -> None:
    """A share that is gone is an error, not an empty folder."""
    with pytest.raises(OSError, match="gone"):
        list(Watch(Plan(folder=tmp_path / "gone")).find_complete(0))


@pytest.mark.slow
def test_scanner_is_followed(tmp_path: Path) -> None:
    """There before, dropped, copied slowly, renamed into place, in a burst: each once."""
    folder = tmp_path / "scans"
    folder.mkdir()
    write_pillow("RGB")(folder / "before.jpg")
    content = _png()
    with _watching(folder) as said:
        _wait((folder / "before.restored.jpg").exists)
        with (folder / "slow.png").open("wb") as slow:
            for start in range(0, len(content), len(content) // 5 + 1):
                slow.write(content[start : start + len(content) // 5 + 1])
                slow.flush()
                time.sleep(0.25)
        (folder / "saved.tmp").write_bytes(content)
        (folder / "saved.tmp").rename(folder / "saved.png")
        for i in range(6):
            (folder / f"burst{i}.png").write_bytes(content)
        names = ["slow", "saved", *(f"burst{i}" for i in range(6))]
        _wait(lambda: all((folder / f"{name}.restored.png").exists() for name in names))
        time.sleep(1.2)
    assert "failed" not in said.read_text()
    assert len(list(folder.glob("*.restored.*"))) == 9
    assert not list(folder.glob("*.restored.restored.*"))


@pytest.mark.slow
def test_share_that_comes_back_is_watched_again(tmp_path: Path) -> None:
    """The folder goes and comes: told once each, and photographs are found again."""
    folder = tmp_path / "scans"
    folder.mkdir()
    with _watching(folder, "-o", str(tmp_path / "out")) as said:
        shutil.move(folder, tmp_path / "away")
        _wait(lambda: "can't be read now" in said.read_text())
        time.sleep(1)
        (tmp_path / "away" / "a.png").write_bytes(_png())
        shutil.move(tmp_path / "away", folder)
        _wait((tmp_path / "out" / "a.restored.png").exists)
        _wait(lambda: "is there again" in said.read_text())
    assert said.read_text().count("can't be read now") == 1


@pytest.mark.slow
def test_restart_does_nothing_twice(tmp_path: Path) -> None:
    """And goes on where it was."""
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.png").write_bytes(_png())
    with _watching(folder):
        _wait((folder / LEDGER_NAME).exists)
    first = (folder / "a.restored.png").stat().st_mtime_ns
    (folder / "b.png").write_bytes(_png())
    with _watching(folder):
        _wait((folder / "b.restored.png").exists)
    assert (folder / "a.restored.png").stat().st_mtime_ns == first
