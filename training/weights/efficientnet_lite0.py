"""EfficientNet-Lite0 as trained on ImageNet, rebuilt in Keras with its batch norms folded in.

Tan and Le, "EfficientNet", ICML 2019; its Lite version (2020) has no squeeze-and-excitation and
ReLU6 instead of swish, so that it quantizes well. Input: pixels from 0 to 255, which the published
network takes as (pixel - 127) / 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from contract.spec import Array, Floats
from training import backend, weights
from training.weights import torch_pickle

_EPSILON = 1e-3
_STEM = 32
# (repeated, kernel, stride of the first, expansion, filters)
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LAST_BLOCK = sum(repeated for repeated, *_ in _BLOCKS) - 1


def network(shape: tuple[int, int, int], *, last: int = LAST_BLOCK, is_pretrained: bool) -> Any:
    """The network up to one of its blocks.

    Args:
        shape: of the input: rows, columns, 3.
        last: number of the last block that is built, from 0.
        is_pretrained: with the published weights, which are fetched; else with fresh ones.

    Returns:
        Keras model, (n, *shape) pixels from 0 to 255 -> (n, rows, columns, filters), whose layers
        `block_N` are the outputs of its blocks, and `block_N_wide` what a block spreads its input
        to, from 0 to 6.

    Raises:
        DataError: the weights cannot be fetched.
    """
    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input(shape, name="pixels")
    x = layers.Rescaling(1 / 128, -127 / 128, name="scale")(pixels)
    x = _relu6(layers.Conv2D(_STEM, 3, strides=2, padding="same", name="stem")(x))
    number = 0
    for repeated, kernel, stride, expansion, filters in _BLOCKS:
        for again in range(repeated):
            if number > last:
                break
            stride_here = stride if again == 0 else 1
            x = _block(x, number, kernel, stride_here, expansion, filters)
            number += 1
    model = keras.Model(pixels, x, name="efficientnet_lite0")
    if is_pretrained:
        _fill(model, torch_pickle.read(weights.fetch(weights.EFFICIENTNET_LITE0)))
    return model


def head(tensors: Mapping[str, Array]) -> tuple[Floats, Floats, Floats, Floats]:
    """What follows the last block in the published network: a convolution and a classifier.

    Returns:
        kernel (320, 1280) and bias (1280,) up to ReLU6 and the mean over all places, then weights
        (1280, 1000) and bias (1000,) of the classes of ImageNet.
    """
    kernel, bias = _folded(tensors, "_conv_head", "_bn1")
    return kernel[0, 0], bias, tensors["_fc.weight"].T, tensors["_fc.bias"]


def _block(x: Any, number: int, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    """An inverted residual (Sandler et al., MobileNetV2, CVPR 2018)."""
    from keras import layers

    y = x
    name = f"block_{number}"
    if expansion > 1:
        y = layers.Conv2D(expansion * x.shape[-1], 1, name=f"{name}_expand")(y)
        y = _relu6(y, name=f"{name}_wide")
    y = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", name=f"{name}_depthwise")(y)
    is_residual = stride == 1 and x.shape[-1] == filters
    y = layers.Conv2D(filters, 1, name=f"{name}_project" if is_residual else name)(_relu6(y))
    return layers.Add(name=name)([x, y]) if is_residual else y


def _relu6(x: Any, name: str | None = None) -> Any:
    from keras import layers

    return layers.ReLU(6.0, name=name)(x)


def _fill(model: Any, tensors: Mapping[str, Array]) -> None:
    """Put the published weights in, each convolution's with the batch norm that follows it."""
    for layer in model.layers:
        name = layer.name
        if name == "stem":
            layer.set_weights(_folded(tensors, "_conv_stem", "_bn0"))
        elif layer.weights:
            number, _, part = name.removeprefix("block_").partition("_")
            stem = f"_blocks.{number}."
            # an expanding block counts its batch norms from 0, one without from 1, as PyTorch's do
            conv, norm = {
                "expand": ("_expand_conv", "_bn0"),
                "depthwise": ("_depthwise_conv", "_bn1"),
            }.get(part, ("_project_conv", "_bn2"))
            layer.set_weights(_folded(tensors, stem + conv, stem + norm))


def _folded(tensors: Mapping[str, Array], conv: str, norm: str) -> tuple[Floats, Floats]:
    """Kernel and bias of a convolution together with its batch norm."""
    gain = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + _EPSILON)
    kernel = tensors[f"{conv}.weight"] * gain[:, None, None, None]
    # out, in, rows, columns to rows, columns, in, out; depthwise ones have no in, but an out of 1
    is_depthwise = "depthwise" in conv
    kernel = kernel.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
    bias = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * gain
    return kernel.astype(np.float32), bias.astype(np.float32)
