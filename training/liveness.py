"""Living faces and pictures of faces: examples to learn from, a network, and its threshold.

All examples are simulated from pictures of living people (`synthetic.replays`); what is measured on
them says how well it tells these simulations apart, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.fold import Model
from contract.ops import live
from contract.spec import Array, Box, Floats
from training import liveness_model, loop
from training.datasets.synthetic import replays
from training.datasets.synthetic.replays import KINDS, Taken
from training.face_protocols import largest
from training.watch import Seen

LIVING = "living"
LABELS = (LIVING, *KINDS)
FRAMES = 3  # of a visit, before anything is decided: `contract.visits.Rules.named_frames`
_MOST_OF_ONE = 16  # pictures of a person
_SETUPS = 3  # cameras that each picture is shown to; each of its attacks to one of these
EPOCHS = 5
_CALIBRATION = 200
_BPCER = 0.01  # visits of living people taken for pictures, on persons never trained on
_SHIFT, _SCALE = 0.03, 0.05  # of a detector's boxes: standard deviation, in sides; of log side
Progress = Callable[[int, int], None]  # done, of
_Row = tuple[Floats, str, "Portrait", int]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture of a living face.

    Attributes:
        dataset: name of the data set.
        person: unique over all sets.
        picture: (height, width, 3) uint8, RGB.
        box: of the face, as the detector of the workload gives it.
    """

    dataset: str
    person: str
    picture: Array
    box: Box


@dataclass(frozen=True, eq=False)
class Looks:
    """What the network is given, with what it shows.

    Attributes:
        rows: (n, 80, 80, 6) uint8, as `contract.ops.live.looks` gives them.
        labels: (n,) str, one of `LABELS`.
        persons: (n,) str.
        datasets: (n,) str.
        visits: (n,) int; rows of one visit are one person before one camera, in one way.
    """

    rows: Array
    labels: Array
    persons: Array
    datasets: Array
    visits: Array

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, which: Array) -> Looks:
        """Some of them: (n,) bool."""
        return Looks(
            self.rows[which],
            self.labels[which],
            self.persons[which],
            self.datasets[which],
            self.visits[which],
        )

    @property
    def living(self) -> Array:
        """(n,) bool."""
        is_living: Array = self.labels == LIVING
        return is_living


def portraits(seen: Iterable[Seen]) -> list[Portrait]:
    """The largest face of each picture, of at most 16 pictures of each person.

    Args:
        seen: a person each, by stages that find faces.
    """
    made = []
    for one in seen:
        recording = one.recording
        numbers = np.unique(np.linspace(0, len(one.found) - 1, _MOST_OF_ONE).astype(int))
        for i in numbers.tolist():
            number = largest(one.found[i])
            box = None if number is None else one.found[i][number].box
            if box is not None:
                name = f"{recording.dataset}/{recording.name}"
                made.append(Portrait(recording.dataset, name, recording.window(i).data, box))
    return made


def examples(
    shown: Sequence[Portrait], *, seed: int, progress: Progress = lambda _done, _of: None
) -> Looks:
    """Each portrait living before three cameras, and once in each kind of attack before these.

    Args:
        shown: of persons to learn from, or to choose an epoch by.
        seed: of everything that is drawn.
        progress: told after each portrait.
    """
    rows: list[_Row] = []
    for number, one in enumerate(shown):
        rng = np.random.default_rng([seed, number])
        dealt = np.array_split(rng.permutation(list(KINDS)), _SETUPS)
        for kinds in dealt:
            setup = int(rng.integers(2**31))
            for label in (LIVING, *kinds.tolist()):
                rows.append((_look(one, label, setup, 0, rng), label, one, len(rows)))
        progress(number + 1, len(shown))
    return _together(rows)


def visits(
    shown: Sequence[Portrait],
    *,
    seed: int,
    frames: int,
    labels: Sequence[str] = LABELS,
    of_each: int = 2,
    progress: Progress = lambda _done, _of: None,
) -> Looks:
    """People who come, and pictures of them that are held up, each for some frames.

    A living person moves on from picture to picture; an attack shows the same one all the time.

    Args:
        shown: of persons never trained on.
        seed: of everything that is drawn.
        frames: of a visit.
        labels: which there are.
        of_each: visits of each person in each way.
        progress: told after each person.
    """
    rows: list[_Row] = []
    names = sorted({one.person for one in shown})
    for number, name in enumerate(names):
        own = [one for one in shown if one.person == name]
        rng = np.random.default_rng([seed, number])
        for label in [*labels] * of_each:
            setup, first = int(rng.integers(2**31)), int(rng.integers(len(own)))
            visit = len(rows)
            for moment in range(frames):
                one = own[(first + moment * (label == LIVING)) % len(own)]
                rows.append((_look(one, label, setup, moment, rng), label, one, visit))
        progress(number + 1, len(names))
    return _together(rows)


