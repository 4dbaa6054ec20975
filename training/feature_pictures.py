"""What channels of a network look for: pictures that excite them most, as a figure of a report.

Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017: the picture is a sum of waves
whose strengths are learned, those of long waves faster, and it is shifted, scaled and turned at
every step, so that what appears is no accident of single pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from contract.spec import Array, Floats
from training.figures import drawing
from training.report import Section

_STEPS = 64
_RATE = 0.06
_SHIFT = 0.06  # of the side, at most
_SCALE = 0.1  # likewise, of 1
_TURN_RAD = 0.15
_START = 0.05  # of the waves, standard deviation


def section(model: Any, *, layers: Sequence[str], seed: int = 0, channels: int = 6) -> Section:
    """Some channels of some layers, each as the picture that excites it most.

    Args:
        model: Keras model, (n, rows, columns, 3) pixels from 0 to 255 -> anything.
        layers: whose channels are shown.
        seed: of the channels, of the waves they begin with and of how they are moved.
        channels: of each layer.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for name in layers:
        count = model.get_layer(name).output.shape[-1]
        chosen = np.sort(rng.choice(count, min(channels, count), replace=False))
        rows.append((name, chosen, pictures(model, name, chosen, seed=seed)))
    return Section(
        "features",
        "What the network looks for",
        "Pictures that excite single channels most, from early layers to late ones: first edges "
        "and grains, then patterns. Channels are taken at random.",
        figures=[_sheet(rows)],
    )


def pictures(
    model: Any, layer: str, channels: Array, *, seed: int, side: int = 96, steps: int = _STEPS
) -> Array:
    """(channels, side, side, 3) uint8, a picture for each channel.

    Args:
        model: as in `section`; of convolutions alone up to the layer, so that any size will do.
        layer: name.
        channels: (n,) numbers.
        seed: of the start and the movements.
        side: of the pictures, pixels.
        steps: of Adam.
    """
    import keras

    rng = np.random.default_rng(seed)
    upto = keras.Model(model.input, model.get_layer(layer).output)
    pixels = keras.Input((side, side, 3))
    body = keras.models.clone_model(upto, input_tensors=pixels)
    body.set_weights(upto.get_weights())
    body.trainable = False
    canvas = _canvas(len(channels), side, rng)
    moves = keras.Input((8,))
    excited = keras.Model(moves, body(canvas(moves)))
    excited.compile(
        keras.optimizers.Adam(_RATE),
        # what the picture of each channel says of that channel
        loss=lambda which, said: -keras.ops.mean(said * which[:, None, None], axis=(1, 2, 3)),
        jit_compile=False,
    )
    which = np.eye(upto.output.shape[-1], dtype=np.float32)[channels]
    for _ in range(steps):
        excited.train_on_batch(_movements(len(channels), side, rng), which)
    still = np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (len(channels), 1))
    shown = keras.Model(moves, canvas(moves)).predict_on_batch(still)
    return np.asarray(shown).round().astype(np.uint8)


def _canvas(count: int, side: int, rng: np.random.Generator) -> Any:
    """A layer that gives its pictures (count, side, side, 3), each moved by (8,) numbers."""
    import keras
    from keras import ops

    length = np.arange(side)
    cosines = np.cos(np.pi * length[:, None] * (length + 0.5) / side).astype(np.float32)
    # the same step changes a long wave more than a short one, as in natural pictures
    strength = 1.0 / np.maximum(np.hypot(length[:, None], length), 1.0)[None, :, :, None]
    start = rng.normal(0.0, _START, (count, side, side, 3)).astype(np.float32)

    class Canvas(keras.layers.Layer):  # type: ignore[misc]
        def build(self, _shape: Any) -> None:
            begin = keras.initializers.Constant(start)
            self.waves = self.add_weight(shape=start.shape, initializer=begin, name="waves")

        def call(self, moves: Any) -> Any:
            waves = self.waves * strength.astype(np.float32)
            down = ops.einsum("fy,nfgc->nygc", cosines, waves)
            summed = ops.einsum("gx,nygc->nyxc", cosines, down)
            return ops.image.affine_transform(
                255.0 * ops.sigmoid(summed), moves, fill_mode="reflect"
            )

    return Canvas(name="canvas")


def _movements(count: int, side: int, rng: np.random.Generator) -> Floats:
    """(count, 8) float32: turned, scaled, shifted, as `keras.ops.image.affine_transform` has it."""
    turn = rng.uniform(-_TURN_RAD, _TURN_RAD, count)
    scale = 1.0 + rng.uniform(-_SCALE, _SCALE, count)
    cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
    shift = rng.uniform(-_SHIFT, _SHIFT, (2, count)) * side
    # about the middle, not about the corner
    right = shift[0] + side / 2 * (1 - cosine + sine)
    down = shift[1] + side / 2 * (1 - cosine - sine)
    none = np.zeros(count)
    return np.stack([cosine, -sine, right, sine, cosine, down, none, none], 1).astype(np.float32)


def _sheet(rows: Sequence[tuple[str, Array, Array]]) -> Markup:
    columns = max(len(chosen) for _, chosen, _ in rows)
    with drawing(len(rows), columns, height=1.9 * len(rows), as_png=True) as (_, axes, made):
        for axis in axes.flat:
            axis.set_axis_off()
        for (name, chosen, shown), of_row in zip(rows, axes, strict=True):
            for channel, picture, axis in zip(chosen, shown, of_row, strict=False):
                axis.imshow(picture)
                axis.set_title(f"{name}, {channel}", fontsize=7)
    return made[0]
