"""MediaPipe's face detectors, rebuilt in Keras from their published TFLite files.

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019, and
the full-range models that followed. Each anchor gives a score (a logit) and 16 numbers in pixels of
the input: box centre x, y, width, height, then x, y of the eye at picture left, the eye at picture
right, the tip of the nose, the mouth, and two points near the ears. Centre and points are relative
to the anchor.

The published files take pixels from -1 to 1. Here that is folded into the first convolution, whose
padding is then 127.5, so that the result is the same and camera bytes go in as they are.

Only the dense full-range model survives int8 as it is: on 243 pictures its points move by 0.28
pixels of 192 on average. The sparse one moves by 2 and loses faces, and so does the one for the
back camera: what they compute where there is no face takes up the range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.ops import decode
from contract.spec import Floats
from training import backend
from training.datasets import DataError
from training.weights import heads, tflite_graph
from training.weights.tflite_graph import Graph, Operator

_MIDDLE = 127.5  # the pixel value that the published files call 0
# the schema's numbers: of this padding; and of activations, with their upper ends
_SAME = 0
_ACTIVATIONS = {0: (), 1: (None,), 3: (6.0,)}

FULL_RANGE_SPANS, BACK_SPANS = decode.FULL_RANGE.spans, decode.BACK.spans

Pads = tuple[tuple[int, int], ...]  # (before, after) for rows, columns and perhaps channels
_NO_PADS: Pads = ((0, 0), (0, 0))


def model(file: Path, spans: Floats | None = None) -> Any:
    """The network of one file.

    Args:
        file: as fetched.
        spans: (2, 17) the least and the largest value of each column that matter. Each column is
            then clipped to its span and given as 0 to 6 (`heads`). Without spans the columns are
            as published.

    Returns:
        Keras model from (size, size, 3) float32 RGB pixels from 0 to 255 to (anchors, 17) float32.

    Raises:
        DataError: the file is no TFLite file, or holds operators that these detectors lack.
    """
    backend.quiet()
    import keras

    graph = tflite_graph.read(file)
    if spans is not None:
        graph = heads.spread(graph, spans)
    pixels = keras.Input(graph.shapes[graph.input][1:], name="pixels")
    made: dict[int, Any] = {graph.input: pixels}
    for one in graph.operators:
        if one.kind not in _KINDS:
            raise DataError(f"{file}: {one.kind} is no operator of these detectors; fix: fetch it")
        made[one.output] = _KINDS[one.kind](graph, one, made)
    ends = sorted(graph.outputs, key=lambda number: graph.shapes[number][-1])  # score first
    joined = keras.layers.Concatenate(axis=-1)([made[number] for number in ends])
    return keras.Model(pixels, joined, name=file.stem)


@dataclass(frozen=True, eq=False)
class _Padded:
    """A picture, and what the convolution behind it sees around it."""

    x: Any
    pads: Pads
    value: float


def _convolution(graph: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
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
    if x is made[graph.input]:
        # the network was trained on pixel / 127.5 - 1
        bias = bias - kernel.sum((1, 2, 3))
        kernel = kernel / np.float32(_MIDDLE)
        value = _MIDDLE
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


def _padding(graph: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    given, amounts = one.inputs
    _, *pads = ((int(before), int(after)) for before, after in graph.constants[amounts])
    if any(pads[2]):
        return _pad(made[given], tuple(pads))
    return _Padded(made[given], tuple(pads[:2]), one.options.get(heads.PAD_VALUE, 0.0))


def _sum(_: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    import keras

    return _activated(keras.layers.Add()([made[number] for number in one.inputs]), one)


def _joined(_: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    import keras

    return keras.layers.Concatenate(axis=one.options["axis"])([made[n] for n in one.inputs])


def _relu(_: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    import keras

    return keras.layers.ReLU()(made[one.inputs[0]])


def _largest(_: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    import keras

    size = (one.options["filterHeight"], one.options["filterWidth"])
    strides = (one.options["strideH"], one.options["strideW"])
    padding = "same" if one.options["padding"] == _SAME else "valid"
    return keras.layers.MaxPooling2D(size, strides, padding)(made[one.inputs[0]])


def _enlarged(graph: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    """Bilinear between the centres of pixels, as Keras does it."""
    import keras

    x = made[one.inputs[0]]
    factors = tuple(
        n // m for n, m in zip(graph.shapes[one.output][1:3], x.shape[1:3], strict=True)
    )
    return keras.layers.UpSampling2D(factors, interpolation="bilinear")(x)


def _to_space(_: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    import keras

    return keras.ops.depth_to_space(made[one.inputs[0]], one.options["blockSize"])


def _reshaped(graph: Graph, one: Operator, made: Mapping[int, Any]) -> Any:
    import keras

    return keras.layers.Reshape(graph.shapes[one.output][1:])(made[one.inputs[0]])


_KINDS: Mapping[str, Callable[[Graph, Operator, Mapping[int, Any]], Any]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "PAD": _padding,
    "ADD": _sum,
    "CONCATENATION": _joined,
    "RELU": _relu,
    "MAX_POOL_2D": _largest,
    "RESIZE_BILINEAR": _enlarged,
    "DEPTH_TO_SPACE": _to_space,
    "RESHAPE": _reshaped,
}
