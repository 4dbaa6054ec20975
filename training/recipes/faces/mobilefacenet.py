"""MobileFaceNet: fewer than a million numbers, for a device.

Chen, Liu, Gao, Han, "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on
Mobile Devices", CCBR 2018: inverted residuals, and instead of an average over all places a
depthwise convolution that has learned which of them matter.
"""

from __future__ import annotations

from typing import Any

from training import backend, face_chips, identities

SIZE = 112
DIMENSIONS = 128
# (expansion, filters, repeated, stride of the first)
_BLOCKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


def network() -> Any:
    """Keras model, (n, 150, 150, 3) pixels from 0 to 255 -> (n, 128)."""
    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input(face_chips.SHAPE, name="pixels")
    x = layers.Resizing(SIZE, SIZE, name="resize")(pixels)
    x = layers.Rescaling(1 / 127.5, -1.0, name="scale")(x)
    x = _convolved(x, 64, 3, strides=2)
    x = _depthwise(x, 3)
    for expansion, filters, repeated, strides in _BLOCKS:
        for number in range(repeated):
            x = _block(x, expansion, filters, strides=strides if number == 0 else 1)
    x = _convolved(x, 512, 1)
    x = _depthwise(x, x.shape[1], padding="valid", is_linear=True)
    x = _convolved(x, DIMENSIONS, 1, is_linear=True)
    return keras.Model(pixels, layers.Flatten(name="embedding")(x), name="mobilefacenet")


def _block(x: Any, expansion: int, filters: int, *, strides: int) -> Any:
    """An inverted residual (Sandler et al., MobileNetV2, CVPR 2018)."""
    from keras import layers

    y = _convolved(x, expansion * x.shape[-1], 1)
    y = _depthwise(y, 3, strides=strides)
    y = _convolved(y, filters, 1, is_linear=True)
    return layers.Add()([x, y]) if strides == 1 and x.shape[-1] == filters else y


def _convolved(
    x: Any, filters: int, size: int, *, strides: int = 1, is_linear: bool = False
) -> Any:
    from keras import layers

    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return _normalized(x, is_linear=is_linear)


def _depthwise(
    x: Any, size: int, *, strides: int = 1, padding: str = "same", is_linear: bool = False
) -> Any:
    from keras import layers

    x = layers.DepthwiseConv2D(size, strides=strides, padding=padding, use_bias=False)(x)
    return _normalized(x, is_linear=is_linear)


def _normalized(x: Any, *, is_linear: bool) -> Any:
    from keras import layers

    x = layers.BatchNormalization(momentum=0.9)(x)
    return x if is_linear else layers.PReLU(shared_axes=[1, 2])(x)


METHODS = identities.methods("mobilefacenet", network, epochs=40, batch=32, learning_rate=2e-3)
