"""Write a generator as a file of weights for `restore`, and read weights back from such a file.

The graphs are traced from torch with free height and width. Weights are stored in half precision,
the largest on request in eight bits, each under its name in the generator, so that training can
start from an exported file.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from degrade.errors import StoreError
from degrade.store.whole import write_whole
from restore.engine.model_file import (
    COLOR,
    METADATA_NAME,
    REPAIR,
    TONE,
    ModelMetadata,
    encode_metadata,
)
from train.errors import CheckpointError
from train.network.generator import Generator
from train.network.global_branch import ALIGNMENT, add_affine
from train.network.layers import fold_norms
from train.network.strips import run_in_strips

_OPSET = 18
_PREFIX = "generator."
_WIDENED, _SCALE = ".wide", ".scale"
# Weights of as many numbers may be stored in eight bits.
_MIN_BYTE_SIZED = 1 << 17

Precision = Literal["fp32", "fp16", "int8"]
# Weights of fewer numbers stay in single precision: constants of the arithmetic are among them.
_MIN_HALVED = 8
_EPOCH = (1980, 1, 1, 0, 0, 0)  # ZIP's first moment: equal weights give equal bytes
# Native layers of repair.onnx run in as many strips: a window takes half the memory.
_NUM_STRIPS = 8


class _Repair(nn.Module):
    """What repair.onnx does."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(
        self, photo: Tensor, grid: Tensor, down: Tensor, across: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        def adjust(photo: Tensor, down: Tensor) -> Tensor:
            field = down[0] @ grid @ across.transpose(0, 1)  # (1, 12, h, W)
            return add_affine(photo, field)

        planes = [(photo, 1), (down[None, None], 1)]
        adjusted = run_in_strips(adjust, self.generator.num_strips, 0, *planes)  # (1, 3, H, W)
        restored, logits = self.generator.restore_locally(adjusted, known, photo)
        return restored, self.generator.local.open_gate(logits)  # (1, 3, H, W), (1, 1, H, W)


class _Tone(nn.Module):
    """What tone.onnx does: the mean of the grids of a photograph and of its mirror image."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, photo: Tensor) -> Tensor:
        branch = self.generator.global_branch
        assert branch is not None
        grid: Tensor = branch(photo)
        return (grid + branch(photo.flip(3)).flip(3)) / 2  # (1, 12, h / 4, w / 4)


class _Color(nn.Module):
    """What color.onnx does."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, luma: Tensor, hints: Tensor) -> Tensor:
        network = self.generator.color_network
        assert network is not None
        chroma: Tensor = network(luma, hints)
        return chroma  # (1, 2, h / 2, w / 2)


def export_generator(
    path: Path, generator: Generator, metadata: ModelMetadata, *, precision: Precision = "fp16"
) -> None:
    """Write a generator for `restore`; an existing file is replaced at once or not at all.

    Args:
        path: File to write (.zip); its folder must exist.
        generator: Of any device and precision; it is left as it is.
        metadata: What the file is to say; sizes and configuration are filled in.
        precision: Of the stored weights. "int8" takes eight bits a weight where a layer has 130,000
            of them, with a scale for each output channel, and float16 elsewhere.

    Raises:
        CheckpointError: If a weight isn't finite in that precision, the packages for exporting
            aren't installed, or the file can't be written.
    """
    check_exporter()
    copy = Generator(generator.config)
    copy.load_state_dict({k: v.detach().float().cpu() for k, v in generator.state_dict().items()})
    copy.requires_grad_(False).eval()
    copy.num_strips = _NUM_STRIPS
    fold_norms(copy)
    for name, tensor in copy.state_dict().items():
        if not torch.isfinite(tensor if precision == "fp32" else tensor.half()).all():
            raise CheckpointError(f"{path}: {name} isn't finite; nothing was written")
    metadata = replace(
        metadata,
        config=generator.config.to_dict(),
        alignment=generator.alignment,
        look_px=generator.config.global_px,
        color_px=generator.config.color_px if generator.color_network is not None else 0,
    )
    graphs = {REPAIR: _trace_repair(copy)}
    if copy.global_branch is not None:
        graphs[TONE] = _trace_tone(copy)
    if copy.color_network is not None:
        graphs[COLOR] = _trace_color(copy)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        _add(archive, METADATA_NAME, encode_metadata(metadata))
        for name, graph in graphs.items():
            _add(archive, f"{name}.onnx", _encode_graph(graph, precision))
    try:
        write_whole(path, [content.getvalue()])
    except StoreError as error:
        raise CheckpointError(str(error)) from error


