"""The network of 2015: convolutions on local binary patterns, trained anew for every six persons.

Duerr, Pauchard, Browarnik, Axthelm, Loeser, "Deep learning on a Raspberry Pi for real time face
recognition", Eurographics posters, 2015. Neither eyes are searched for nor is anything aligned.

As published: codes, network, distortions, descent. An epoch are ten distorted copies of everybody's
pictures for each person; after 4,000 batches (published: 10,000) the loss has stopped falling, and
the epoch is kept that was best on the pictures as they are. Boxes come from the shipped detectors,
not from a Haar cascade.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np

from contract.ops import image
from contract.spec import Array, Detection, Floats
from training.face_baselines import Baseline, Published
from training.recipes import Examples, StageRecipe

CROP, CODES = 48, 46
PARAMETERS = 552_026  # for six persons
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
# neighbours clockwise from the top left, which is the highest bit
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
_TURNS_DEG = (-6, -5, -4, -3, 3, 4, 5, 6)
_SHIFTS_PX = (-2, -1, 1, 2)
_ZEROED = 0.2  # of the codes
_COPIES, _BATCHES, _BATCH = 10, 4_000, 10  # copies: for each person
_RATE, _DECAY, _WEIGHT = 0.005, 0.993, 0.001


def crop(picture: Array, face: Detection) -> Floats:
    """(48, 48) float32 grey, 0 to 255: the square around a face."""
    assert face.box is not None
    left, top, right, bottom = face.box
    scale = CROP / max(right - left, bottom - top, 1.0)
    x, y = CROP / 2 - scale * (left + right) / 2, CROP / 2 - scale * (top + bottom) / 2
    matrix = np.array([[scale, 0.0, x], [0.0, scale, y]])
    grey: Floats = image.warp(picture, matrix, size=CROP, edge_goes_on=True) @ _GREY
    return grey


def patterns(grey: Floats) -> Floats:
    """(46, 46) float32, 0 to 1: which of its eight neighbours are at least as bright as a pixel.

    Ojala, Pietikaeinen, Harwood, "A comparative study of texture measures", Pattern Recognition
    29(1), 1996. Zero outside of an ellipse around the face.
    """
    middle = grey[1:-1, 1:-1]
    size = len(middle)
    codes = np.zeros_like(middle)
    for bit, (down, right) in enumerate(_AROUND):
        neighbour = grey[1 + down : 1 + down + size, 1 + right : 1 + right + size]
        codes += (neighbour >= middle) * np.float32(1 << (7 - bit))
    return codes / np.float32(255.0) * _ellipse(size)


@cache
def _ellipse(size: int) -> Floats:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return (np.hypot((x - 0.5) / 0.30, (y - 0.4) / 0.60) <= 1.0).astype(np.float32)


def see(picture: Array, face: Detection) -> Floats:
    """(46, 46, 1) float32 codes of a face."""
    return patterns(crop(picture, face))[..., None]


def network(persons: int) -> Any:
    """Keras model, (n, 46, 46, 1) -> (n, persons) probabilities."""
    from keras import Sequential, layers, regularizers

    weight = regularizers.L2(_WEIGHT)
    return Sequential(
        [
            layers.Input((CODES, CODES, 1), name="codes"),
            layers.Conv2D(20, 5, activation="tanh"),
            layers.MaxPooling2D(3),
            layers.Conv2D(100, 5, activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(200, activation="tanh", kernel_regularizer=weight),
            layers.Dense(persons, activation="softmax", kernel_regularizer=weight),
        ],
        name="lbp_network",
    )


def distorted(codes: Floats, persons: Floats, rng: np.random.Generator) -> Examples:
    """All pictures turned, scaled, shifted, and a fifth of their codes lost.

    Args:
        codes: (n, 46, 46, 1).
        persons: (n,).
        rng: of this epoch.
    """
    return np.stack([_distort(one[..., 0], rng) for one in codes])[..., None], persons


def _distort(codes: Floats, rng: np.random.Generator) -> Floats:
    turn, scale = np.radians(rng.choice(_TURNS_DEG)), rng.uniform(0.9, 1.1)
    matrix = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    middle = np.full(2, CODES / 2)
    shift = middle - matrix @ middle + rng.choice(_SHIFTS_PX, 2) * (rng.random(2) < 0.5)
    moved = image.warp(codes, np.column_stack([matrix, shift]), size=CODES)
    return moved * (rng.random(moved.shape) >= _ZEROED).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Network:
    """Trained."""

    model: Any

    def classify(self, rows: Floats) -> Array:
        """(n, persons) probabilities."""
        from training import backend

        return backend.as_model(self.model)(rows)


def fit(rows: Floats, persons: Array, seed: int) -> Network:
    """Train on the pictures of some people.

    Args:
        rows: (n, 46, 46, 1) codes.
        persons: (n,) int from 0.
        seed: of weights, order and distortions.
    """
    from training import loop

    examples = (rows, persons.astype(np.float32))
    times = _COPIES * len(np.unique(persons))
    copies = (np.repeat(rows, times, axis=0), np.repeat(examples[1], times))
    recipe = StageRecipe(
        data=lambda _: examples,
        model=lambda _shape, _codes: network(int(persons.max()) + 1),
        augment=distorted,
        loss="sparse_categorical_crossentropy",
        epochs=max(_BATCHES * _BATCH // len(copies[0]), 1),
        batch=_BATCH,
        learning_rate=_RATE,
        optimizer=_descent,
    )
    model, _ = loop.fit(
        recipe, input_shape=rows.shape[1:], training=copies, validation=examples, seed=seed
    )
    return Network(model)


def _descent(learning_rate: float, steps: int, _epochs: int) -> Any:
    from keras import optimizers

    schedules = optimizers.schedules
    return optimizers.SGD(schedules.ExponentialDecay(learning_rate, steps, _DECAY, staircase=True))


_published = partial(Published, pictures=278, classify_ms=105.0, total_ms=529.0)
BASELINES = (
    Baseline(
        "lbp_network",
        see,
        fit,
        (
            _published(p0=0.85, accuracy=0.9959, accepted=250),
            _published(p0=0.0, accuracy=0.9748, accepted=278),
        ),
    ),
)
