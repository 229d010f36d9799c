"""`serve` and `watch` are commands as the first word, and names of photographs elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from photo_zoo import MODELS, write_pillow

from restore.cli import main


@pytest.mark.parametrize("word", ["serve", "watch"])
def test_word_names_a_command_only_where_it_is_first(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """./serve is a photograph, and so is serve after an option."""
    monkeypatch.chdir(tmp_path)
    write_pillow("RGB")(tmp_path / "a.png")
    (tmp_path / "a.png").rename(word)
    runner = CliRunner()
    help_text = runner.invoke(main, [word, "--help"]).output
    assert f"{word} [OPTIONS]" in help_text
    for arguments in ([f"./{word}", "-o", "x.png"], ["-o", "y.png", word]):
        result = runner.invoke(main, [*arguments, "--model", str(MODELS / "tiny.zip")])
        assert result.exit_code == 0, result.output


def test_help_names_all_three() -> None:
    """In one place."""
    text = CliRunner().invoke(main, ["--help"]).output
    assert "PHOTOS" in text
    assert "restore serve" in text
    assert "restore watch" in text
    assert "./serve is a photograph" in text


@pytest.mark.parametrize("word", ["serve", "watch"])
def test_help_of_words_imports_nothing_heavy(word: str) -> None:
    """Neither what computes nor what serves."""
    code = f"""
import sys
for name in ("numpy", "cv2", "pyvips", "onnxruntime", "starlette", "uvicorn", "watchfiles"):
    sys.modules[name] = None
from restore.cli import main
main(["{word}", "--help"])
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("word", "missing"), [("serve", "starlette"), ("watch", "watchfiles")])
def test_missing_extra_is_one_line(word: str, missing: str, tmp_path: Path) -> None:
    """It says what to install."""
    code = f"""
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "{missing}" else found(name, *rest)
from restore.cli import main
main(["{word}", {str(tmp_path)!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'pip install ".[web]"' in done.stderr


def test_taken_port_is_one_line() -> None:
    """It names --port."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = ["serve", "--no-browser", "--port", str(taken.getsockname()[1])]
        result = CliRunner().invoke(main, [*arguments, "--model", str(MODELS / "tiny.zip")])
    assert result.exit_code == 1
    assert "choose another with --port" in result.stderr


@pytest.mark.parametrize("text", ["5,5", "5,5=red", "5%,5=#123456"])
def test_wrong_hint_is_a_usage_error(text: str, tmp_path: Path) -> None:
    """Exit status 2, saying how one is written."""
    write_pillow("RGB")(tmp_path / "a.png")
    result = CliRunner().invoke(main, [str(tmp_path / "a.png"), "--color-at", text])
    assert result.exit_code == 2
    assert "#7a4b2c" in result.stderr


def test_hint_that_weights_cannot_take_is_one_line(tmp_path: Path) -> None:
    """Nothing is coloured by other means."""
    write_pillow("RGB")(tmp_path / "a.png")
    arguments = [str(tmp_path / "a.png"), "--color-at", "50%,50%=#7a4b2c"]
    result = CliRunner().invoke(main, [*arguments, "--model", str(MODELS / "tiny.zip")])
    assert result.exit_code == 1
    assert "can't take hints of colour" in result.stderr
    assert not (tmp_path / "a.restored.png").exists()
