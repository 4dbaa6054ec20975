"""The network that tells a living face from a picture of one: small, for both looks at once.

Depthwise separable convolutions (A. Howard et al., "MobileNets", 2017) as in the MiniFASNet class,
a branch of their own for each look of `contract.ops.live`. Backend-neutral.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contract.ops.live import SIZE
from contract.spec import Floats
from training.recipes import Examples, StageRecipe

_WIDTHS = (16, 32, 48, 64)
_SURE = 0.97  # a target of 1.0 would push int8 outputs to their end, where all are alike


def network(input_shape: tuple[int, ...] = (SIZE, SIZE, 6), _inputs: Floats | None = None) -> Any:
    """An uncompiled Keras model, (n, 80, 80, 6) pixels from 0 to 255 -> (n, 1), 1.0: living."""
    import keras
    from keras import layers

    def block(x: Any, width: int, strides: int) -> Any:
        x = layers.DepthwiseConv2D(3, strides, "same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.98)(x))
        x = layers.Conv2D(width, 1, use_bias=False)(x)
        return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.98)(x))

    def look(x: Any) -> Any:
        x = layers.Conv2D(_WIDTHS[0], 3, 2, "same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.98)(x))
        for width in _WIDTHS[1:]:
            x = block(x, width, 2)
            x = block(x, width, 1)
        return layers.GlobalAveragePooling2D()(x)

    pixels = layers.Input(input_shape)
    scaled = layers.Rescaling(1 / 127.5, -1.0)(pixels)
    both = layers.Concatenate()([look(scaled[..., :3]), look(scaled[..., 3:])])
    x = layers.Dropout(0.3)(both)
    x = layers.Dense(32, activation="relu")(x)
    return keras.Model(pixels, layers.Dense(1, activation="sigmoid")(x))


def varied(rows: Floats, living: Floats, rng: np.random.Generator) -> Examples:
    """Other light, other cameras, other sides; nothing that a medium does.

    Args:
        rows: (n, 80, 80, 6) of any type, 0 to 255.
        living: (n, 1), 1.0 is living.
        rng: of this batch.

    Returns:
        as many, float32, and the targets.
    """
    n = len(rows)
    x = np.asarray(rows, np.float32) / 255.0
    turned = rng.random(n) < 0.5
    x[turned] = x[turned, :, ::-1]
    grey = rng.random(n) < 0.15
    for first in (0, 3):
        look = x[grey, ..., first : first + 3]
        x[grey, ..., first : first + 3] = look.mean(axis=-1, keepdims=True)
    each = (n, 1, 1, 1)
    x **= np.exp(rng.normal(0.0, 0.2, each)).astype(np.float32)
    colours = np.tile(np.exp(rng.normal(0.0, 0.05, (n, 1, 1, 3))), 2)
    x *= (colours * np.exp(rng.normal(0.0, 0.15, each))).astype(np.float32)
    x += rng.normal(0.0, 0.03, each).astype(np.float32)
    return np.clip(x, 0.0, 1.0) * np.float32(255.0), np.abs(living - np.float32(1.0 - _SURE))


def recipe(epochs: int) -> StageRecipe:
    """How `network` is trained; its examples are made by `training.liveness`."""
    return StageRecipe(
        data=lambda _recordings: (np.empty(0, np.float32), np.empty(0, np.float32)),
        model=network,
        augment=varied,
        loss="binary_crossentropy",
        epochs=epochs,
        batch=32,
        learning_rate=2e-3,
        by_batch=True,
    )
