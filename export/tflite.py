"""Keras to TFLite: int8 from input to output, or float with weights of 16 bits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from contract.manifest import Tensor
from contract.spec import Floats
from edge.engines.tflite import describe
from export.convert import ConversionError


def convert(model: Any, calibration: Floats, file: Path) -> None:
    """Write `file`, and beside it the float model as `.float.tflite` to compare sizes with.

    Weights are quantized per channel, activations per tensor, after Jacob et al., CVPR 2018.

    Args:
        model: Keras model with one input and one output.
        calibration: (n, *input_shape) float32.
        file: what to write.
    """
    import tensorflow as tf

    def samples() -> Iterator[list[Floats]]:
        for row in calibration:
            yield [row[None]]

    with _converter(model, calibration.shape[1:], file) as converter:
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        file.write_bytes(converter.convert())


def convert_float16(model: Any, file: Path) -> None:
    """Write `file` with weights of 16 bits and float activations, and the float model beside it.

    For networks whose activations one scale cannot hold, such as detectors that answer -10,000
    where there is nothing; int8 weights alone would not help, since LiteRT then quantizes the
    activations as they come.

    Args:
        model: Keras model with one input and one output.
        file: what to write.
    """
    import tensorflow as tf

    with _converter(model, model.input_shape[1:], file) as converter:
        converter.target_spec.supported_types = [tf.float16]
        file.write_bytes(converter.convert())


@contextmanager
def _converter(model: Any, row: tuple[int, ...], file: Path) -> Iterator[Any]:
    """Write the float model beside `file`, then give a converter that optimizes."""
    import keras
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        # by way of a SavedModel with batch 1: other ways lose the weights or keep dynamic shapes
        signature = [keras.InputSpec(shape=(1, *row), dtype="float32")]
        model.export(folder, format="tf_saved_model", input_signature=signature, verbose=False)
        exact = tf.lite.TFLiteConverter.from_saved_model(folder)
        file.with_suffix(".float.tflite").write_bytes(exact.convert())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        yield converter


def ends(file: Path) -> tuple[Tensor, Tensor]:
    """Input and output tensor of a file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    return describe(given), describe(made)


def check(file: Path, *, weights: int) -> tuple[Tensor, Tensor]:
    """Input and output tensor of an int8 file that holds all its weights.

    Args:
        file: to be checked.
        weights: how many the Keras model has in its kernels.

    Raises:
        ConversionError: weights are missing, or a tensor is still a float.
    """
    from ai_edge_litert.interpreter import Interpreter

    stored = _stored_int8(file)
    if stored < weights:
        raise ConversionError(
            f"{file.name}: holds {stored} int8 weights of {weights}; fix: convert from a "
            "SavedModel with batch 1"
        )
    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    floats = [t["name"] for t in interpreter.get_tensor_details() if t["dtype"] is np.float32]
    if floats:
        raise ConversionError(
            f"{file.name}: {len(floats)} tensors are floats, such as {floats[0]!r}; "
            "fix: use layers that TFLite has in int8"
        )
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    return describe(given), describe(made)


def _stored_int8(file: Path) -> int:
    """How many int8 numbers stand in the file's constant tensors."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(file.read_bytes(), 0)
    stored = 0
    for g in range(model.SubgraphsLength()):
        graph = model.Subgraphs(g)
        for t in range(graph.TensorsLength()):
            tensor = graph.Tensors(t)
            if tensor.Type() == schema.TensorType.INT8:
                stored += model.Buffers(tensor.Buffer()).DataLength()
    return stored
