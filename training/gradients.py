"""Gradients of a network's output, on any Keras backend.

Keras 3 names no gradient of its own, but its trainers know every backend's. So something that is
zero is added to what the gradient is asked of, and trained for one step of plain descent at rate 1:
what it is afterwards is the gradient, negated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from contract.spec import Floats

_LAYER = "zero"


def gradients(
    model: Any, layer: str, score: Callable[[Any], Any], *, rows: int
) -> Callable[[Floats], tuple[Floats, Floats]]:
    """How a score of a model's output moves with what one of its layers says.

    Args:
        model: Keras model. Its layers are frozen: nothing of it can be trained from now on.
        layer: whose output the score is differentiated by.
        score: outputs (n, *output_shape) -> (n,), with `keras.ops`.
        rows: of each call; another number than this is refused by Keras.

    Returns:
        (rows, *input_shape) float32 -> what the layer says and the gradient by it, both
        (rows, *layer_shape) float32.
    """
    import keras

    zero = _zero_layer((rows, *model.get_layer(layer).output.shape[1:]))

    def call(one: Any, *given: Any, **named: Any) -> Any:
        said = one(*given, **named)
        return zero(said) if one.name == layer else said

    # the very layers, so that other weights set later count
    with_zero = keras.models.clone_model(model, clone_function=lambda one: one, call_function=call)
    for one in model.layers:
        one.trainable = False
    with_zero.compile(
        keras.optimizers.SGD(1.0), loss=lambda _, outputs: rows * score(outputs), jit_compile=False
    )
    said = keras.Model(model.input, model.get_layer(layer).output)

    def differentiated(inputs: Floats) -> tuple[Floats, Floats]:
        zero.set_weights([np.zeros(zero.added.shape, np.float32)])
        with_zero.train_on_batch(inputs, np.zeros((rows, 1), np.float32))
        gradient = -np.asarray(zero.get_weights()[0])
        return np.asarray(said.predict_on_batch(inputs), np.float32), gradient

    return differentiated


def _zero_layer(shape: tuple[int, ...]) -> Any:
    """A layer that adds its only weight, (n, *shape), to what it is given."""
    import keras

    class Zero(keras.layers.Layer):  # type: ignore[misc]
        def build(self, _shape: Any) -> None:
            self.added = self.add_weight(shape=shape, initializer="zeros", name="added")

        def call(self, said: Any) -> Any:
            return said + self.added

    return Zero(name=_LAYER)
