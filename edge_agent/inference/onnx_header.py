"""What an ONNX file says of itself, read from its bytes without loading the network.

Rules of this file:
- Standard library only: the daemon and the CLI read packages without onnxruntime, numpy or onnx.
- Pure: bytes in, values out. Weights are skipped, never copied.
- Every length and depth is checked; damage is a ValueError, never a hang or a crash.
- Data outside the file is found wherever it may hide (initialisers, attributes, subgraphs,
  functions): onnxruntime would resolve such paths against the working directory, even for a
  network given as bytes, so nobody may load a file that has any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Value = int | memoryview
Fields = Iterator[tuple[int, Value]]

MAX_DEPTH = 12
MAX_METADATA = 256
MAX_METADATA_BYTES = 1 << 20

_ELEMENT_TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: `dtype` as numpy spells it ("sequence", "map" for those; "" unknown);
    `shape` has None for a dimension only known at run time and is None when nothing is said."""

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Header:
    """`opsets` maps operator domain ("" = standard) to version; `external` names tensors stored elsewhere."""

    opsets: dict[str, int]
    metadata: dict[str, str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    external: tuple[str, ...]


def read_header(data: bytes | memoryview) -> Header:
    """The header of a serialised ONNX model; raises ValueError when `data` is not one."""
    opsets: dict[str, int] = {}
    metadata: dict[str, str] = {}
    external: list[str] = []
    graphs: list[memoryview] = []
    for number, value in _fields(memoryview(data)):
        if number == 7:
            graphs.append(_message(value))
            _scan_graph(_message(value), external, 0)
        elif number == 8:
            opset = dict(_fields(_message(value)))
            opsets[_text(opset.get(1, memoryview(b"")))] = _number(opset.get(2, 0))
        elif number == 14:
            _put_metadata(metadata, _message(value))
        elif number == 25:
            _scan_nodes(_message(value), 7, external, 0)
    if not graphs or not opsets:
        raise ValueError("not an ONNX model: no graph or no operator set")
    inputs, outputs = _ports(graphs)
    return Header(opsets, metadata, inputs, outputs, tuple(external))


def _put_metadata(metadata: dict[str, str], entry: memoryview) -> None:
    if len(metadata) >= MAX_METADATA or len(entry) > MAX_METADATA_BYTES:
        raise ValueError("too much metadata")
    pair = dict(_fields(entry))
    metadata[_text(pair.get(1, memoryview(b"")))] = _text(pair.get(2, memoryview(b"")))


def _ports(graphs: list[memoryview]) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    inputs: list[Port] = []
    outputs: list[Port] = []
    weights: set[str] = set()
    for graph in graphs:
        for number, value in _fields(graph):
            if number == 11:
                inputs.append(_port(_message(value)))
            elif number == 12:
                outputs.append(_port(_message(value)))
            elif number == 5:
                weights.add(_tensor_name(_message(value)))
    return tuple(port for port in inputs if port.name not in weights), tuple(outputs)


def _port(message: memoryview) -> Port:
    fields = dict(_fields(message))
    name = _text(fields.get(1, memoryview(b"")))
    kind = dict(_fields(_message(fields.get(2, memoryview(b"")))))
    if 1 not in kind:
        return Port(name, "sequence" if 4 in kind else "map" if 5 in kind else "", None)
    tensor = dict(_fields(_message(kind[1])))
    dtype = _ELEMENT_TYPES.get(_number(tensor.get(1, 0)), "")
    return Port(name, dtype, _shape(_message(tensor[2])) if 2 in tensor else None)


def _shape(message: memoryview) -> tuple[int | None, ...]:
    dims: list[int | None] = []
    for number, value in _fields(message):
        if number == 1:
            size = dict(_fields(_message(value))).get(1)
            dims.append(size if isinstance(size, int) and 0 < size < 1 << 31 else None)
    return tuple(dims)


def _scan_graph(graph: memoryview, external: list[str], depth: int) -> None:
    for number, value in _fields(graph):
        if number == 5:
            _scan_tensor(_message(value), external)
        elif number == 15:
            _scan_sparse(_message(value), external)
    _scan_nodes(graph, 1, external, depth)


def _scan_nodes(owner: memoryview, node_field: int, external: list[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("subgraphs nested too deeply")
    for number, node in _fields(owner):
        if number == node_field:
            for field, attribute in _fields(_message(node)):
                if field == 5:
                    _scan_attribute(_message(attribute), external, depth)


def _scan_attribute(attribute: memoryview, external: list[str], depth: int) -> None:
    for number, value in _fields(attribute):
        if number in (5, 10):
            _scan_tensor(_message(value), external)
        elif number in (6, 11):
            _scan_graph(_message(value), external, depth + 1)
        elif number in (22, 23):
            _scan_sparse(_message(value), external)


def _scan_sparse(sparse: memoryview, external: list[str]) -> None:
    for number, value in _fields(sparse):
        if number in (1, 2):
            _scan_tensor(_message(value), external)


def _scan_tensor(tensor: memoryview, external: list[str]) -> None:
    if any(number == 13 or (number == 14 and value != 0) for number, value in _fields(tensor)):
        external.append(_tensor_name(tensor))


def _tensor_name(tensor: memoryview) -> str:
    return _text(dict(_fields(tensor)).get(8, memoryview(b"")))


def _fields(message: memoryview) -> Fields:
    """Protocol-buffer fields as (number, int | bytes); fixed-size numbers come as their bytes."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} does not belong in an ONNX file")
        if at + size > end:
            raise ValueError("the file ends in the middle of a field")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    result = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise ValueError("the file ends in the middle of a number")


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise ValueError("a message stands where a number belongs")
    return value


def _text(value: Value) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
