"""What a model looks at."""

from __future__ import annotations

import numpy as np

from contract.fold import Model
from contract.spec import Floats


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
    elements = np.arange(flat.shape[1])
    hidden = np.repeat(flat[None], len(elements), axis=0)
    hidden[elements, :, elements] = flat.mean(axis=0)[:, None]
    # all at once: a call of a model costs far more than a row in it
    moved = model(hidden.reshape(-1, *rows.shape[1:])).reshape(len(elements), -1)
    change: Floats = np.sqrt(np.mean(np.square(moved - model(rows).ravel()), axis=1))
    return change.reshape(rows.shape[1:])


def residual(inputs: Floats, outputs: Floats) -> Floats:
    """(*input_shape,) float32: the mean absolute residual of each element of a rebuilt input.

    Args:
        inputs: (n, *input_shape) float32, n >= 1.
        outputs: of the shape of the inputs.
    """
    missed: Floats = np.abs(inputs - outputs).mean(axis=0)
    return missed
