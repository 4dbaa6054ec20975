"""ONNX Runtime on the CPU. Quantization, if any, is inside the graph (QDQ)."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from contract.manifest import ModelFile, Tensor
from contract.spec import Floats
from edge import onnx_file
from edge.errors import BundleError, EngineError, one_line


def version() -> str:
    """Such as `onnxruntime 1.31.1`.

    Raises:
        ImportError: it is not installed.
    """
    import onnxruntime

    assert onnxruntime is not None
    return f"onnxruntime {importlib.metadata.version('onnxruntime')}"


def open_model(raw: bytes, model: ModelFile) -> OnnxEngine:
    """Load an ONNX file with one input and one output, batch 1.

    Raises:
        BundleError: it needs files outside the bundle, the runtime will not load it, or its tensors
            are not those of the manifest.
    """
    import onnxruntime

    # the runtime would read them, also for a model that comes from memory
    if reason := onnx_file.refuse(raw):
        raise BundleError(f"{model.file}: {reason}")
    try:
        session = onnxruntime.InferenceSession(raw, options(), providers=["CPUExecutionProvider"])
        ends = (
            ("input", [describe(node) for node in session.get_inputs()], model.input),
            ("output", [describe(node) for node in session.get_outputs()], model.output),
        )
    except Exception as error:  # noqa: BLE001 (its own exceptions share no other parent)
        raise BundleError(
            f"{model.file}: ONNX Runtime will not load it: {one_line(error)}"
        ) from None
    for what, found, tensor in ends:
        if found != [tensor]:
            raise BundleError(f"{model.file}: {what} tensor is not the one in the manifest")
    return OnnxEngine(session, model)


def options(*, threads: int = 1) -> Any:
    """How the runtime is to run a model, by so many threads."""
    import onnxruntime

    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = threads
    made.inter_op_num_threads = 1
    made.log_severity_level = 3
    # x86 without VNNI adds two int8 products in 16 bits, which overflow: outputs far off, silently.
    # This gives the same integers there as elsewhere; other processors take no notice of it.
    made.add_session_config_entry("session.x64quantprecision", "1")
    return made


def describe(node: Any) -> Tensor:
    """A tensor as the session reports it, in the manifest's words."""
    kind = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}
    return Tensor(tuple(node.shape), kind.get(node.type, node.type))


class OnnxEngine:
    """One loaded ONNX model. Not shared between threads."""

    def __init__(self, session: Any, model: ModelFile) -> None:
        self._session = session
        self._model = model
        self._input = session.get_inputs()[0].name

    def run(self, x: Floats) -> Floats:
        """Outputs for one input.

        Args:
            x: (*input_shape,) float32, without the batch axis.

        Returns:
            (*output_shape,) float32.

        Raises:
            EngineError: the runtime failed.
        """
        try:
            (y,) = self._session.run(None, {self._input: x[None].astype(np.float32)})
        except Exception as error:
            raise EngineError(f"{self._model.file}: {one_line(error)}") from error
        if y.shape != self._model.output.shape:
            raise EngineError(
                f"{self._model.file}: gives {y.shape}, not {self._model.output.shape}"
            )
        return np.asarray(y[0], dtype=np.float32)
