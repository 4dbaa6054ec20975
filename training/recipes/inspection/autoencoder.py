"""A baseline from good parts alone: what a small autoencoder cannot draw again is a defect.

After Bergmann et al., "Improving Unsupervised Defect Segmentation by Applying Structural Similarity
to Autoencoders", VISAPP 2019, with their L2 training; the score of a place is the mean absolute
error around it, since squares of small errors are nothing in int8.
"""

from __future__ import annotations

from typing import Any

from contract.ops.tiles import SIDE, STEP
from training import backend, good_crops

_HALVED = 2  # of the picture's resolution: texture that nobody could draw again is left out
_FILTERS = (24, 32, 48, 64)
_CODE = 16  # numbers for each 32 x 32 pixels


def network() -> Any:
    """Keras model, (n, 256, 256, 3) pixels from 0 to 255 -> (n, 32, 32, 1) errors."""
    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    seen = layers.AveragePooling2D(_HALVED)(layers.Rescaling(1 / 64, -127 / 64)(pixels))
    x = seen
    for filters in _FILTERS:
        x = _convolved(x, filters, strides=2)
    x = layers.Conv2D(_CODE, 1, name="code")(x)
    for filters in reversed(_FILTERS):
        x = layers.UpSampling2D(2)(_convolved(x, filters))
    drawn = layers.Conv2D(3, 3, padding="same", name="drawn")(x)
    difference = layers.Subtract(name="difference")([seen, drawn])
    minus = layers.Rescaling(-1.0)(difference)
    size = layers.Add()([layers.ReLU()(difference), layers.ReLU()(minus)])
    x = layers.AveragePooling2D(STEP // _HALVED)(size)
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    third = keras.initializers.Constant(1 / 3)
    mean = layers.Conv2D(1, 1, use_bias=False, kernel_initializer=third, name="error")
    mean.trainable = False
    return keras.Model(pixels, mean(x), name="autoencoder")


def _convolved(x: Any, filters: int, strides: int = 1) -> Any:
    from keras import layers

    x = layers.Conv2D(filters, 3, strides=strides, padding="same", kernel_initializer="he_normal")(
        x
    )
    return layers.ReLU()(x)


def squared(_targets: Any, difference: Any) -> Any:
    """(n,) mean square of what the drawing differs by."""
    from keras import ops

    return ops.mean(ops.square(difference), axis=(1, 2, 3))


METHODS = {
    "autoencoder": {
        "look": good_crops.stage(
            lambda _pictures: network(),
            squared,
            inner="difference",
            epochs=15,
            steps=60,
            batch=8,
            learning_rate=2e-3,
        )
    }
}
