"""A network read from a TFLite file (`tflite_graph`), rebuilt in Keras: backend-neutral layers.

What the published files expect of their input, such as pixels from -1 to 1, is folded into the
first convolution, whose padding then has the value that stood for 0: the result is the same, and
camera bytes go in as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training import backend
from training.datasets import DataError
from training.weights import heads
from training.weights.tflite_graph import Graph, Operator

# the schema's numbers: of this padding; and of activations, with their upper ends
_SAME = 0
_ACTIVATIONS = {0: (), 1: (None,), 3: (6.0,)}

Pads = tuple[tuple[int, int], ...]  # (before, after) for rows, columns and perhaps channels
_NO_PADS: Pads = ((0, 0), (0, 0))
_ROWS_AND_COLUMNS = 3  # axes, with the batch's


@dataclass(frozen=True)
class Pixels:
    """What a published network was trained on: (pixel - zero) / span."""

    zero: float
    span: float


def build(file: Path, graph: Graph, pixels: Pixels) -> Any:
    """The network.

    Args:
        file: it was read from; for messages.
        graph: read, and perhaps changed.
        pixels: what it takes.

    Returns:
        Keras model from (height, width, 3) float32 RGB pixels from 0 to 255 to (rows, columns)
        float32, the outputs side by side, that with the fewest columns first.

    Raises:
        DataError: it holds operators that are not known here.
    """
    backend.quiet()
    import keras

    given = keras.Input(graph.shapes[graph.input][1:], name="pixels")
    made: dict[int, Any] = {graph.input: given}
    for one in graph.operators:
        if one.kind not in _KINDS:
            raise DataError(f"{file}: {one.kind} is no operator of these networks; fix: fetch it")
        made[one.output] = _KINDS[one.kind](graph, one, made, pixels)
    ends = sorted(graph.outputs, key=lambda number: graph.shapes[number][-1])
    joined = keras.layers.Concatenate(axis=-1)([made[number] for number in ends])
    if len(joined.shape) > _ROWS_AND_COLUMNS:
        joined = keras.layers.Reshape((-1, joined.shape[-1]))(joined)
    return keras.Model(given, joined, name=file.stem)


@dataclass(frozen=True, eq=False)
class _Padded:
    """A picture, and what the convolution behind it sees around it."""

    x: Any
    pads: Pads
    value: float


def _convolution(graph: Graph, one: Operator, made: Mapping[int, Any], pixels: Pixels) -> Any:
    """A convolution over all channels, or over each by itself."""
    import keras

    given, weights, offsets = one.inputs
    kernel, bias = graph.constants[weights], graph.constants[offsets]
    strides = (one.options["strideH"], one.options["strideW"])
    x, pads, value = made[given], _NO_PADS, 0.0
    if isinstance(x, _Padded):
        x, pads, value = x.x, x.pads, x.value
    same = _same(x.shape[1:3], kernel.shape[1:3], strides)
    if one.options["padding"] == _SAME:
        pads = same
    if x is made[graph.input]:  # camera bytes go in as they are
        zero, span = pixels.zero, pixels.span
        bias = bias - kernel.sum((1, 2, 3)) * np.float32(zero / span)
        kernel = kernel / np.float32(span)
        value = zero
    if value or pads != same:  # layers pad with zeros, an odd one after
        x, pads = _pad(x, pads, value=value), _NO_PADS
    how: dict[str, Any] = {"strides": strides, "padding": "valid" if pads == _NO_PADS else "same"}
    if one.kind == "CONV_2D":
        layer = keras.layers.Conv2D(len(kernel), kernel.shape[1:3], **how)
    else:
        layer = keras.layers.DepthwiseConv2D(kernel.shape[1:3], **how)
    y = layer(x)
    # (out, rows, columns, in), or (1, rows, columns, channels) where each is by itself
    layer.set_weights([kernel.transpose(1, 2, 3, 0), bias])
    return _activated(y, one)


def _pad(x: Any, pads: Pads, *, value: float = 0.0) -> Any:
    """The picture with `value` around it, and perhaps with more channels."""
    import keras

    every = ((0, 0), *pads, *[(0, 0)] * (3 - len(pads)))
    return keras.ops.pad(x, every, constant_values=value) if any(map(any, every)) else x


def _same(shape: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...]) -> Pads:
    """The zeros of a padding called `same`: an odd one comes after."""
    missing = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(shape, kernel, strides, strict=True)
    ]
    return tuple((m // 2, m - m // 2) for m in missing)


def _activated(x: Any, one: Operator) -> Any:
    import keras

    for top in _ACTIVATIONS[one.options["fusedActivationFunction"]]:
        x = keras.layers.ReLU(max_value=top)(x)
    return x


def _padding(graph: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    given, amounts = one.inputs
    _, *pads = ((int(before), int(after)) for before, after in graph.constants[amounts])
    if any(pads[2]):
        return _pad(made[given], tuple(pads))
    return _Padded(made[given], tuple(pads[:2]), one.options.get(heads.PAD_VALUE, 0.0))


def _sum(_: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    import keras

    return _activated(keras.layers.Add()([made[number] for number in one.inputs]), one)


def _joined(_: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    import keras

    return keras.layers.Concatenate(axis=one.options["axis"])([made[n] for n in one.inputs])


def _relu(_: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    import keras

    return keras.layers.ReLU()(made[one.inputs[0]])


def _largest(_: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    import keras

    size = (one.options["filterHeight"], one.options["filterWidth"])
    strides = (one.options["strideH"], one.options["strideW"])
    padding = "same" if one.options["padding"] == _SAME else "valid"
    return keras.layers.MaxPooling2D(size, strides, padding)(made[one.inputs[0]])


def _enlarged(graph: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    """Bilinear between the centres of pixels, as Keras does it."""
    import keras

    x = made[one.inputs[0]]
    factors = tuple(
        n // m for n, m in zip(graph.shapes[one.output][1:3], x.shape[1:3], strict=True)
    )
    return keras.layers.UpSampling2D(factors, interpolation="bilinear")(x)


def _to_space(_: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    import keras

    return keras.ops.depth_to_space(made[one.inputs[0]], one.options["blockSize"])


def _reshaped(graph: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    import keras

    return keras.layers.Reshape(graph.shapes[one.output][1:])(made[one.inputs[0]])


def _leaky(graph: Graph, one: Operator, made: Mapping[int, Any], _pixels: Pixels) -> Any:
    """PReLU: below 0 each channel has its own slope."""
    import keras

    given, slopes = one.inputs
    layer = keras.layers.PReLU(shared_axes=[1, 2])
    y = layer(made[given])
    layer.set_weights([graph.constants[slopes].reshape(1, 1, -1)])
    return y


_KINDS: Mapping[str, Callable[[Graph, Operator, Mapping[int, Any], Pixels], Any]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "PAD": _padding,
    "ADD": _sum,
    "CONCATENATION": _joined,
    "RELU": _relu,
    "PRELU": _leaky,
    "MAX_POOL_2D": _largest,
    "RESIZE_BILINEAR": _enlarged,
    "DEPTH_TO_SPACE": _to_space,
    "RESHAPE": _reshaped,
}
