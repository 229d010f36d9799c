"""The file of weights: a ZIP archive of ONNX graphs and of what is known about them.

    model.json     name, description, data, scores, sizes; see `ModelMetadata`
    tone.onnx      reduced copy -> grid of colour matrices (may be missing)
    color.onnx     luma of a reduced copy, hints -> chroma (may be missing)
    repair.onnx    window of the photograph, grid -> restored window, marks

Any ZIP program shows what is in it. Nothing in it is code.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore.engine.graph import check_graph
from restore.errors import ModelError

FORMAT = "old-pictures-restoration"
FORMAT_VERSION = 1
METADATA_NAME = "model.json"
REPAIR, TONE, COLOR = "repair", "tone", "color"
_GRAPHS = (REPAIR, TONE, COLOR)
_MAX_GRAPH_BYTES = 1 << 30
_MAX_METADATA_BYTES = 1 << 24


@dataclass(frozen=True)
class ModelMetadata:
    """What a file of weights says of itself.

    Attributes:
        name: Short name, shown by `restore`.
        description: One sentence.
        data: What it was trained on (JSON values).
        scores: Measured on held-out pairs.
        created: ISO 8601 date, or empty.
        config: Of the network that was trained (JSON values); a close look has `marks_widths`.
        alignment: Sides of windows are multiples of so many pixels, and windows start at one.
        look_px: Short side of the reduced copy for tone.onnx; 0 where there is none.
        color_px: Likewise for color.onnx.
    """

    name: str
    description: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    created: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    alignment: int = 1
    look_px: int = 0
    color_px: int = 0


@dataclass(frozen=True)
class ModelFile:
    """Checked contents of a file of weights.

    Attributes:
        metadata: What it says of itself.
        graphs: Serialised ONNX graphs by name.
    """

    metadata: ModelMetadata
    graphs: Mapping[str, bytes]


def default_model_path() -> Path:
    """The weights that come with the package."""
    return Path(__file__).parents[1] / "weights" / "default.zip"


def encode_metadata(metadata: ModelMetadata) -> bytes:
    """What `model.json` holds: equal metadata give equal bytes."""
    document = {"format": FORMAT, "format_version": FORMAT_VERSION}
    document |= {name: getattr(metadata, name) for name in metadata.__dataclass_fields__}
    text = json.dumps(document, sort_keys=True, indent=1, allow_nan=False, default=dict)
    return text.encode() + b"\n"


def read_metadata(path: Path) -> ModelMetadata:
    """Read what a file of weights says of itself, and not its weights.

    Raises:
        ModelError: If the file is missing, damaged or not one of ours.
    """
    with _open(path) as archive:
        return _decode_metadata(path, _read(path, archive, METADATA_NAME, _MAX_METADATA_BYTES))


def read_model(path: Path) -> ModelFile:
    """Read a file of weights; its graphs are checked, not loaded.

    Raises:
        ModelError: If the file is missing, damaged or not one of ours.
    """
    with _open(path) as archive:
        metadata = _decode_metadata(path, _read(path, archive, METADATA_NAME, _MAX_METADATA_BYTES))
        names = set(archive.namelist())
        graphs = {
            name: _read(path, archive, f"{name}.onnx", _MAX_GRAPH_BYTES)
            for name in _GRAPHS
            if f"{name}.onnx" in names
        }
    sides = {TONE: metadata.look_px, COLOR: metadata.color_px}
    if REPAIR not in graphs or any((name in graphs) != bool(px) for name, px in sides.items()):
        raise ModelError(f"{path}: its graphs don't fit its description; export it again")
    for name, graph in graphs.items():
        try:
            check_graph(graph)
        except ValueError as error:
            raise ModelError(f"{path}: {name}.onnx can't be used: {error}") from error
    return ModelFile(metadata, graphs)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if start[:4] != b"PK\x03\x04":
            if start[8:10] == b'{"':  # safetensors: eight bytes of length, then JSON
                raise ModelError(
                    f"{path}: a file of version 0.1; convert it with `train export {path} "
                    f"{path.with_suffix('.zip').name}`"
                )
            raise ModelError(f"{path}: not a file of weights (.zip) of this project")
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror})") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(f"{path}: a damaged file of weights ({error})") from error


def _read(path: Path, archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    try:
        info = archive.getinfo(name)
        if info.file_size > max_bytes:
            raise ModelError(f"{path}: {name} takes {info.file_size >> 20} MB: too much")
        with archive.open(info) as file:
            content = file.read(max_bytes + 1)
    except KeyError:
        raise ModelError(f"{path}: not a file of weights of this project: no {name}") from None
    except (
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise ModelError(f"{path}: {name} can't be read ({error})") from error
    return content


def _decode_metadata(path: Path, content: bytes) -> ModelMetadata:
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ModelError(f"{path}: not a file of weights of this project")
        version = document["format_version"]
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{path}: format version {version}, this version reads {FORMAT_VERSION}; "
                "update the package or export the weights again"
            )
        scores = {str(k): float(v) for k, v in document["scores"].items()}
        if not all(map(math.isfinite, scores.values())):
            raise ValueError("scores must be finite")
        alignment = document["alignment"]
        if type(alignment) is not int or not 1 <= alignment <= 256:
            raise ValueError(f"alignment {alignment!r}")
        sides = {name: document.get(name, 0) for name in ("look_px", "color_px")}
        for name, side in sides.items():
            if type(side) is not int or not 0 <= side <= 1024:
                raise ValueError(f"{name} {side!r}")
        return ModelMetadata(
            name=str(document["name"]),
            description=str(document["description"]),
            data=dict(document["data"]),
            scores=scores,
            created=str(document["created"]),
            config=dict(document["config"]),
            alignment=alignment,
            **sides,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise ModelError(f"{path}: {METADATA_NAME} can't be read ({line})") from error
