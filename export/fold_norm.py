"""Batch normalization folded into the convolution before it: what is left at inference.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, section 3.2. The converter to TFLite leaves normalizations as floats in
networks of many, so it gets none.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def folded(model: Any) -> Any:
    """The same function without normalizations that follow a convolution and nothing else does.

    Args:
        model: functional Keras model; stays as it is.

    Returns:
        a model of its own.
    """
    import keras
    from keras import layers

    pairs = {}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            before = layer.input._keras_history.operation  # noqa: SLF001 - there is no other way
            is_alone = len(before._outbound_nodes) == 1  # noqa: SLF001
            kinds = (layers.Conv2D, layers.DepthwiseConv2D)
            if isinstance(before, kinds) and not before.use_bias and is_alone:
                pairs[before.name] = layer
    gone = {layer.name for layer in pairs.values()}

    def clone(layer: Any) -> Any:
        with_bias = {"use_bias": True} if layer.name in pairs else {}
        return type(layer).from_config(layer.get_config() | with_bias)

    def call(layer: Any, *inputs: Any, **more: Any) -> Any:
        return inputs[0] if layer.name in gone else layer(*inputs, **more)

    made = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        if layer.name not in gone and layer.weights:
            is_both = layer.name in pairs
            weights = _together(layer, pairs[layer.name]) if is_both else layer.get_weights()
            made.get_layer(layer.name).set_weights(weights)
    return made


def _together(convolution: Any, normalization: Any) -> list[Any]:
    """Kernel and bias of a convolution that does both."""
    from keras import layers

    gamma, beta, mean, variance = (w.astype(np.float64) for w in normalization.get_weights())
    factor = gamma / np.sqrt(variance + normalization.epsilon)
    (kernel,) = convolution.get_weights()
    is_depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    along = factor.reshape(kernel.shape[2:]) if is_depthwise else factor
    return [(kernel * along).astype(np.float32), (beta - mean * factor).astype(np.float32)]