def check_exporter() -> None:
    """Find out early whether weights can be exported.

    Raises:
        CheckpointError: If a package for it isn't installed.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise CheckpointError(
            "writing weights for restore needs onnx; pip install 'old-pictures-restoration[train]'"
        ) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in an exported file, by their names in the generator, in float32.

    Raises:
        CheckpointError: If a graph can't be read.
    """
    import onnx
    from onnx import numpy_helper

    weights: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if not entry.endswith(".onnx"):
                    continue
                graph = onnx.load_from_string(archive.read(entry)).graph
                stored_arrays = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
                for stored in graph.initializer:
                    if stored.name.startswith(_PREFIX) and not stored.name.endswith(_SCALE):
                        values = stored_arrays[stored.name].astype(np.float32)
                        values *= stored_arrays.get(stored.name + _SCALE, np.float32(1))
                        weights[stored.name.removeprefix(_PREFIX)] = torch.from_numpy(values)
                for node in graph.node:  # equal weights are stored once
                    if node.op_type == "Identity" and node.output[0].startswith(_PREFIX):
                        name = node.input[0].removeprefix(_PREFIX).removesuffix(_WIDENED)
                        source = weights[name]
                        weights[node.output[0].removeprefix(_PREFIX)] = source.clone()
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its graphs can't be read ({error})") from error
    return weights


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)


def _quantise(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights (O, ...) as steps of -127..127, and the size of a step for each output channel."""
    axes = tuple(range(1, values.ndim))
    scale = np.abs(values).max(axis=axes, keepdims=True) / np.float32(127)
    scale = np.maximum(scale, np.float32(1e-12))
    return np.rint(values / scale).astype(np.int8), scale


def _trace_repair(generator: Generator) -> bytes:
    side, cells = 4 * generator.alignment, (8, 9)
    height, width = side, side + 2 * generator.alignment
    example = {
        "photo": torch.rand(1, 3, height, width),
        "grid": torch.rand(1, 12, *cells),
        "down": torch.rand(height, cells[0]),
        "across": torch.rand(width, cells[1]),
        "known": torch.zeros(1, 1, height, width),
    }
    free = {
        "photo": {2: "height", 3: "width"},
        "grid": {2: "grid_height", 3: "grid_width"},
        "down": {0: "height", 1: "grid_height"},
        "across": {0: "width", 1: "grid_width"},
        "known": {2: "height", 3: "width"},
        "restored": {2: "height", 3: "width"},
        "marks": {2: "height", 3: "width"},
    }
    return _trace(_Repair(generator), example, ["restored", "marks"], free)


def _trace_tone(generator: Generator) -> bytes:
    example = {"photo": torch.rand(1, 3, 4 * ALIGNMENT, 5 * ALIGNMENT)}
    free = {
        "photo": {2: "height", 3: "width"},
        "grid": {2: "grid_height", 3: "grid_width"},
    }
    return _trace(_Tone(generator), example, ["grid"], free)


def _trace_color(generator: Generator) -> bytes:
    height, width = 4 * ALIGNMENT, 5 * ALIGNMENT
    example = {
        "luma": torch.rand(1, 1, height, width),
        "hints": torch.zeros(1, 3, height, width),
    }
    free = {
        "luma": {2: "height", 3: "width"},
        "hints": {2: "height", 3: "width"},
        "chroma": {2: "half_height", 3: "half_width"},
    }
    return _trace(_Color(generator), example, ["chroma"], free)


def _trace(
    network: nn.Module,
    example: Mapping[str, Tensor],
    outputs: list[str],
    free: Mapping[str, Mapping[int, str]],
) -> bytes:
    """A serialised graph; its weights keep their names.

    By TorchScript: torch's newer exporter takes fifty times as long for the same graph, and needs
    another package.
    """
    content = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is older, and says so
        torch.onnx.export(
            network.eval(),
            tuple(example.values()),
            content,  # type: ignore[arg-type]  # it takes files, too
            dynamo=False,
            opset_version=_OPSET,
            do_constant_folding=False,  # would rename weights
            input_names=list(example),
            output_names=outputs,
            dynamic_axes=free,
        )
    return content.getvalue()


def _encode_graph(traced: bytes, precision: Precision) -> bytes:
    """Serialise a graph; weights are stored narrowly, and widened again when it is loaded."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(traced)
    graph = model.graph
    widened, multiply, scales = [], [], []
    for stored in graph.initializer:
        values = numpy_helper.to_array(stored)
        if precision == "fp32" or values.size < _MIN_HALVED:
            continue
        if values.dtype != np.float32 or not stored.name.startswith(_PREFIX):
            continue
        name = stored.name + _WIDENED
        for node in graph.node:
            for i, used in enumerate(node.input):
                if used == stored.name:
                    node.input[i] = name
        cast = name
        if precision == "int8" and values.size >= _MIN_BYTE_SIZED:
            steps, scale = _quantise(values)
            cast, scale_name = stored.name + ".steps", stored.name + _SCALE
            scales.append(numpy_helper.from_array(scale, scale_name))
            multiply.append(onnx.helper.make_node("Mul", [cast, scale_name], [name]))
            values = steps
        else:
            values = values.astype(np.float16)
        stored.CopyFrom(numpy_helper.from_array(values, stored.name))
        widened.append(
            onnx.helper.make_node("Cast", [stored.name], [cast], to=onnx.TensorProto.FLOAT)
        )
    graph.initializer.extend(scales)
    nodes = [*widened, *multiply, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    for node in graph.node:  # the exporter notes where it came from, with paths
        del node.metadata_props[:]
        node.doc_string = ""
    del graph.value_info[:]
    del model.metadata_props[:]
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    onnx.checker.check_model(model)
    encoded: bytes = model.SerializeToString(deterministic=True)
    return encoded
