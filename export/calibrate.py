"""The calibration set: what activations look like, so that their int8 range fits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contract.spec import Floats
from training.datasets import Recording
from training.recipes import StageRecipe

_ROWS = 400


def rows(recipe: StageRecipe, training: Sequence[Recording], *, seed: int) -> Floats:
    """Inputs spread evenly over the training split: the recipe's choice, or as in training.

    From the training split only: a model calibrated on test data has seen it.

    Args:
        recipe: of the stage.
        training: recordings of the training split.
        seed: of the run.

    Returns:
        (at most 400, *input_shape) float32.
    """
    if recipe.calibration is not None:
        inputs = recipe.calibration(training)
    else:
        inputs, _ = recipe.augment(*recipe.data(training), np.random.default_rng(seed))
    return inputs[np.linspace(0, len(inputs) - 1, min(_ROWS, len(inputs))).astype(int)]
