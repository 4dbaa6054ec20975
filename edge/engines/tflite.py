"""LiteRT, falling back to the older tflite_runtime where that is what a board has."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from contract.manifest import ModelFile, Tensor
from contract.quantize import dequantize, quantize
from contract.spec import Array, Floats
from edge.errors import BundleError, EngineError, one_line


def _interpreter() -> tuple[Any, str]:
    """The interpreter class and the distribution it comes from."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

        return Interpreter, "tflite-runtime"
    return Interpreter, "ai-edge-litert"


def version() -> str:
    """Such as `ai-edge-litert 2.3.0`.

    Raises:
        ImportError: neither runtime is installed.
    """
    _, distribution = _interpreter()
    return f"{distribution} {importlib.metadata.version(distribution)}"


def open_model(raw: bytes, model: ModelFile) -> TfliteEngine:
    """Load a TFLite file with one input and one output, batch 1.

    Raises:
        BundleError: the runtime will not load it, or its tensors are not those of the manifest.
    """
    interpreter_class, _ = _interpreter()
    try:
        interpreter = interpreter_class(model_content=raw, num_threads=1)
        interpreter.allocate_tensors()
        ends = (
            ("input", [describe(d) for d in interpreter.get_input_details()], model.input),
            ("output", [describe(d) for d in interpreter.get_output_details()], model.output),
        )
    except Exception as error:  # noqa: BLE001 (a damaged name is a UnicodeDecodeError, for one)
        raise BundleError(f"{model.file}: LiteRT will not load it: {one_line(error)}") from None
    for what, found, tensor in ends:
        if found != [tensor]:
            raise BundleError(f"{model.file}: {what} tensor is not the one in the manifest")
    return TfliteEngine(interpreter, model)


def describe(detail: dict[str, Any]) -> Tensor:
    """A tensor as the interpreter reports it, in the manifest's words."""
    shape = tuple(int(n) for n in detail["shape"])
    scale, zero_point = detail["quantization"]
    if scale == 0.0:
        return Tensor(shape, np.dtype(detail["dtype"]).name)
    return Tensor(shape, np.dtype(detail["dtype"]).name, float(scale), int(zero_point))


class TfliteEngine:
    """One loaded TFLite model. Not shared between threads."""

    def __init__(self, interpreter: Any, model: ModelFile) -> None:
        self._interpreter = interpreter
        self._model = model
        self._input = interpreter.get_input_details()[0]["index"]
        self._output = interpreter.get_output_details()[0]["index"]

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
            self._interpreter.set_tensor(self._input, _into(x[None], self._model.input))
            # a fused LSTM would otherwise remember the window before
            self._interpreter.reset_all_variables()
            self._interpreter.invoke()
            y: Array = self._interpreter.get_tensor(self._output)[0]
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{self._model.file}: {one_line(error)}") from error
        if y.shape != self._model.output.shape[1:]:
            raise EngineError(f"{self._model.file}: gives {y.shape} of {self._model.output.shape}")
        return _out_of(y, self._model.output)


def _into(x: Floats, tensor: Tensor) -> Array:
    if tensor.scale is None or tensor.zero_point is None:
        return x.astype(tensor.dtype)
    return quantize(x, scale=tensor.scale, zero_point=tensor.zero_point, dtype=tensor.dtype)


def _out_of(y: Array, tensor: Tensor) -> Floats:
    if tensor.scale is None or tensor.zero_point is None:
        return y.astype(np.float32)
    return dequantize(y, scale=tensor.scale, zero_point=tensor.zero_point)
