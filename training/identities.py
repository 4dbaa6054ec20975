"""Networks that tell people apart, trained as classifiers of those at hand: softmax and ArcFace.

The classes are thrown away afterwards; what is kept gives a vector for a face chip. After each
epoch its equal error rate on people it is not trained with says which epoch was the best.

Targets have a row for each chip: number of the person, number of the data set; for ArcFace also the
margin, in radians.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from contract.ops import image
from contract.spec import Array, Floats
from training import backend, face_chips
from training.datasets import DataError
from training.face_protocols import EMBED
from training.recipes import Examples, StageRecipe
from training.verification import cosines, eer
from training.watch import Watched

FEW = 1000  # people; with fewer, a mild margin
_SCALE, _SCALE_OF_FEW = 64.0, 24.0
_MARGIN, _MARGIN_OF_FEW = 0.5, 0.3  # radians
_WARM_UP = 0.5  # share of the training in which the margin grows
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def methods(
    name: str,
    network: Callable[[], Any],
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    optimizer: Callable[[float, int, int], Any] | None = None,
) -> dict[str, Mapping[str, StageRecipe]]:
    """A network trained with each of the two losses, `NAME-softmax` and `NAME-arcface`.

    Args:
        name: of the network.
        network: makes it: Keras model, (n, 150, 150, 3) pixels -> (n, d).
        epochs: as in a `StageRecipe`, and so are the others.
        batch: chips.
        learning_rate: at the start.
        optimizer: instead of Adam.
    """

    def stage(**of_loss: Any) -> Mapping[str, StageRecipe]:
        made = StageRecipe(
            data=face_chips.chips,
            model=lambda _shape, _chips: network(),
            augment=augment,
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            by_batch=True,
            validate=validate,
            optimizer=optimizer,
            **of_loss,
        )
        return {EMBED: made}

    return {
        f"{name}-softmax": stage(loss=softmax, head=classifier),
        f"{name}-arcface": stage(loss=arcface, head=by_angle, schedule=growing_margin),
    }


def classifier(embedding: Any, targets: Floats) -> Any:
    """The network with a layer that has one output, a logit, for each person."""
    from keras import Model, layers

    last = layers.Dense(_persons(targets), name="persons")
    return Model(embedding.inputs, last(embedding.outputs[0]))


def by_angle(embedding: Any, targets: Floats) -> Any:
    """The network with one output for each person: the cosine between a face and that person."""
    from keras import Model, constraints, layers

    direction = layers.UnitNormalization(name="direction")
    last = layers.Dense(
        _persons(targets),
        use_bias=False,
        kernel_initializer="random_normal",
        kernel_constraint=constraints.UnitNorm(axis=0),
        name="persons",
    )
    made = Model(embedding.inputs, last(direction(embedding.outputs[0])))
    last.kernel.assign(last.kernel_constraint(last.kernel))
    return made


def _persons(targets: Floats) -> int:
    return int(targets[:, 0].max()) + 1


def softmax(targets: Any, logits: Any) -> Any:
    """(n,) cross-entropy of the right person."""
    from keras import ops

    person = ops.cast(targets[:, 0], "int32")
    return -ops.take_along_axis(ops.log_softmax(logits), person[:, None], axis=1)[:, 0]


def arcface(targets: Any, alike: Any) -> Any:
    """(n,) cross-entropy, where the angle to the right person counts as wider by the margin.

    Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition",
    CVPR 2019. cos(angle + margin) by the addition theorem: the arc cosine has no finite slope where
    a face meets its person. Beyond 180 degrees, where the cosine would rise again, it goes on
    falling as the cosine itself.

    Args:
        targets: (n, 3) person, data set, margin in radians.
        alike: (n, persons) cosines.
    """
    from keras import ops

    persons = alike.shape[-1]
    person = ops.cast(targets[:, 0], "int32")
    margin = targets[:, 2]
    cosine = ops.take_along_axis(alike, person[:, None], axis=1)[:, 0]
    sine = ops.sqrt(ops.maximum(1.0 - ops.square(cosine), 1e-6))
    wider = ops.where(
        cosine > -ops.cos(margin),
        cosine * ops.cos(margin) - sine * ops.sin(margin),
        cosine - margin * ops.sin(margin),
    )
    is_right = ops.one_hot(person, persons, dtype=alike.dtype)
    logits = alike + is_right * (wider - cosine)[:, None]
    return softmax(targets, (_SCALE_OF_FEW if persons < FEW else _SCALE) * logits)


def growing_margin(targets: Floats, share: float) -> Floats:
    """Targets with the margin of an epoch: from none to the whole over the first half of them."""
    whole = _MARGIN_OF_FEW if _persons(targets) < FEW else _MARGIN
    margin = np.full((len(targets), 1), whole * min(share / _WARM_UP, 1.0), np.float32)
    return np.concatenate([targets[:, :2], margin], axis=1)


def validate(embedding: Any, examples: Examples) -> float:
    """Equal error rate of the faces of people not trained with, each against all of its data set.

    Faces of two data sets differ in more than the person, and would flatter.
    """
    chips, targets = examples
    model = backend.as_model(embedding)
    order = np.arange(len(chips))
    rows = [model(chips[some]) for some in np.array_split(order, len(order) // 64 + 1)]
    return eer(*compared(np.concatenate(rows), targets[:, 0], targets[:, 1]))


def compared(vectors: Floats, persons: Array, sets: Array) -> tuple[Array, Array]:
    """Cosines of all pairs of one person, and of all pairs of two persons of one data set.

    Args:
        vectors: (n, d) float32.
        persons: (n,) who each is of.
        sets: (n,) which data set that person is of.

    Raises:
        DataError: there is no pair of one person, or none of two.
    """
    first, second = np.triu_indices(len(vectors), k=1)
    scores = cosines(vectors, vectors)[first, second]
    is_same = persons[first] == persons[second]
    is_other = ~is_same & (sets[first] == sets[second])
    if not is_same.any() or not is_other.any():
        raise DataError(
            f"{len(np.unique(persons))} people kept apart show {len(vectors)} faces, too few to "
            "compare; fix: more people with several pictures of their face"
        )
    return scores[is_same], scores[is_other]


def vectors_of(watched: Sequence[Watched]) -> tuple[Floats, Array, Array]:
    """(n, d) embeddings of all faces of people, with (n,) numbers of person and of data set."""
    sets = list(dict.fromkeys(one.recording.dataset for one in watched))
    rows = [
        (face.vector, number, sets.index(one.recording.dataset))
        for number, one in enumerate(watched)
        for found in one.seen.found
        for face in found
        if face.vector is not None
    ]
    vectors = [vector for vector, _, _ in rows]
    numbers = np.array([of for _, *of in rows], int).reshape(-1, 2)
    return np.stack(vectors) if vectors else np.zeros((0, 1), np.float32), *numbers.T


def augment(chips: Floats, targets: Floats, rng: np.random.Generator) -> Examples:
    """Faces as another detector, camera or moment would have given them.

    Args:
        chips: (n, 150, 150, 3) float32, 0 to 255.
        targets: returned as they are.
        rng: of this epoch.
    """
    return np.stack([_as_another(chip, rng) for chip in chips]), targets


def _as_another(chip: Floats, rng: np.random.Generator) -> Floats:
    size = len(chip)
    turn, scale = np.radians(rng.uniform(-8, 8)), rng.uniform(0.92, 1.08)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.full(2, size / 2)
    shift = middle - matrix @ middle + rng.uniform(-4, 4, 2)
    x = image.warp(chip, np.column_stack([matrix, shift]), size=size, edge_goes_on=True)
    if rng.random() < 0.5:
        x = x[:, ::-1]
    if rng.random() < 0.3:  # half of the data are grey, and colour must not give a person away
        x = np.repeat((x @ _GREY)[..., None], 3, axis=2)
    if rng.random() < 0.2:  # far away
        x = image.warp(_smaller(x, rng.uniform(0.25, 0.6)), np.eye(2, 3), size=size)
    lit = 255.0 * (x.clip(0, 255) / 255.0) ** rng.uniform(0.75, 1.33) * rng.uniform(0.85, 1.1)
    if rng.random() < 0.3:  # a hand, a scarf
        height, width = rng.integers(20, 60, 2)
        top, left = rng.integers(0, size - height), rng.integers(0, size - width)
        lit[top : top + height, left : left + width] = rng.uniform(0, 255)
    found: Floats = lit.clip(0, 255).astype(np.float32)
    return found


def _smaller(chip: Floats, scale: float) -> Floats:
    """The chip with the detail of a smaller one."""
    size = len(chip)
    down = image.warp(chip, scale * np.eye(2, 3), size=max(round(scale * size), 1))
    return image.warp(down, np.eye(2, 3) / scale, size=size, edge_goes_on=True)
