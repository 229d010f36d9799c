"""Look into an ONNX graph before anything loads it: its operators and how much memory it asks for.

ONNX is a protocol buffer; the few fields that matter are read here, so that no other package is
needed. What a file may do is bounded: known operators only, no loops or branches, no further files.

Source:
    onnx/onnx.proto (ONNX 1.16), the field numbers; Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

MAX_NODES = 10_000
MAX_WEIGHTS_BYTES = 1 << 30

_OPERATORS_TEXT = """
Abs Add And AveragePool Cast Clip Concat Constant ConstantOfShape Conv Div Equal Erf Exp Expand
Flatten Gather Gemm GlobalAveragePool Greater HardSigmoid HardSwish Identity LayerNormalization
LeakyRelu Less Log MatMul Max MaxPool Min Mod Mul Neg Not Pad Pow Reciprocal ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum Relu Reshape Resize Shape Sigmoid Slice Softmax Softplus Split Sqrt
Squeeze Sub Sum Tanh Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_OPERATORS_TEXT.split())
"""Operators of the standard set that a graph may use: arithmetic on arrays, and nothing else."""

# Bytes per element by TensorProto.DataType; others aren't used for weights.
_ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}
_EXTERNAL = 1  # TensorProto.DataLocation


def check_graph(model: bytes) -> None:
    """Refuse a graph that asks for more than a restoring network needs.

    Args:
        model: A serialised ONNX ModelProto.

    Raises:
        ValueError: Saying what is wrong.
    """
    graphs = []
    for number, value in _fields(memoryview(model)):
        if number == 7 and isinstance(value, memoryview):
            graphs.append(value)
        elif number == 25:
            raise ValueError("it defines functions of its own")
    if len(graphs) != 1:
        raise ValueError("it is no ONNX graph")
    num_nodes = num_bytes = 0
    for number, value in _fields(graphs[0]):
        if number == 1 and isinstance(value, memoryview):
            num_nodes += 1
            _check_node(value)
        elif number == 5 and isinstance(value, memoryview):
            num_bytes += _measure_tensor(value)
        elif number == 15:
            raise ValueError("it holds sparse weights")
    if num_nodes == 0:
        raise ValueError("it is no ONNX graph")
    if num_nodes > MAX_NODES:
        raise ValueError(f"it has {num_nodes} operators; {MAX_NODES} are allowed")
    if num_bytes > MAX_WEIGHTS_BYTES:
        raise ValueError(f"its weights take {num_bytes >> 20} MB; {MAX_WEIGHTS_BYTES >> 20} may be")


def _check_node(node: memoryview) -> None:
    operator = domain = ""
    for number, value in _fields(node):
        if number == 4:
            operator = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5 and isinstance(value, memoryview):
            for inner, content in _fields(value):
                if inner in (6, 11):
                    raise ValueError("it holds a loop or a branch")
                if inner == 5 and isinstance(content, memoryview):
                    _measure_tensor(content)
    if domain not in ("", "ai.onnx") or operator not in OPERATORS:
        raise ValueError(f"operator {domain + '.' if domain else ''}{operator} is not allowed")


def _measure_tensor(tensor: memoryview) -> int:
    """Bytes that a tensor takes as float32, or more."""
    sides: list[int] = []
    element = 0
    for number, value in _fields(tensor):
        if number == 1:
            sides += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 2 and isinstance(value, int):
            element = value
        elif number == 13 or (number == 14 and value == _EXTERNAL):
            raise ValueError("its weights lie in another file")
    if element not in _ELEMENT_BYTES:
        raise ValueError(f"weights of data type {element}")
    return prod(sides) * max(4, _ELEMENT_BYTES[element])


def _text(value: int | memoryview) -> str:
    return "" if isinstance(value, int) else bytes(value).decode("utf-8", "replace")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of a message's fields; fixed-size ones are given as their bytes."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _read_varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError("it is no ONNX graph")
        if at + length > len(message):
            raise ValueError("it is cut short")
        yield number, message[at : at + length]
        at += length


def _varints(packed: memoryview) -> Iterator[int]:
    at = 0
    while at < len(packed):
        value, at = _read_varint(packed, at)
        yield value


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("it is cut short")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
