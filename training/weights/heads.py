"""The last layers of a face detector, made fit for int8.

A quantized tensor has one scale for all its columns, and the published ones do not suit that: on
pictures without a face logits fall to -10,000, and a box is 200 pixels wide where an eye is 20
pixels away. Hence each column is clipped to the span that matters and spread over 0 to 6, where
ReLU6 ends: the factors go into the last convolutions and cost nothing, and ReLU6 is what converters
fuse into a convolution, so that its int8 range is exactly this.

The sparse full-range model ends with a depthwise convolution that sums what four neighbours say,
and what it sums has an even wider range; that is clipped and spread likewise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from contract.ops import decode
from contract.spec import Array, Floats
from training.weights.tflite_graph import Graph, Operator

COLUMNS = 17
PAD_VALUE = "value"  # an option of PAD that the schema lacks
_TOP = np.float32(decode.TOP)
_RELU6 = {"fusedActivationFunction": 3}
# What is summed may be this many times as large as if all neighbours said the same. Scores need
# more, since they fall off steeply around a face.
_MARGIN = {1: 4.0, 16: 1.5}


def spread(graph: Graph, spans: Floats) -> Graph:
    """The same network with each column of its outputs spread from its span to 0 to 6.

    Args:
        graph: with the outputs (1, anchors, 1) score and (1, anchors, 16).
        spans: (2, 17) least and largest value of each column, score first.
    """
    constants = dict(graph.constants)
    operators = {one.output: one for one in graph.operators}
    ends = [(number, graph.shapes[number][-1]) for number in graph.outputs]
    while ends:
        number, columns = ends.pop()
        one = operators[number]
        if one.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            ends += [(given, columns) for given in one.inputs if given in operators]
            continue
        low, high = spans[:, :1] if columns == 1 else spans[:, 1:]
        times = graph.shapes[number][-1] // columns  # several anchors in one cell
        low, high = np.tile(low, times), np.tile(high, times)
        if one.kind == "DEPTHWISE_CONV_2D":
            _spread_summed(operators, constants, one, low, high, margin=_MARGIN[columns])
        _scale(constants, one, _TOP / (high - low), -low)
        operators[number] = _clipped(one)
    return replace(graph, operators=tuple(operators.values()), constants=constants)


def _spread_summed(
    operators: dict[int, Operator],
    constants: dict[int, Array],
    one: Operator,
    low: Floats,
    high: Floats,
    *,
    margin: float,
) -> None:
    """What a depthwise convolution sums is spread from -limit..limit to 0 to 6."""
    kernel, bias = (constants[number] for number in one.inputs[1:])
    total = kernel.sum((0, 1, 2))
    limit = margin * np.maximum(abs(low - bias), abs(high - bias)) / abs(total)
    padding = operators[one.inputs[0]]
    before = operators[padding.inputs[0]]
    _scale(constants, before, _TOP / 2 / limit, limit)
    operators[before.output] = _clipped(before)
    # 0 has become the middle
    operators[padding.output] = replace(padding, options={PAD_VALUE: float(_TOP / 2)})
    constants[one.inputs[1]] = kernel * (limit / (_TOP / 2))
    constants[one.inputs[2]] = bias - limit * total


def _scale(constants: dict[int, Array], one: Operator, factor: Floats, offset: Floats) -> None:
    """Let a convolution give (what it gave + offset) * factor."""
    _, kernel, bias = one.inputs
    along = factor if one.kind == "DEPTHWISE_CONV_2D" else factor[:, None, None, None]
    constants[kernel] = constants[kernel] * along
    constants[bias] = (constants[bias] + offset) * factor


def _clipped(one: Operator) -> Operator:
    options: Mapping[str, object] = {**one.options, **_RELU6}
    return replace(one, options=options)
