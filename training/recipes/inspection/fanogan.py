"""From good parts alone: f-AnoGAN, what a generator of good patches cannot draw again is a defect.

Schlegl et al., "f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial
networks", Medical Image Analysis 54, 2019. Patches of 64 x 64 grey pixels from -1 to 1; first a
Wasserstein GAN with gradient penalty on residual networks (Gulrajani et al., NeurIPS 2017), then an
encoder whose code the generator turns into the same patch, for the critic too (izi_f); see
`training.wgan`. A square is cut into 16 patches that go through the networks as one batch.

`fanogan-published` has the published widths and steps, for a host with a GPU; `fanogan` an eighth
of the widths and as many steps as two cores manage. Both leave normalization out, which the
published generator has: int8 networks fold it only into a convolution before it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from contract.ops.tiles import SIDE, STEP
from contract.spec import Floats
from training import backend, defect_nets, good_crops, part_crops, wgan
from training.part_crops import Photo
from training.recipes import Examples, StageRecipe

_PATCH = 64
_CODE = 128
_AT_ONCE = 4  # patches of a picture


def network(width: int) -> Any:
    """Encoder, generator and the critic's features, and how much they differ on a square.

    Args:
        width: filters of the widest maps; 64 as published.

    Returns:
        Keras model, (n, 256, 256, 3) pixels from 0 to 255 -> (n, 32, 32, 1): mean absolute
        difference of the pixels of each place, and the mean square of the critic's features of
        the patch it is in.
    """
    backend.quiet()
    import keras
    from keras import layers, ops

    encoder = _critic(width, name="encoder", code=_CODE)
    generator, features = _generator(width), _critic(width, name="features")
    pixels = keras.Input((SIDE, SIDE, 3), name="pixels")
    count = SIDE // _PATCH
    grey = wgan.grey_layer()(pixels)
    edges = [(_PATCH * i, SIDE - _PATCH * (i + 1)) for i in range(count)]
    patches = [layers.Cropping2D((down, across))(grey) for down in edges for across in edges]
    x = layers.Concatenate(axis=0)(patches)
    again = generator(encoder(x))
    of_pixels = layers.AveragePooling2D(STEP)(_size(layers.Subtract()([x, again])))
    apart = layers.Subtract()([features(x), features(again)])
    square = layers.GlobalAveragePooling2D(keepdims=True)(layers.Multiply()([apart, apart]))
    mean = layers.Conv2D(1, 1, use_bias=False, kernel_initializer=_mean_of(8 * width), name="mean")
    mean.trainable = False
    of_features = layers.UpSampling2D(_PATCH // STEP)(mean(square))
    score = ops.split(layers.Add()([of_pixels, of_features]), count * count, axis=0)
    rows = [layers.Concatenate(axis=2)(score[i : i + count]) for i in range(0, len(score), count)]
    return keras.Model(pixels, layers.Concatenate(axis=1)(rows), name="fanogan")


def _mean_of(channels: int) -> Any:
    import keras

    return keras.initializers.Constant(1 / channels)


def _size(x: Any) -> Any:
    from keras import layers

    return layers.Add()([layers.ReLU()(x), layers.ReLU()(layers.Rescaling(-1.0)(x))])


def _generator(width: int) -> Any:
    """(n, 1, 1, 128) codes -> (n, 64, 64, 1) patches."""
    import keras
    from keras import layers

    code = keras.Input((1, 1, _CODE))
    x = layers.Reshape((4, 4, 8 * width))(layers.Conv2D(128 * width, 1)(code))
    for filters in (8 * width, 4 * width, 2 * width, width):
        way = layers.UpSampling2D(2)(x)
        y = layers.Conv2D(filters, 3, padding="same")(layers.UpSampling2D(2)(layers.ReLU()(x)))
        y = layers.Conv2D(filters, 3, padding="same")(layers.ReLU()(y))
        x = layers.Add()([layers.Conv2D(filters, 1)(way), y])
    x = layers.Conv2D(1, 3, padding="same", activation="tanh")(layers.ReLU()(x))
    return keras.Model(code, x, name="generator")


def _critic(width: int, *, name: str, code: int | None = None) -> Any:
    """(n, 64, 64, 1) patches -> (n, 4, 4, 8 width) features, or (n, 1, 1, code) codes."""
    import keras
    from keras import layers

    patch = keras.Input((_PATCH, _PATCH, 1))
    x = layers.Conv2D(width, 3, padding="same")(patch)
    for filters in (2 * width, 4 * width, 8 * width, 8 * width):
        way = layers.Conv2D(filters, 1)(layers.AveragePooling2D(2)(x))
        y = layers.Conv2D(x.shape[-1], 3, padding="same")(layers.ReLU()(x))
        y = layers.Conv2D(filters, 3, padding="same")(layers.ReLU()(y))
        x = layers.Add()([way, layers.AveragePooling2D(2)(y)])
    if code is not None:
        x = layers.Conv2D(code, 4, activation="tanh")(x)
    return keras.Model(patch, x, name=name)


def patches(seen: list[Photo], asked: Floats, rng: np.random.Generator) -> Examples:
    """Patches from anywhere on good parts, and which step they are for.

    Returns:
        (4 n, 64, 64, 3) float32 pixels from 0 to 255, and (4 n,) float32, as in `training.wgan`.
    """
    made = [good_crops.cut(one.picture, _PATCH, rng) for one in seen for _ in range(_AT_ONCE)]
    return np.stack(made), np.repeat(asked, _AT_ONCE)


def _stage(width: int, *, epochs: int, steps: int, batch: int) -> StageRecipe:
    rows = batch * wgan.CRITIC_STEPS // _AT_ONCE
    return StageRecipe(
        data=defect_nets.good_ones,
        model=lambda _shape, _inputs: network(width),
        augment=patches,
        loss="mse",
        epochs=epochs,
        steps=steps,
        batch=rows,
        learning_rate=1e-4,
        calibration=good_crops.calibration,
        by_batch=True,
        head=wgan.head,
        schedule=wgan.asked,
        validate=partial(wgan.validate, otherwise=good_crops.validate),
        optimizer=wgan.optimizer,
        rows=part_crops.evenly(rows=steps * rows),
    )


METHODS = {
    "fanogan": {"look": _stage(8, epochs=20, steps=25, batch=16)},
    "fanogan-published": {"look": _stage(64, epochs=100, steps=1000, batch=64)},
}