def as_is(shown: Sequence[Portrait]) -> Looks:
    """Short visits of living people, their pictures as they are: one that begins with each.

    Args:
        shown: of persons never trained on.
    """
    rows: list[_Row] = []
    for name in sorted({one.person for one in shown}):
        own = [one for one in shown if one.person == name]
        for first in range(len(own)):
            few = (own[(first + moment) % len(own)] for moment in range(FRAMES))
            rows += [(live.looks(one.picture, one.box), LIVING, one, len(rows)) for one in few]
    return _together(rows)


def taken(one: Portrait, label: str, *, setup: int, moment: int) -> Taken:
    """A portrait as a camera sees it, living or held up."""
    if label == LIVING:
        return replays.living(one.picture, one.box, setup=setup, moment=moment)
    return replays.replay(label, one.picture, one.box, setup=setup, moment=moment)


def train(
    training: Looks,
    validation: Looks,
    *,
    seed: int,
    epochs: int = EPOCHS,
    progress: Callable[[int, float, float], None] = lambda _epoch, _loss, _val_loss: None,
) -> Any:
    """A Keras model, (n, 80, 80, 6) pixels -> (n, 1), 1.0: living.

    Args:
        training: of `examples`.
        validation: of other persons; the epoch is kept that is the best on it.
        seed: of weights, order and variation.
        epochs: over `training`.
        progress: told epoch (from 1), loss and validation loss.
    """
    model, _ = loop.fit(
        liveness_model.recipe(epochs),
        input_shape=training.rows.shape[1:],
        training=(training.rows, _targets(training)),
        validation=(validation.rows, _targets(validation)),
        seed=seed,
        progress=progress,
    )
    return model


def calibration(training: Looks) -> Floats:
    """(at most 200, 80, 80, 6) float32: of all kinds alike, from black to white."""
    chosen = np.argsort(training.labels, kind="stable")
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(_CALIBRATION, len(chosen))).astype(int)]
    rows = training.rows[chosen].astype(np.float32)
    rows[0, 0, 0], rows[0, 0, 1] = 0.0, 255.0
    return rows


def scores(model: Model, looks: Looks) -> Array:
    """(n,) float64 of each row, 1.0: living."""
    return model(looks.rows.astype(np.float32))[:, 0].astype(np.float64)


def means(looks: Looks, of_rows: Array) -> tuple[Looks, Array]:
    """Each visit by its first row, and the mean score over its rows.

    Args:
        looks: of `visits`.
        of_rows: (n,) scores.
    """
    _, first, which = np.unique(looks.visits, return_index=True, return_inverse=True)
    is_first = np.zeros(len(looks), bool)
    is_first[first] = True
    totals = np.bincount(which, weights=of_rows) / np.bincount(which)
    return looks.only(is_first), totals[which[is_first]]


def least_live(of_living: Array) -> float:
    """The mean below which a visit is a spoof: at most 1 % of those of living people are below it.

    Args:
        of_living: (n,) mean scores of visits of three frames, of persons never trained on.
    """
    ranked = np.sort(of_living)
    return float(ranked[int(_BPCER * len(ranked))])


def _targets(looks: Looks) -> Floats:
    return looks.living.astype(np.float32)[:, None]


def _look(one: Portrait, label: str, setup: int, moment: int, rng: np.random.Generator) -> Floats:
    """Through a box as inexact as a detector's."""
    seen = taken(one, label, setup=setup, moment=moment)
    left, top, right, bottom = seen.box
    side = right - left
    half = side / 2 * float(np.exp(rng.normal(0.0, _SCALE)))
    dx, dy = rng.normal(0.0, _SHIFT * side, 2).tolist()
    x, y = (left + right) / 2 + dx, (top + bottom) / 2 + dy
    return live.looks(seen.picture, (x - half, y - half, x + half, y + half))


def _together(rows: Sequence[_Row]) -> Looks:
    looks, labels, shown, of_visits = zip(*rows, strict=True)
    return Looks(
        np.stack([one.astype(np.uint8) for one in looks]),
        np.array(labels),
        np.array([one.person for one in shown]),
        np.array([one.dataset for one in shown]),
        np.array(of_visits),
    )
