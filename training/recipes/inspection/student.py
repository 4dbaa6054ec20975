"""From good parts alone: a small network learns what a pretrained one says of them.

EfficientAD's student and teacher (Batzner, Heckler, König, WACV 2024): on good parts the student
says what the teacher does, on what it has never seen it does not. The teacher is EfficientNet-Lite0
as trained on ImageNet instead of a network distilled from a large one, after two of its blocks; the
loss has EfficientAD's hard part, the 0.1 % largest differences. Its autoencoder and its pictures of
ImageNet are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contract.ops.tiles import SIDE
from contract.spec import Floats
from training import backend, good_crops, part_crops
from training.weights import EFFICIENTNET_LITE0, efficientnet_lite0

_BLOCKS = (4, 10)  # 40 and 112 features, at strides of 8 and 16 pixels
_STANDARD = 2.0  # deviation of a teacher's feature on good parts: ReLU6 is then 3 of them
_WIDTH = 64
_HARD = 0.001  # share of all differences
_LEARNED_FROM = 64  # pictures that deviations are measured on


def network(pictures: Any, *, is_pretrained: bool = True) -> Any:
    """Teacher and student, and how much they differ.

    Args:
        pictures: of good parts, see `training.part_crops.Pictures`.
        is_pretrained: with the published weights of the teacher, which are fetched.

    Returns:
        Keras model, (n, 256, 256, 3) pixels from 0 to 255 -> (n, 32, 32, 1) squared differences
        in deviations of good parts, halved twice; each feature counts for no more than 3 of them.
    """
    backend.quiet()
    import keras
    from keras import layers

    shape = (SIDE, SIDE, 3)
    body = efficientnet_lite0.network(shape, last=max(_BLOCKS), is_pretrained=is_pretrained)
    body.trainable = False
    said = [body.get_layer(f"block_{number}").output for number in _BLOCKS]
    taught = _standardised(body, said, part_crops.as_they_are(pictures, _LEARNED_FROM))
    learned = _student(body.input, [one.shape[-1] for one in said])
    apart = [layers.Subtract()([a, b]) for a, b in zip(taught, learned, strict=True)]
    apart = [layers.UpSampling2D(32 // one.shape[1])(one) for one in apart]
    difference = layers.Concatenate(name="difference")(apart)
    minus = layers.Rescaling(-1.0)(difference)
    size = layers.Add()([layers.ReLU(6.0)(difference), layers.ReLU(6.0)(minus)])
    square = layers.Multiply()([size, size])
    mean = layers.Conv2D(1, 1, use_bias=False, trainable=False, name="error")
    made = keras.Model(body.input, mean(square), name="student")
    parts = [np.full(one.shape[-1], 1 / one.shape[-1] / len(said)) for one in said]
    mean.set_weights([np.concatenate(parts).reshape(1, 1, -1, 1)])
    return made


def _standardised(body: Any, said: list[Any], pictures: Floats) -> list[Any]:
    """What the teacher says, with mean 0 and the same deviation for each feature on good parts."""
    import keras
    from keras import layers

    found = []
    for one in said:
        values = backend.as_model(keras.Model(body.input, one))(pictures)
        mean, deviation = values.mean(axis=(0, 1, 2)), values.std(axis=(0, 1, 2))
        gain = _STANDARD / np.maximum(deviation, 1e-3)
        layer = layers.DepthwiseConv2D(1, trainable=False)
        found.append(layer(one))
        layer.set_weights([gain.reshape(1, 1, -1, 1), -mean * gain])
    return found


def _student(pixels: Any, widths: list[int]) -> list[Any]:
    """Pixels -> what it says in place of each block, with about a hundredth of the weights."""
    from keras import layers

    x = layers.AveragePooling2D(2)(layers.Rescaling(1 / 64, -127 / 64)(pixels))
    x = _convolved(x, 24, kernel=5, strides=2)
    x = _convolved(x, 48, strides=2)
    x = _convolved(_convolved(x, _WIDTH), _WIDTH)
    y = _convolved(_convolved(layers.AveragePooling2D(2)(x), 2 * _WIDTH), 2 * _WIDTH)
    return [layers.Conv2D(n, 1)(of) for of, n in zip((x, y), widths, strict=True)]


def _convolved(x: Any, filters: int, *, kernel: int = 3, strides: int = 1) -> Any:
    from keras import layers

    x = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", kernel_initializer="he_normal"
    )(x)
    return layers.ReLU(6.0)(x)


def loss(_targets: Any, difference: Any) -> Any:
    """(n,) mean square of all differences, and of the largest of each crop.

    Args:
        _targets: not looked at.
        difference: (n, 32, 32, features).
    """
    from keras import ops

    square = ops.square(ops.reshape(difference, (ops.shape(difference)[0], -1)))
    count = int(np.prod(difference.shape[1:]) * _HARD)
    return ops.mean(square, axis=1) + ops.mean(ops.top_k(square, count, sorted=False)[0], axis=1)


METHODS = {
    "student": {
        "look": good_crops.stage(
            network,
            loss,
            inner="difference",
            epochs=12,
            steps=60,
            batch=8,
            learning_rate=2e-3,
            weights=(EFFICIENTNET_LITE0,),
        )
    }
}
