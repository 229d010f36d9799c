"""Files of weights: what is refused before anything is loaded, and what the engine answers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from photo_zoo import MODELS

from restore import ModelError, RestoreError
from restore.engine import Network, default_model_path
from restore.engine.graph import check_graph
from restore.engine.model_file import read_metadata, read_model
from restore.engine.network import choose_device, weigh_cells

TINY = MODELS / "tiny.zip"


def _rewrite(path: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy of the tiny weights with other entries; None leaves one out."""
    with zipfile.ZipFile(TINY) as archive:
        entries: dict[str, bytes | None] = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (entries | changes).items():
            if content is not None:
                archive.writestr(name, content)
    return path


def _with_metadata(path: Path, **values: Any) -> Path:
    with zipfile.ZipFile(TINY) as archive:
        document = json.loads(archive.read("model.json"))
    return _rewrite(path, {"model.json": json.dumps(document | values).encode()})


def _graph(*nodes: onnx.NodeProto, initializers: tuple[Any, ...] = ()) -> bytes:
    """A serialised graph of these nodes."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph(list(nodes), "g", [value], [out], list(initializers))
    return bytes(helper.make_model(graph).SerializeToString())


def test_model_says_what_it_is() -> None:
    """Name and sizes are read without the graphs."""
    metadata = read_metadata(TINY)
    assert (metadata.name, metadata.alignment, metadata.look_px) == ("tiny", 4, 0)
    assert metadata == read_model(TINY).metadata


def test_default_model_lies_inside_the_package() -> None:
    """The shipped weights are found beside the code."""
    import restore

    assert default_model_path().parent.parent == Path(restore.__path__[0])


@pytest.mark.parametrize("content", [b"", b"a photograph, say", b"\xff" * 5000, b"PK\x03\x04"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """One line that names the file."""
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(ModelError, match=r"photo\.jpg: ") as caught:
        read_model(tmp_path / "photo.jpg")
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """A wrong path is answered with the path."""
    with pytest.raises(ModelError, match=r"absent\.zip: no such file"):
        read_model(tmp_path / "absent.zip")
    with pytest.raises(ModelError, match="can't be read"):
        read_model(tmp_path)


def test_weights_of_the_first_version_are_answered_with_the_command(tmp_path: Path) -> None:
    """Whoever trained with version 0.1 is told how to go on."""
    import safetensors.numpy

    old = tmp_path / "old.safetensors"
    safetensors.numpy.save_file({"w": np.zeros(3, np.float32)}, old)
    with pytest.raises(
        ModelError, match=r"convert it with `train export \S*old\.safetensors old.zip"
    ):
        read_model(old)


def test_cut_off_file_is_refused(tmp_path: Path) -> None:
    """Half a download is refused."""
    content = TINY.read_bytes()
    for share in (0.3, 0.6, 0.95):
        (tmp_path / "half.zip").write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelError, match=r"half\.zip: "):
            read_model(tmp_path / "half.zip")


def test_flipped_bytes_are_refused(tmp_path: Path) -> None:
    """ZIP's checksums notice a changed byte anywhere in the graphs."""
    content = bytearray(TINY.read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(ModelError, match=r"repair\.onnx can't be read"):
        read_model(tmp_path / "bad.zip")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"format": "other"}, "not a file of weights of this project"),
        ({"alignment": 0}, "alignment 0"),
        ({"alignment": "4"}, "alignment '4'"),
        ({"look_px": 10**9}, "look_px 1000000000"),
        ({"look_px": 128}, "don't fit its description"),
        ({"scores": {"x": float("nan")}}, "scores must be finite"),
        ({"scores": 3}, "can't be read"),
    ],
)
def test_altered_metadata_is_refused(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    """Another version, or numbers that no network has."""
    with pytest.raises(ModelError, match=message):
        read_model(_with_metadata(tmp_path / "m.zip", **values))


@pytest.mark.parametrize("missing", ["model.json", "repair.onnx"])
def test_missing_entries_are_refused(tmp_path: Path, missing: str) -> None:
    """A ZIP archive of something else is none of ours."""
    with pytest.raises(ModelError, match=r"m\.zip: "):
        read_model(_rewrite(tmp_path / "m.zip", {missing: None}))


def test_graphs_of_the_shipped_weights_pass() -> None:
    """The check knows all that our exporter writes."""
    for path in (default_model_path(), TINY, MODELS / "identity.zip"):
        for graph in read_model(path).graphs.values():
            check_graph(graph)


def test_harmful_graphs_are_refused() -> None:
    """Unknown operators, loops, other domains, other files, endless weights."""
    body = helper.make_graph([], "b", [], [])
    external = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    huge = TensorProto(name="w", data_type=1, dims=[1 << 20, 1 << 20])
    odd = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1])
    relu = helper.make_node("Relu", ["x"], ["y"])
    constant = helper.make_node("Constant", [], ["y"], value=external)
    cases = [
        (_graph(helper.make_node("Loop", ["x"], ["y"], body=body)), "loop or a branch"),
        (_graph(helper.make_node("StringNormalizer", ["x"], ["y"])), "StringNormalizer"),
        (_graph(helper.make_node("Relu", ["x"], ["y"], domain="evil")), "evil.Relu"),
        (_graph(relu, initializers=(external,)), "another file"),
        (_graph(constant), "another file"),
        (_graph(relu, initializers=(huge,)), "may be"),
        (_graph(relu, initializers=(odd,)), "data type"),
        (_graph(*[relu] * 10_001), "10001 operators"),
        (_graph(), "no ONNX graph"),
        (b"", "no ONNX graph"),
        (b"\x3a\xff\xff\xff", "cut short"),
    ]
    for graph, message in cases:
        with pytest.raises(ValueError, match=message):
            check_graph(graph)
    check_graph(_graph(relu))


def test_cut_graphs_are_never_taken(tmp_path: Path) -> None:
    """However a graph is cut, the check or ONNX Runtime refuses it, in one line."""
    graph = read_model(TINY).graphs["repair"]
    for stop in range(0, len(graph), 1 + len(graph) // 23):
        path = _rewrite(tmp_path / "cut.zip", {"repair.onnx": graph[:stop]})
        with pytest.raises(ModelError) as caught:
            Network.load(path, "cpu", num_threads=1)
        assert "\n" not in str(caught.value)


def test_loading_names_what_runtime_refuses(tmp_path: Path) -> None:
    """A graph of allowed operators that doesn't fit together."""
    graph = _graph(helper.make_node("Conv", ["x", "missing"], ["y"]))
    with pytest.raises(ModelError, match=r"repair\.onnx can't be loaded"):
        Network.load(_rewrite(tmp_path / "m.zip", {"repair.onnx": graph}), "cpu")


def test_missing_device_is_named() -> None:
    """A device that the installed runtime lacks is refused; auto always finds one."""
    assert choose_device("auto") in ("cpu", "cuda", "directml")
    with pytest.raises(RestoreError, match="device directml: the installed onnxruntime"):
        choose_device("directml")


def test_cells_weigh_linearly() -> None:
    """Weights of a grid's cells sum to one, and name a single cell at its centre."""
    weights = weigh_cells(np.arange(64), 64, 8)
    assert weights.shape == (64, 8)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    centre = weigh_cells(np.array([3, 4]), 64, 8).mean(axis=0)
    assert centre[0] == pytest.approx(1, abs=0.07)
    ramp = weigh_cells(np.arange(64), 64, 8) @ np.arange(8, dtype=np.float32)
    assert (np.diff(ramp) >= 0).all()
