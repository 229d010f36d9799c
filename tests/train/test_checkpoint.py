import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from restore.engine.model_file import ModelMetadata
from train.errors import CheckpointError
from train.network.checkpoint import (
    load_generator,
    read_info,
    save_generator,
)
from train.network.config import GeneratorConfig
from train.network.generator import Generator

SMALL = GeneratorConfig(
    widths=(8, 16), encoder_blocks=(1, 1), decoder_blocks=(1,), marks_width=8, tone_scale=0
)
METADATA = ModelMetadata(
    name="small",
    description="A test.",
    data={"size_px": 32, "profile": "default"},
    scores={"luma_psnr_db": 20.5, "marks_f1": 0.5},
    created="2026-01-31",
)


@pytest.fixture
def generator() -> Generator:
    """A small generator that isn't the identity."""
    torch.manual_seed(0)
    generator = Generator(SMALL)
    with torch.no_grad():
        generator.paint_out.weight.normal_(std=0.1)
    return generator


def test_checkpoint_brings_back_weights_and_metadata(tmp_path: Path, generator: Generator) -> None:
    """Stored as float32, everything comes back exactly, ready to restore."""
    path = tmp_path / "small.safetensors"
    save_generator(path, generator, METADATA, dtype=torch.float32)
    loaded, info = load_generator(path)
    assert info.config == loaded.config == SMALL
    assert info.metadata == METADATA == read_info(path).metadata
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    photo = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(loaded(photo)[0], generator(photo)[0], atol=1e-6, rtol=0)


def test_checkpoint_stores_half_precision_by_default(tmp_path: Path, generator: Generator) -> None:
    """The file takes two bytes a weight and loads as float32, close to what was saved."""
    path = tmp_path / "small.safetensors"
    save_generator(path, generator, METADATA)
    num = sum(p.numel() for p in generator.parameters())
    assert 2 * num < path.stat().st_size < 2 * num + 8000
    loaded, _ = load_generator(path)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    photo = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(loaded(photo)[0], generator(photo)[0], atol=2e-3, rtol=0)


def test_equal_weights_give_equal_bytes(tmp_path: Path, generator: Generator) -> None:
    """Saving twice writes the same file."""
    for name in ("a", "b"):
        save_generator(tmp_path / name, generator, METADATA)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_save_refuses_weights_that_are_not_finite(tmp_path: Path, generator: Generator) -> None:
    """A broken weight, or one beyond half precision, is named and nothing is written."""
    with torch.no_grad():
        generator.stem.bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"stem\.bias isn't finite as torch.float16"):
        save_generator(tmp_path / "a", generator, METADATA)
    assert list(tmp_path.iterdir()) == []


def test_failed_save_leaves_the_old_file(
    tmp_path: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that breaks off, on a full disk say, costs nothing that was there."""
    path = tmp_path / "small.safetensors"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        save_generator(path, generator, METADATA)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def test_save_killed_before_it_is_done_leaves_the_old_file(
    tmp_path: Path, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when all is written but not renamed, the old weights are there and load."""
    path = tmp_path / "small.safetensors"
    save_generator(path, generator, METADATA)
    before = path.read_bytes()

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(Killed):
        save_generator(path, Generator(SMALL), METADATA)
    assert path.read_bytes() == before
    load_generator(path)


def test_missing_folder_is_named(tmp_path: Path, generator: Generator) -> None:
    """Saving into a folder that isn't there says so."""
    with pytest.raises(CheckpointError, match="no/such"):
        save_generator(tmp_path / "no" / "such", generator, METADATA)


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path is answered with the path."""
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: no such file"):
        load_generator(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("content", [b"", b"a photograph, say", b"\xff" * 5000])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A file that isn't safetensors is refused in one line."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"photo\.jpg: not a weights file") as caught:
        load_generator(path)
    assert "\n" not in str(caught.value)


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no weights file."""
    with pytest.raises(CheckpointError, match="not a weights file"):
        load_generator(tmp_path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    """Weights of another project are refused."""
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="not of this project's network"):
        load_generator(path)


def test_cut_off_file_is_refused(tmp_path: Path, generator: Generator) -> None:
    """Half a download is refused."""
    path = tmp_path / "small.safetensors"
    save_generator(path, generator, METADATA)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="not a weights file"):
        load_generator(path)


def _rewrite(path: Path, old: str, new: str) -> None:
    """Change the metadata of a weights file."""
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = {key: text.replace(old, new) for key, text in file.metadata().items()}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    safetensors.torch.save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version":1', '"format_version":2', "format version 2"),
        ('"widths":[8,16]', '"widths":[8,24]', "don't fit its own configuration"),
        ('"widths":[8,16]', '"widths":[8]', "metadata can't be read"),
        ('"widths":[8,16]', '"widths":[8,999999999]', "metadata can't be read"),
        ('"widths":[8,16]', '"widths":"wide"', "metadata can't be read"),
        ('"marks_width":8', '"width":8', "metadata can't be read"),
        ('"scores":{', '"points":{', "metadata can't be read"),
        ('"format_version":1', '"format_version":', "metadata can't be read"),
    ],
)
def test_altered_metadata_is_refused(
    tmp_path: Path, generator: Generator, old: str, new: str, message: str
) -> None:
    """Another format version, or a configuration that isn't the weights', is refused."""
    path = tmp_path / "small.safetensors"
    save_generator(path, generator, METADATA)
    _rewrite(path, old, new)
    with pytest.raises(CheckpointError, match=message):
        load_generator(path)
