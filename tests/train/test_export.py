"""What `restore` is given: the same results as the generator's, in a file that repeats exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from write_models import MODELS, TINY, tiny_generator, write_models

from restore.engine import ModelMetadata, Network
from restore.engine.network import weigh_cells
from train.errors import CheckpointError
from train.network.checkpoint import load_generator, read_info, save_generator
from train.network.export import export_generator
from train.network.generator import Generator
from train.network.global_branch import adjust_by_grid

TONED = replace(TINY, global_px=64, tone_bins=8, stem_photos=2)


def lively_generator() -> Generator:
    """A small generator whose global branch changes much."""
    generator = tiny_generator(config=TONED)
    assert generator.global_branch is not None
    torch.manual_seed(1)
    with torch.no_grad():
        generator.global_branch.grid_out.weight.normal_(std=0.05)
        assert generator.global_branch.tally is not None
        generator.global_branch.tally.out.weight.normal_(std=0.02)
    return generator


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Generator, Path]:
    """It, and its file of weights in single precision."""
    generator = lively_generator()
    path = tmp_path_factory.mktemp("export") / "toned.zip"
    metadata = ModelMetadata("toned", data={"size_px": 32}, scores={"x": 0.5}, created="2026-01-31")
    export_generator(path, generator, metadata, precision="fp32")
    return generator, path


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (32, 160)])
def test_graphs_give_what_the_generator_gives(
    exported: tuple[Generator, Path], size: tuple[int, int]
) -> None:
    """At any size: grid, restored window and marks, to float noise."""
    generator, path = exported
    network = Network.load(path, "cpu", num_threads=1)
    photo = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None]
    with torch.inference_mode():
        grid = generator.find_grid(pixels)
        assert grid is not None
        expected, logits = generator.restore_locally(adjust_by_grid(pixels, grid), None, pixels)
    found = network.look(photo)
    np.testing.assert_allclose(found, grid[0].numpy(), atol=2e-4)
    assert np.abs(found).max() > 0.01
    place = (
        weigh_cells(np.arange(size[0]), size[0], found.shape[1]),
        weigh_cells(np.arange(size[1]), size[1], found.shape[2]),
    )
    restored, marks = network.repair(photo, grid[0].numpy(), place)
    np.testing.assert_allclose(restored, expected[0].permute(1, 2, 0).numpy(), atol=2e-4)
    true_marks = (torch.sigmoid(logits) * 1.1 - 0.05).clamp(0, 1)[0, 0].numpy()
    np.testing.assert_allclose(marks, true_marks, atol=2e-4)


def test_colour_graph_gives_what_the_network_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any size, with hints and without; specks are calmed afterwards only."""
    torch.manual_seed(0)
    generator = Generator(replace(TINY, color_encoder="lite0", color_px=64)).eval()
    color = generator.color_network
    assert color is not None
    with torch.no_grad():
        color.out.weight.normal_(std=0.3)
        for layer in (color.attend.out, color.attend_deep.out):
            layer.weight.normal_(std=0.1)
    export_generator(tmp_path / "c.zip", generator, ModelMetadata("c"), precision="fp32")
    network = Network.load(tmp_path / "c.zip", "cpu", num_threads=1)
    monkeypatch.setattr("restore.engine.network.calm_specks", lambda chroma, _: chroma)
    assert network.takes_hints
    assert not Network.load(MODELS / "tiny.zip", "cpu").takes_hints
    for size in ((64, 96), (96, 64)):
        luma = np.random.default_rng(0).random(size, dtype=np.float32)
        hints = np.zeros((*size, 3), np.float32)
        hints[10:20, 10:20] = (0.2, -0.1, 1)
        for given in (None, hints):
            x = torch.from_numpy(luma)[None, None]
            h = torch.from_numpy(hints if given is not None else 0 * hints).permute(2, 0, 1)[None]
            with torch.inference_mode():
                chroma = color(x, h)
                wide = torch.nn.functional.interpolate(chroma, scale_factor=2.0, mode="bilinear")
            found = network.lay_color(luma, given)
            np.testing.assert_allclose(found, wide[0].permute(1, 2, 0).numpy(), atol=1e-3)
            assert np.abs(found).max() > 0.01


