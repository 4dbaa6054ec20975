"""What a TFLite file computes: its operators in order, and its constants as NumPy arrays.

Weights may be stored as float16 and sparse, which the file undoes with operators of its own
(DEQUANTIZE, DENSIFY); here that is done while reading, so that only the network's operators remain.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.spec import Array
from training.datasets import DataError

_UNPACK = ("DEQUANTIZE", "DENSIFY")
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4"}  # of the schema's TensorType


@dataclass(frozen=True, eq=False)
class Operator:
    """One step.

    Attributes:
        kind: the schema's name, such as `CONV_2D`.
        inputs: numbers of the tensors it takes.
        output: number of the tensor it gives.
        options: by the schema's name, such as `strideW`.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Graph:
    """A network with one input.

    Attributes:
        input: number of the tensor.
        outputs: numbers of the tensors.
        operators: in an order in which they can run.
        constants: by tensor number, float32 or int32.
        shapes: of all tensors, by number, with the batch axis.
    """

    input: int
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]
    constants: Mapping[int, Array]
    shapes: Mapping[int, tuple[int, ...]]


def read(file: Path) -> Graph:
    """The one graph of a file.

    Raises:
        DataError: it is no TFLite file, or stores its weights in another way.
    """
    schema = _schema()
    raw = file.read_bytes()
    if raw[4:8] != b"TFL3":
        raise DataError(f"{file}: no TFLite file; fix: delete the file and fetch it again")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(raw, 0))
    graph = model.subgraphs[0]
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    constants = {
        number: _constant(tensor, model.buffers[tensor.buffer].data, file)
        for number, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is not None
    }
    operators = []
    for one in graph.operators:
        code = model.operatorCodes[one.opcodeIndex]
        kind = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        if kind in _UNPACK:
            constants[one.outputs[0]] = constants[one.inputs[0]]
            continue
        options = vars(one.builtinOptions) if one.builtinOptions else {}
        operators.append(Operator(kind, tuple(map(int, one.inputs)), int(one.outputs[0]), options))
    return Graph(
        input=int(graph.inputs[0]),
        outputs=tuple(map(int, graph.outputs)),
        operators=tuple(operators),
        constants=constants,
        shapes={n: tuple(map(int, tensor.shape)) for n, tensor in enumerate(graph.tensors)},
    )


def _constant(tensor: Any, data: Any, file: Path) -> Array:
    """A stored tensor, dense, float32 or int32."""
    if tensor.type not in _TYPES:
        raise DataError(
            f"{file}: tensor {tensor.name!r} is neither float nor int32; fix: use the "
            "file as published"
        )
    stored = np.frombuffer(bytes(data), _TYPES[tensor.type])
    if stored.dtype == np.float16:
        stored = stored.astype(np.float32)
    if tensor.sparsity is None:
        return stored.reshape(tensor.shape)
    *dense, last = tensor.sparsity.dimMetadata
    if tensor.sparsity.blockMap is not None or any(one.format for one in dense):
        raise DataError(
            f"{file}: tensor {tensor.name!r} is sparse in another way than by rows; "
            "fix: use the file as published"
        )
    # compressed rows: where each begins among the stored numbers, and their columns
    begins = np.array([int(n) for n in last.arraySegments.values])
    full = np.zeros((len(begins) - 1, tensor.shape[-1]), np.float32)
    rows = np.repeat(np.arange(len(full)), begins[1:] - begins[:-1])
    full[rows, np.asarray(last.arrayIndices.values)] = stored
    return full.reshape(tensor.shape)


def _schema() -> Any:
    """The schema's classes, which come with either package and are the same."""
    try:
        return importlib.import_module("ai_edge_litert.schema_py_generated")
    except ImportError:
        return importlib.import_module("tensorflow.lite.python.schema_py_generated")
