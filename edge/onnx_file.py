"""Look through an ONNX file before its runtime does: it must hold all of itself.

A tensor may say that its numbers lie in another file, by any path. The device has ONNX Runtime and
no `onnx` package, so the messages are walked here: protobuf is fields of a number, a kind and a
value, and only what can lead to a tensor is followed.
"""

from __future__ import annotations

from collections.abc import Iterator

_MAX_DEPTH = 64  # a graph in a branch of a graph in a branch of ...
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTH = {_FIXED64: 8, _FIXED32: 4}

# Which fields of a message hold which messages (onnx.proto).
_INSIDE = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph"}
    | {22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a Tensor


def refuse(raw: bytes) -> str | None:
    """Why a file must not reach the runtime; None if it may.

    Args:
        raw: bytes of the file.
    """
    has_graph = False
    left = [("Model", memoryview(raw), 0)]
    try:
        while left:
            kind, message, depth = left.pop()
            if depth > _MAX_DEPTH:
                return f"graphs nested more than {_MAX_DEPTH} deep"
            for number, value in _fields(message):
                if kind == "Tensor" and number in {_EXTERNAL_DATA, _DATA_LOCATION} and value != 0:
                    return "keeps tensors in a file outside the bundle (external data)"
                inside = _INSIDE.get(kind, {}).get(number)
                if inside is None:
                    continue
                if isinstance(value, int):
                    return "not an ONNX file"
                has_graph |= kind == "Model" and inside == "Graph"
                left.append((inside, value, depth + 1))
    except (IndexError, ValueError):
        return "not an ONNX file"
    return None if has_graph else "not an ONNX file"


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an int, or the bytes it stands for."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key >= 1 << 32:  # some readers drop the upper bits and see another field
            raise ValueError(key)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in _WIDTH:
            length = _WIDTH[kind]
        else:  # groups are not used by ONNX
            raise ValueError(kind)
        if at + length > len(message):
            raise ValueError(length)
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift >= 70:
            raise ValueError(shift)
