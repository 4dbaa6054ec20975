"""A small classifier in the manner of VGG, and its guided backpropagation written out.

Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015: 3 x 3 convolutions, ReLU and
pooling, as the network of the published attack detection, an eighth as wide. Each step back through
such a network is an operation of its own, so its response map is a forward function too: it runs
wherever Keras runs, and an attacker can differentiate it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from contract.spec import Array, Floats
from training import backend
from training.attacks_crops import Crops

_WIDTHS = ((16, 16), (32, 32), (64, 64), (64, 64))
NAME = "small_vgg"
_SCALE = 64.0
_GREY = 127.0
_BATCH = 32


def network(side: int) -> Any:
    """Keras model, (n, side, side, 3) pixels from 0 to 255 -> (n, 2) logits of good and defect."""
    backend.quiet()
    import keras
    from keras import layers

    pixels = keras.Input((side, side, 3), name="pixels")
    x = layers.Rescaling(1 / _SCALE, -_GREY / _SCALE, name="scale")(pixels)
    for number, widths in enumerate(_WIDTHS):
        if number:
            x = layers.MaxPooling2D(name=f"pool_{number}")(x)
        for again, width in enumerate(widths):
            name, start = f"conv_{number}_{again}", "he_normal"
            x = layers.Conv2D(width, 3, padding="same", kernel_initializer=start, name=name)(x)
            x = layers.ReLU(name=f"relu_{number}_{again}")(x)
    x = layers.GlobalMaxPooling2D(name="anywhere")(x)
    return keras.Model(pixels, layers.Dense(2, name="logits")(x), name=NAME)


def train(
    model: Any,
    crops: Crops,
    validation: Crops,
    *,
    epochs: int,
    seed: int,
    tell: Callable[[int, float], None] = lambda _epoch, _accuracy: None,
) -> float:
    """Fit by crops that are mirrored and lit in other ways; the weights of the best epoch are kept.

    Args:
        model: of `network`.
        crops: to learn from.
        validation: to choose the epoch on.
        epochs: over all crops.
        seed: of order and variation.
        tell: is told the epoch, from 1, and the accuracy after it.

    Returns:
        accuracy on the validation crops.
    """
    import keras

    rng = np.random.default_rng(seed)
    steps = -(-len(crops) // _BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps * epochs, warmup_target=1.5e-3, warmup_steps=steps
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-3, clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    best, kept = -1.0, model.get_weights()
    for epoch in range(1, epochs + 1):
        # batches of one size: Keras would compile its step for each other one
        order = np.resize(rng.permutation(len(crops)), steps * _BATCH)
        for numbers in order.reshape(steps, _BATCH):
            model.train_on_batch(_varied(crops.pixels[numbers], rng), crops.is_defect[numbers])
        right = float(np.mean(classes(model, validation.pixels) == validation.is_defect))
        tell(epoch, right)
        if right >= best:
            best, kept = right, model.get_weights()
    model.set_weights(kept)
    return best


def classes(model: Any, pixels: Floats) -> Array:
    """(n,) 1 where the model sees a defect, else 0."""
    found: Array = backend.as_model(model)(pixels).argmax(axis=1)
    return found


def layers_of(model: Any) -> list[Any]:
    """Convolutions, ReLUs and poolings, in their order."""
    return [one for one in model.layers if one.name.startswith(("conv_", "relu_", "pool_"))]


def response(model: Any, pixels: Any, *, last: str, start: str) -> Any:
    """Guided backpropagation of the activations after a ReLU, down to the pixels.

    Springenberg et al., "Striving for Simplicity", ICLR workshops 2015: on the way back a ReLU lets
    through what is positive, where it let something through on the way there.

    Args:
        model: of `network`.
        pixels: (n, side, side, 3) float32 from 0 to 255.
        last: name of the ReLU.
        start: what goes back from it: `each` activation alike, or each by how `strong` it is.

    Returns:
        (n, side, side, 3), made with `keras.ops` alone.
    """
    from keras import ops

    done: list[tuple[Any, Any, Any]] = []
    x = pixels / _SCALE - _GREY / _SCALE
    for layer in layers_of(model):
        before, x = x, layer(x)
        done.append((layer, before, x))
        if layer.name == last:
            break
    back = x if start == "strong" else ops.cast(x > 0, x.dtype)
    for layer, before, after in reversed(done):
        kind = layer.name.partition("_")[0]
        if kind == "conv":
            # its transpose: the kernel turned by half, inputs and outputs exchanged
            turned = ops.transpose(ops.flip(layer.kernel, (0, 1)), (0, 1, 3, 2))
            back = ops.conv(back, turned, padding="same")
        elif kind == "relu":
            back = ops.relu(back) * ops.cast(after > 0, back.dtype)
        else:
            is_highest = ops.cast(ops.equal(before, _doubled(after)), back.dtype)
            back = _doubled(back) * is_highest
    return back


def _doubled(x: Any) -> Any:
    from keras import ops

    return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)


def _varied(pixels: Floats, rng: np.random.Generator) -> Floats:
    """The same crops mirrored, and in a light a little stronger or weaker."""
    n = len(pixels)
    x = pixels.copy()
    for axis in (1, 2):
        some = rng.random(n) < 0.5
        x[some] = np.flip(x[some], axis)
    gain, offset = np.exp(rng.normal(0.0, 0.1, (n, 1, 1, 1))), rng.normal(0.0, 6.0, (n, 1, 1, 1))
    varied: Floats = np.clip(x * gain + offset, 0.0, 255.0).astype(np.float32)
    return varied
