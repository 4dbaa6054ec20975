"""SE-ResNet-50 with a short embedding, as in the published face matcher: for a training host.

Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018; trained for faces by Cao, Shen, Xie,
Parkhi, Zisserman, "VGGFace2", FG 2018, from where the layers of 128 or 256 on top of the 2048 come.
The trunk has 26,039,024 trained numbers: those of the published 28,088,024 without its classifier
of 1,000 classes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from training import backend, face_chips, identities

SIZE = 224
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # filters, blocks
_REDUCTION = 16
_WIDER = 4
_MOMENTUM = 0.9


def network(dimensions: int) -> Any:
    """Keras model, (n, 150, 150, 3) pixels from 0 to 255 -> (n, dimensions).

    Args:
        dimensions: of an embedding; 128 and 256 were published.
    """
    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input(face_chips.SHAPE, name="pixels")
    x = layers.Resizing(SIZE, SIZE, name="resize")(pixels)
    x = layers.Rescaling(1 / 127.5, -1.0, name="scale")(x)
    x = _convolved(x, 64, 7, strides=2)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for stage, (filters, blocks) in enumerate(_STAGES):
        for number in range(blocks):
            x = _block(x, filters, strides=2 if stage and not number else 1)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    made = layers.Dense(dimensions, name="embedding")(x)
    return keras.Model(pixels, made, name=f"se_resnet50_{dimensions}")


def _block(x: Any, filters: int, *, strides: int) -> Any:
    """A bottleneck whose channels are weighed by what all places together say."""
    from keras import layers

    wide = _WIDER * filters
    y = _convolved(x, filters, 1, strides=strides)
    y = _convolved(y, filters, 3)
    y = _convolved(y, wide, 1, is_linear=True)
    weight = layers.GlobalAveragePooling2D(keepdims=True)(y)
    weight = layers.Conv2D(wide // _REDUCTION, 1, activation="relu")(weight)
    weight = layers.Conv2D(wide, 1, activation="sigmoid")(weight)
    y = layers.Multiply()([y, weight])
    if x.shape[-1] != wide or strides != 1:
        x = _convolved(x, wide, 1, strides=strides, is_linear=True)
    return layers.ReLU()(layers.Add()([x, y]))


def _convolved(
    x: Any, filters: int, size: int, *, strides: int = 1, is_linear: bool = False
) -> Any:
    from keras import layers

    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM)(x)
    return x if is_linear else layers.ReLU()(x)


def _momentum(learning_rate: float, steps: int, epochs: int) -> Any:
    """As published for VGGFace2, but along a cosine."""
    from keras import optimizers

    rate = optimizers.schedules.CosineDecay(learning_rate, steps * epochs)
    return optimizers.SGD(rate, momentum=_MOMENTUM, weight_decay=1e-4)


METHODS = {
    method: stages
    for dimensions in (128, 256)
    for method, stages in identities.methods(
        f"se-resnet50-{dimensions}",
        partial(network, dimensions),
        epochs=30,
        batch=64,
        learning_rate=0.1,
        optimizer=_momentum,
    ).items()
}
