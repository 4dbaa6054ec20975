"""MediaPipe's face mesh, rebuilt in Keras from its published TFLite file, reduced to what is used.

Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", CVPR
workshops 2019. From a square around a face it gives whether that is one (a logit) and 468 points of
its surface in pixels of the square. All these points hang together in one network, so those in
shadow are placed by the others: that is what makes it hold in hard side light.

What is used of the points are means of a few: they are sums of outputs of one convolution, so they
are computed in its weights, and the other nine tenths of it are left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from contract.spec import Floats
from training.datasets import DataError
from training.weights import heads, layers, tflite_graph
from training.weights.layers import Pixels
from training.weights.tflite_graph import Graph

_PIXELS = Pixels(zero=0.0, span=255.0)
_POINTS = 468
_OF_A_POINT = 3  # x, y, and a depth that is not used
# numbers of the mesh's points: outlines of the eye at picture left and at picture right, nose, lips
_EYE_LEFT, _EYE_RIGHT = (33, 133, 159, 145), (362, 263, 386, 374)
_NOSE, _LIPS = (1, 4, 98, 327), (61, 291, 13, 14, 0, 17)
# the outermost to picture left and right, the uppermost and the lowest of an upright face
_EDGES = ((234,), (454,), (10,), (152,))
GROUPS = (*_EDGES, _EYE_LEFT, _EYE_RIGHT, _NOSE, _LIPS)


def model(file: Path, spans: Floats | None = None) -> Any:
    """The network of the file.

    Args:
        file: as fetched.
        spans: (2, 17) as for the detectors (`blazeface`): each column is clipped and given as 0 to
            6; without spans the columns are as published.

    Returns:
        Keras model from (192, 192, 3) float32 RGB pixels from 0 to 255 to (1, 17) float32: a logit,
        then x, y of the edges of the face at picture left, right, top and bottom, of both eyes,
        nose and mouth.

    Raises:
        DataError: the file is no TFLite file, or another network.
    """
    graph = tflite_graph.read(file)
    if max(graph.shapes[number][-1] for number in graph.outputs) != _POINTS * _OF_A_POINT:
        raise DataError(f"{file}: no face mesh of {_POINTS} points; fix: fetch it again")
    graph = _reduced(graph)
    return layers.build(file, graph if spans is None else heads.spread(graph, spans), _PIXELS)


def _reduced(graph: Graph) -> Graph:
    """The same with means of groups of points for its points."""
    points = max(graph.outputs, key=lambda number: graph.shapes[number][-1])
    (last,) = (one for one in graph.operators if one.output == points)
    _, kernel, bias = last.inputs
    means = _means()
    constants = dict(graph.constants)
    constants[kernel] = np.tensordot(means, constants[kernel], 1)
    constants[bias] = means @ constants[bias]
    shapes = {**graph.shapes, points: (*graph.shapes[points][:-1], len(means))}
    return replace(graph, constants=constants, shapes=shapes)


def _means() -> Floats:
    """(16, 1404) float32: from all points to x and y of each group."""
    made = np.zeros((2 * len(GROUPS), _POINTS * _OF_A_POINT), np.float32)
    for i, group in enumerate(GROUPS):
        for axis in (0, 1):
            made[2 * i + axis, [_OF_A_POINT * number + axis for number in group]] = 1 / len(group)
    return made
