"""The published embedding for a small device: a quarter of its size, two fifths of its work.

Each convolution becomes two, one down and one across the picture (Jaderberg, Vedaldi, Zisserman,
"Speeding up Convolutional Neural Networks with Low Rank Expansions", BMVC 2014), which begin as
what comes nearest to its kernel and then learn what the published network says of faces, after
each of its blocks and in the end (Hinton, Vinyals, Dean, 2015; Romero et al., "FitNets", ICLR
2015). Nobody needs to be known by name for that; and since there are few people at hand, some of
the faces are two in one.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np

from contract.spec import Array, Floats
from training import backend, face_chips, identities
from training.datasets import DataError
from training.face_protocols import EMBED
from training.recipes import Examples, StageRecipe
from training.weights import DLIB_RESNET, dlib_resnet, fetch
from training.weights import faces as published

NUMBERS = 1_290_000  # at most: with what a file holds besides, under 1.5 MB
_ALIKE = 8  # channels that a device computes at once
_OF_BOTH = 0.35  # share of the faces that are two in one
_END = 2.0  # weight of the embedding beside the mean of all blocks


def network() -> Any:
    """Keras model, (n, 150, 150, 3) pixels from 0 to 255 -> (n, 128)."""
    made = dlib_resnet.model(convolve=partial(_in_two, share=_share_kept()))
    made.name = "student"
    return made


def _in_two(
    x: Any,
    kernel: Floats,
    bias: Floats,
    *,
    share: float,
    padding: str,
    strides: int = 1,
    activation: str | None = None,
) -> Any:
    """A convolution down, one across."""
    from keras import layers

    if x.shape[1:3] == (1, 1):
        kernel = _seen_by_one_pixel(kernel)
    down, across = _halves(kernel, share)
    first = layers.Conv2D(
        down.shape[3], down.shape[:2], strides=(strides, 1), padding=padding, use_bias=False
    )
    second = layers.Conv2D(
        len(bias), across.shape[:2], strides=(1, strides), padding=padding, activation=activation
    )
    y = second(first(x))
    first.set_weights([down])
    second.set_weights([across, bias])
    return y


def _seen_by_one_pixel(kernel: Floats) -> Floats:
    """The middle of a kernel of 3 x 3."""
    return kernel[1:2, 1:2]


def _halves(kernel: Floats, share: float) -> tuple[Floats, Floats]:
    """(rows, 1, in, rank) and (1, columns, rank, out), both as large as each other."""
    rows, columns, into, out = kernel.shape
    left, values, right = np.linalg.svd(_matrix(kernel), full_matrices=False)
    rank = _rank(values, share)
    root = np.sqrt(values[:rank])
    down = (left[:, :rank] * root).reshape(rows, 1, into, rank)
    across = (root[:, None] * right[:rank]).reshape(rank, columns, out)
    return down.astype(np.float32), across.transpose(1, 0, 2)[None].astype(np.float32)


def _matrix(kernel: Floats) -> Array:
    """(rows * in, columns * out), whose rank is that of the map between both halves."""
    rows, columns, into, out = kernel.shape
    made: Array = kernel.astype(np.float64).transpose(0, 2, 1, 3)
    return made.reshape(rows * into, columns * out)


def _rank(values: Array, share: float) -> int:
    """Least multiple of 8 that keeps a share of the energy."""
    energy = np.cumsum(np.square(values))
    needed = int(np.searchsorted(energy, share * energy[-1])) + 1
    return min(-(-needed // _ALIKE) * _ALIKE, len(values))


@cache
def _share_kept() -> float:
    """The share of its energy that every kernel may keep, for `NUMBERS` in all."""
    parameters = dlib_resnet.parse(fetch(DLIB_RESNET).read_bytes())
    kernels = [kernel for kernel, _ in parameters.convolutions]
    kernels[-1] = _seen_by_one_pixel(kernels[-1])
    values = [np.linalg.svd(_matrix(kernel), compute_uv=False) for kernel in kernels]

    def numbers(share: float) -> int:
        total = parameters.embedding.size
        for (rows, columns, into, out), of_one in zip(
            (kernel.shape for kernel in kernels), values, strict=True
        ):
            total += _rank(of_one, share) * (rows * into + columns * out) + out
        return total

    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if numbers(middle) <= NUMBERS else (low, middle)
    return low


def beside_the_published(student: Any, _targets: Floats) -> Any:
    """What the student misses of the published network: (n, blocks + 1) of the variance there.

    Args:
        student: as `network` makes it.
    """
    import keras
    from keras import ops

    teacher = published.embedding()
    teacher.trainable = False
    pixels = keras.Input(face_chips.SHAPE, name="chips")
    wanted = _by_blocks(teacher, "published")(pixels)
    said = _by_blocks(student, "blocks")(pixels)
    shares = []
    for one, other in zip(wanted, said, strict=True):
        axes = tuple(range(1, len(one.shape)))
        variance = ops.mean(ops.square(one - ops.mean(one, axis=0, keepdims=True)))
        shares.append(ops.mean(ops.square(one - other), axis=axes) / (variance + 1e-9))
    return keras.Model(pixels, ops.stack(shares, axis=1))


def _by_blocks(model: Any, name: str) -> Any:
    """The model with what it says after each block, then its embedding."""
    import keras

    blocks = [one.output for one in model.layers if isinstance(one, keras.layers.ReLU)]
    return keras.Model(model.input, [*blocks, model.output], name=name)


def missed(_targets: Any, shares: Any) -> Any:
    """(n,) mean of the blocks, and the embedding."""
    from keras import ops

    return ops.mean(shares[:, :-1], axis=1) + _END * shares[:, -1]


def unlike(student: Any, examples: Examples) -> float:
    """What the student misses of the published embeddings: share of their variance.

    Raises:
        DataError: fewer than two faces.
    """
    chips, _ = examples
    if len(chips) < 2:
        raise DataError(
            f"people kept apart show {len(chips)} faces, too few to compare; fix: --data with more "
            "people whose faces can be seen"
        )
    every = chips[np.arange(len(chips))]
    wanted = backend.as_model(published.embedding())(every)
    said = backend.as_model(student)(every)
    return float(np.square(said - wanted).sum() / np.square(wanted - wanted.mean(axis=0)).sum())


def of_more_people(chips: Floats, targets: Floats, rng: np.random.Generator) -> Examples:
    """Faces as another camera would have given them, some of them two people in one.

    Args:
        chips: (n, 150, 150, 3) float32, 0 to 255.
        targets: returned as they are.
        rng: of this batch.
    """
    seen, _ = identities.augment(chips, targets, rng)
    parts = rng.uniform(0.3, 0.7, (len(seen), 1, 1, 1)).astype(np.float32)
    parts[rng.random(len(seen)) >= _OF_BOTH] = 1.0
    return parts * seen + (1.0 - parts) * seen[rng.permutation(len(seen))], targets


METHODS = {
    "student": {
        EMBED: StageRecipe(
            data=face_chips.chips,
            model=lambda _shape, _chips: network(),
            augment=of_more_people,
            loss=missed,
            epochs=90,
            batch=16,
            learning_rate=7e-4,
            by_batch=True,
            head=beside_the_published,
            validate=unlike,
            weights=(DLIB_RESNET,),
        )
    }
}
