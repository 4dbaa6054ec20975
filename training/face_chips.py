"""People as their face chips: what a network for the stage `embed` learns from.

Pictures go through the stages before it, with the published detectors, once; the chips are kept in
the cache and read from there when they are asked for, so that a data set may be larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import takewhile

import numpy as np

from contract.fold import Model, fold
from contract.ops import drawn
from contract.spec import Array, Detection, Detections, Floats, Stage, Window
from contract.workloads import faces
from training import backend, features
from training.datasets import DataSet, Recording
from training.face_protocols import EMBED, largest
from training.weights import faces as published
from training.weights import fetch

SHAPE = (faces.CHIP, faces.CHIP, 3)
_AT_ONCE = 32  # pictures, which may be large
_WHOLE = (0.0, 0.0, float(faces.CHIP), float(faces.CHIP))
_NO_FACE = np.zeros((0, 0, 3), np.uint8)


def both_sides(window: Window, _found: Detections) -> Floats:
    """(2, 150, 150, 3) float32: a chip, then mirrored; none of a picture without a face."""
    if not window.data.size:
        return np.zeros((0, *SHAPE), np.float32)
    chip = window.data.astype(np.float32)
    return np.stack([chip, chip[:, ::-1]])


def embedded(_window: Window, _found: Detections, _chips: Floats, rows: Floats) -> Detections:
    """The face with its embedding, the sum of both sides'."""
    return (Detection("face", 1.0, vector=rows.sum(axis=0), box=_WHOLE),) if len(rows) else ()


# the workload from `embed` on; who comes and goes is nothing that a network is trained for
WORKLOAD = replace(
    faces.WORKLOAD,
    stages=(Stage(EMBED, both_sides, embedded, input_shape=SHAPE),),
    follow=None,
)


def dataset(pictures: DataSet) -> DataSet:
    """The same people with a chip for each picture; without a face, an empty one."""
    return replace(pictures, recordings=tuple(_of_chips(one) for one in pictures.recordings))


def _of_chips(person: Recording) -> Recording:
    def window(i: int) -> Window:
        chip = _of_pictures(person)[i]
        return Window(person.name, i, i * 10**9, 0, chip if chip.any() else _NO_FACE, 0.0)

    return replace(person, window=window)


@lru_cache(maxsize=256)  # each keeps a file open
def _of_pictures(person: Recording) -> Array:
    """(pictures, 150, 150, 3) uint8 chips of the largest face of each; zeros without a face."""
    key = f"{faces.WORKLOAD.name} {faces.WORKLOAD.revision} chips {person.digest} "
    return features.cached(key.encode() + _code(), lambda: _find(person), is_mapped=True)


@cache
def _code() -> bytes:
    """Stands for what makes the chips: other code or other detectors, another key."""
    window = Window("drawn", 0, 0, 0, drawn.face(0), 0.0)
    face = Detection("face", 1.0, points=np.float32(2) * faces.PLACES)
    weights = [one.weight.sha256 for stage, one in published.STAGES.items() if stage != EMBED]
    example = faces.chips(window, (face,)).tobytes()
    return hashlib.sha256(example + "".join(weights).encode()).digest()


def _find(person: Recording) -> Array:
    """Chips, by the published detectors."""
    before = takewhile(lambda stage: stage.name != EMBED, faces.WORKLOAD.stages)
    workload = replace(faces.WORKLOAD, stages=tuple(before))
    found = np.zeros((len(person), *SHAPE), np.uint8)
    for start in range(0, len(person), _AT_ONCE):
        windows = [person.window(i) for i in range(start, min(start + _AT_ONCE, len(person)))]
        for window, seen in zip(windows, fold(workload, _detectors(), windows)[0], strict=True):
            if (number := largest(seen)) is not None:
                found[window.seq] = faces.chips(window, seen[number : number + 1])[0].round()
    return found


@cache
def _detectors() -> Mapping[str, Model]:
    backend.quiet()
    models = {
        stage: one.model(fetch(one.weight))
        for stage, one in published.STAGES.items()
        if stage != EMBED
    }
    return {stage: backend.as_model(model) for stage, model in models.items()}


@dataclass(frozen=True, eq=False)
class Chips:
    """The chips of many persons, read from the disk when they are asked for.

    Attributes:
        people: what `dataset` made.
        shown: (n, 2) int, person and picture of those that show a face.
    """

    people: Sequence[Recording]
    shown: Array

    def __len__(self) -> int:
        return len(self.shown)

    def __getitem__(self, rows: Array) -> Floats:
        """(k, 150, 150, 3) float32 chips of k numbers."""
        chosen = [self.people[person].window(int(i)).data for person, i in self.shown[rows]]
        return np.stack(chosen).astype(np.float32)


def chips(people: Sequence[Recording]) -> tuple[Chips, Floats]:
    """All faces of people.

    Args:
        people: what `dataset` made.

    Returns:
        chips, and (n, 2) float32: number of the person, and of the data set.
    """
    shown = [
        (number, i)
        for number, person in enumerate(people)
        for i in range(len(person))
        if person.window(i).data.size
    ]
    sets = list(dict.fromkeys(one.dataset for one in people))
    targets = [(number, sets.index(people[number].dataset)) for number, _ in shown]
    return (
        Chips(people, np.array(shown, int).reshape(-1, 2)),
        np.array(targets, np.float32).reshape(-1, 2),
    )
