"""What a model looks at."""

from __future__ import annotations

import numpy as np

from contract.spec import Floats
from training.watch import Model


def occlusion(model: Model, rows: Floats) -> Floats:
    """How far the output moves when one element of the input is replaced by its mean.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, for
    inputs of any shape; it asks nothing of the model but to be run.

    Args:
        model: (n, *input_shape) -> (n, *output_shape).
        rows: (n, *input_shape) float32.

    Returns:
        (*input_shape,) float32, root of the mean squared change over rows and outputs.
    """
    flat = rows.reshape(len(rows), -1)
    plain = model(rows)
    moved = np.empty(flat.shape[1], np.float32)
    for element in range(flat.shape[1]):
        hidden = flat.copy()
        hidden[:, element] = flat[:, element].mean()
        moved[element] = np.sqrt(np.mean(np.square(model(hidden.reshape(rows.shape)) - plain)))
    return moved.reshape(rows.shape[1:])


def residual(inputs: Floats, outputs: Floats) -> Floats:
    """(*input_shape,) float32: the mean absolute residual of each element of a rebuilt input.

    Args:
        inputs: (n, *input_shape) float32, n >= 1.
        outputs: of the shape of the inputs.
    """
    missed: Floats = np.abs(inputs - outputs).mean(axis=0)
    return missed
