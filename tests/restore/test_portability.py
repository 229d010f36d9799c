"""What Windows and macOS do otherwise, as far as it can be tried here."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import restore
from restore.cli.options import print_any_name
from restore.scan import private
from restore.scan.pictures import read_grey_picture, write_picture
from restore.scan.private import PrivateFolder

SOURCES = Path(restore.__file__).parent


def test_opencv_is_given_no_file_names() -> None:
    """On Windows it knows no names beyond the code page."""
    for file in SOURCES.rglob("*.py"):
        assert not re.search(r"cv2\.im(read|write)\(", file.read_text(encoding="utf-8")), file


def test_pictures_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Under any name; nothing, or something else, is None."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_picture(tmp_path / "Großmutter.png", grey)
    assert np.array_equal(read_grey_picture(tmp_path / "Großmutter.png"), grey)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    for name in ("absent.png", "empty.png", "text.png"):
        assert read_grey_picture(tmp_path / name) is None


def test_what_was_open_is_swept_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open files can't be removed on Windows: the folder is left so that it is known for ours."""
    remove = shutil.rmtree

    def remove_what_is_closed(folder: Path, ignore_errors: bool) -> None:
        (folder / "in-use").unlink()

    monkeypatch.setattr(private.shutil, "rmtree", remove_what_is_closed)
    folder = PrivateFolder(tmp_path)
    (folder.path / "rows").write_bytes(b"samples")
    folder.close()
    assert (folder.path / "rows").exists()
    monkeypatch.setattr(private.shutil, "rmtree", remove)
    PrivateFolder(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_every_name_can_be_printed_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """There, stdout has the code page of the country."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    print_any_name()
    print("Łódź.jpg", flush=True)
    content = written.getvalue()
    monkeypatch.undo()
    assert content.decode().strip() == "Łódź.jpg"


@pytest.mark.parametrize("command", [["a.jpg"], ["watch", "."], ["serve"]])
def test_missing_runtime_of_the_network_is_one_line(command: list[str], tmp_path: Path) -> None:
    """As on a Windows without Visual C++'s libraries."""
    (tmp_path / "a.jpg").touch()
    code = "import sys; sys.modules['onnxruntime'] = None; from restore.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "vc_redist" in done.stderr
