"""Keras to ONNX, statically quantized (QDQ)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from contract.manifest import Tensor
from contract.spec import Floats
from edge.engines.onnx import describe
from export.convert import ConversionError

_IR_VERSION = 8  # what every ONNX Runtime in use on boards can read
_OPSET = 17


class _Calibration:
    """What ONNX Runtime reads its calibration set from: one row after the other, then None."""

    def __init__(self, name: str, rows: Floats) -> None:
        self._rows = iter([{name: row[None]} for row in rows])

    def get_next(self) -> dict[str, Floats] | None:
        """The next row by input name."""
        return next(self._rows, None)


def convert(model: Any, calibration: Floats, file: Path) -> None:
    """Write the quantized `file`.

    Weights and activations are signed (S8S8), because only then are the results the same to the
    last bit on x86-64 and arm64; weights are quantized per channel.

    Args:
        model: Keras model with one input and one output.
        calibration: (n, *input_shape) float32.
        file: what to write.
    """
    import keras
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder, "plain.onnx"), Path(folder, "prepared.onnx")
        signature = [keras.InputSpec(shape=(1, *calibration.shape[1:]), dtype="float32")]
        model.export(
            str(plain),
            format="onnx",
            input_signature=signature,
            opset_version=_OPSET,
            verbose=False,
        )
        quant_pre_process(str(plain), str(prepared))
        quantization.quantize_static(
            str(prepared),
            str(file),
            _Calibration(onnx.load(plain).graph.input[0].name, calibration),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    made = onnx.load(file)
    made.ir_version = min(made.ir_version, _IR_VERSION)
    _each_its_own_weights(made.graph)
    onnx.save(made, file)


def _each_its_own_weights(graph: Any) -> None:
    """Layers that are used twice get their weights twice.

    Without that ONNX Runtime does not load them on x86 without VNNI, where it turns int8 weights
    into uint8 (see `edge.engines.onnx.options`) and refuses to do it twice to one tensor.

    Args:
        graph: of a quantized model, is changed.
    """
    import onnx

    tensors = {one.name: one for one in graph.initializer}
    made_float = {
        one.output[0]: one
        for one in graph.node
        if one.op_type == "DequantizeLinear" and one.input[0] in tensors
    }
    used: set[str] = set()
    wanted = [
        (node, place, name)
        for node in graph.node
        for place, name in enumerate(node.input)
        if name in made_float
    ]
    for number, (node, place, name) in enumerate(wanted):
        own = onnx.NodeProto()
        own.CopyFrom(made_float[name])
        for which, needed in enumerate(own.input):
            if needed in used:
                copied = onnx.TensorProto()
                copied.CopyFrom(tensors[needed])
                copied.name = own.input[which] = f"{needed}.{number}"
                graph.initializer.append(copied)
            used.add(needed)
        own.name, own.output[0] = f"{own.name}.{number}", f"{name}.{number}"
        graph.node.insert(0, own)
        node.input[place] = own.output[0]
    for one in made_float.values():
        graph.node.remove(one)


def check(file: Path, *, weights: int) -> tuple[Tensor, Tensor]:
    """Input and output tensor of a quantized file that holds all its weights.

    Args:
        file: to be checked.
        weights: how many the Keras model has in its kernels.

    Raises:
        ConversionError: weights are missing or still floats, or the format is too new for boards.
    """
    import onnx
    import onnxruntime

    model = onnx.load(file)
    kernels = [i for i in model.graph.initializer if len(i.dims) >= 2]
    stored = sum(int(np.prod(i.dims)) for i in kernels if i.data_type == onnx.TensorProto.INT8)
    if stored < weights:
        raise ConversionError(
            f"{file.name}: holds {stored} int8 weights of {weights}; fix: use layers that ONNX "
            "Runtime can quantize"
        )
    if model.ir_version > _IR_VERSION:
        raise ConversionError(
            f"{file.name}: IR version {model.ir_version}, boards read up to {_IR_VERSION}; "
            "fix: install the locked version of onnx"
        )
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return describe(session.get_inputs()[0]), describe(session.get_outputs()[0])