def test_known_marks_are_painted_over(exported: tuple[Generator, Path]) -> None:
    """Marks that the caller knows change what is restored there."""
    network = Network.load(exported[1], "cpu", num_threads=1)
    photo = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    known = np.zeros((64, 64), np.float32)
    known[20:40, 20:40] = 1
    grid, place = np.zeros((12, 1, 1), np.float32), (np.ones((64, 1), np.float32),) * 2
    without, _ = network.repair(photo, grid, place)
    with_known, _ = network.repair(photo, grid, place, known)
    assert np.abs(without - with_known)[25:35, 25:35].max() > 0.05


def test_training_goes_on_from_an_exported_file(exported: tuple[Generator, Path]) -> None:
    """All weights come back under their names, exactly, with what is known of them."""
    generator, path = exported
    loaded, info = load_generator(path)
    assert info.config == generator.config
    assert info.metadata == read_info(path).metadata
    assert (info.metadata.name, info.metadata.data) == ("toned", {"size_px": 32})
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_half_precision_halves_the_file_and_changes_little(
    exported: tuple[Generator, Path], tmp_path: Path
) -> None:
    """Two bytes a weight, and weights within half precision of the true ones."""
    generator, path = exported
    export_generator(tmp_path / "half.zip", generator, ModelMetadata("half"))
    num = sum(p.numel() for p in generator.parameters())
    assert (tmp_path / "half.zip").stat().st_size < 2 * num + 150_000 < path.stat().st_size
    loaded, _ = load_generator(tmp_path / "half.zip")
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)


def test_large_layers_may_take_eight_bits(tmp_path: Path) -> None:
    """One byte a weight there, and each within half a step of the true one."""
    config = replace(TINY, widths=(8, 8, 256), decoder_blocks=(0, 0), encoder_blocks=(0, 0, 1))
    generator = tiny_generator(config=config)
    sizes = {}
    for precision in ("fp16", "int8"):
        path = tmp_path / f"{precision}.zip"
        export_generator(path, generator, ModelMetadata("x"), precision=precision)
        sizes[precision] = path.stat().st_size
    large = [n for n, p in generator.named_parameters() if p.numel() >= 1 << 17]
    num = sum(p.numel() for p in generator.parameters() if p.numel() >= 1 << 17)
    assert len(large) == 2
    assert sizes["fp16"] - sizes["int8"] == pytest.approx(num, rel=0.01)
    loaded, _ = load_generator(tmp_path / "int8.zip")
    for name, tensor in generator.state_dict().items():
        found = loaded.state_dict()[name]
        if name in large:
            step = tensor.abs().amax(dim=(1, 2, 3), keepdim=True) / 127
            assert ((found - tensor).abs() <= 0.501 * step).all()
        else:
            torch.testing.assert_close(found, tensor, rtol=1e-3, atol=1e-6)
    photo = np.random.default_rng(0).random((64, 64, 3), dtype=np.float32)
    grid, place = np.zeros((12, 1, 1), np.float32), (np.ones((64, 1), np.float32),) * 2
    outputs = [
        Network.load(tmp_path / f"{p}.zip", "cpu", num_threads=1).repair(photo, grid, place)[0]
        for p in ("fp16", "int8")
    ]
    assert 0 < np.abs(outputs[0] - outputs[1]).max() < 2 / 255


def test_models_of_the_tests_are_what_export_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/models is up to date, and exporting twice gives the same bytes."""
    monkeypatch.setattr("write_models.MODELS", tmp_path)
    write_models()
    for path in tmp_path.iterdir():
        stored, _ = load_generator(MODELS / path.name)
        fresh, _ = load_generator(path)
        for name, tensor in fresh.state_dict().items():
            torch.testing.assert_close(stored.state_dict()[name], tensor)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_models()
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_export_refuses_weights_that_are_not_finite(tmp_path: Path) -> None:
    """A weight beyond half precision is named, and nothing is written."""
    generator = tiny_generator()
    with torch.no_grad():
        generator.stem.bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"stem\.bias isn't finite"):
        export_generator(tmp_path / "a.zip", generator, ModelMetadata("a"))
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_and_export_hold_the_same_weights(tmp_path: Path) -> None:
    """A checkpoint can be exported, and an export saved as a checkpoint."""
    from train.run.folder import export_weights

    save_generator(tmp_path / "a.safetensors", tiny_generator(), ModelMetadata("a"))
    export_weights(tmp_path / "a.safetensors", tmp_path / "b.zip", name="b")
    export_weights(tmp_path / "b.zip", tmp_path / "c.safetensors")
    first, _ = load_generator(tmp_path / "a.safetensors")
    last, info = load_generator(tmp_path / "c.safetensors")
    assert info.metadata.name == "b"
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, last.state_dict()[name])
