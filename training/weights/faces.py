"""What `faces` ships: networks that others trained and gave away, and what is chosen for them here.

The detectors are MediaPipe's, with weights of 16 bits: they answer -10,000 where there is no face,
which no int8 activation holds beside what matters (docs/faces.md has figures). The embedding is
dlib's, int8 throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract import impostors
from contract.ops.decode import BACK, FULL_RANGE, MESH
from contract.spec import Array, Floats, OperatingPoint
from training import datasets
from training.datasets import DataError, DataSet
from training.face_protocols import EMBED, largest
from training.verification import cosines
from training.watch import Seen
from training.weights import BACK as BACK_FILE
from training.weights import (
    DLIB_RESNET,
    FACE_MESH,
    FULL_RANGE_SPARSE,
    Weight,
    blazeface,
    dlib_resnet,
    face_mesh,
    fetch,
)

# London is left out: whether a threshold fixed on others is fair to its groups is measured on it
CHOSEN_ON = ("faces_caltech_in_out", "faces_orl", "faces_wild_web", "faces_yaleb_light")
_ENROLLED = 3  # pictures of each person that others are compared with
_TAIL = tuple(round(0.90 + 0.002 * i, 4) for i in range(50))  # cosines
_FALSE_ACCEPTS_PER_1000, _PERSONS = 1.0, 5  # of the shipped threshold; a device sets its own
_KEPT = 10.0  # times as many strangers may reach the cosine down to which a name once given stays
_CALIBRATION = 400  # chips


@dataclass(frozen=True)
class Published:
    """The network of one stage.

    Attributes:
        weight: the published file.
        model: makes the Keras model from it.
    """

    weight: Weight
    model: Callable[[Path], Any]


_FIND = Published(FULL_RANGE_SPARSE, lambda file: blazeface.model(file, FULL_RANGE.spans))
STAGES: Mapping[str, Published] = {
    "find": _FIND,
    "find_small": _FIND,
    "find_again": Published(BACK_FILE, lambda file: blazeface.model(file, BACK.spans)),
    "place": Published(FACE_MESH, lambda file: face_mesh.model(file, MESH.spans)),
    EMBED: Published(DLIB_RESNET, dlib_resnet.model),
}


def models(embed: Any | None = None) -> dict[str, Any]:
    """Float Keras models by stage, the published ones but for `embed` where that is given.

    Files are fetched where they are not there yet.
    """
    published = {
        stage: one.model(fetch(one.weight))
        for stage, one in STAGES.items()
        if stage != EMBED or embed is None
    }
    return published if embed is None else {**published, EMBED: embed}


def embedding() -> Any:
    """The float Keras model of the embedding alone."""
    one = STAGES[EMBED]
    return one.model(fetch(one.weight))


def sources(root: Path) -> tuple[DataSet, ...]:
    """Faces to calibrate and to choose the threshold on.

    Raises:
        DataError: there are none.
    """
    found = tuple(datasets.open_folder(root / name) for name in CHOSEN_ON if (root / name).is_dir())
    if not found:
        raise DataError(f"{root}: none of {', '.join(CHOSEN_ON)} is there; fix: --data DIR")
    return found


def calibration(seen: Sequence[Seen]) -> Floats:
    """(at most 400, 150, 150, 3) float32: chips of all persons alike, from black to white."""
    of_persons = [np.concatenate([inputs for inputs, _ in one.passes[EMBED]])[::2] for one in seen]
    each = max(_CALIBRATION // len(of_persons), 1)
    rows = np.concatenate(
        [chips[np.linspace(0, len(chips) - 1, min(each, len(chips))).astype(int)]
         for chips in of_persons if len(chips)]
    )  # fmt: skip
    rows[0, 0, 0], rows[0, 0, 1] = 0.0, 255.0
    return rows


def operating_point(seen: Sequence[Seen]) -> OperatingPoint:
    """How often somebody is taken for another, and the threshold that keeps strangers out.

    Each picture is compared with the first three of everybody else of its own data set, as the
    device compares it with the enrolled: the most alike of a person's pictures counts.
    """
    tops: list[Array] = []
    for name in {one.recording.dataset for one in seen}:
        persons = [_vectors(one) for one in seen if one.recording.dataset == name]
        for i, own in enumerate(persons):
            others = [one[:_ENROLLED] for j, one in enumerate(persons) if j != i and len(one)]
            tops += [cosines(own, one).max(axis=1) for one in others if len(own)]
    tail = impostors.count(np.concatenate(tops).tolist(), _TAIL)
    chosen = impostors.threshold_for(_FALSE_ACCEPTS_PER_1000, _PERSONS, tail)
    kept = impostors.threshold_for(_KEPT * _FALSE_ACCEPTS_PER_1000, _PERSONS, tail)
    return OperatingPoint(
        threshold=chosen.cosine,
        clear_threshold=kept.cosine,
        chosen_on="persons of " + ", ".join(sorted({one.recording.dataset for one in seen})),
        measured=tail.measured(),
    )


def _vectors(one: Seen) -> Floats:
    """(pictures, d) embeddings of the largest face of each picture that shows one."""
    found = [faces[number].vector for faces in one.found if (number := largest(faces)) is not None]
    vectors = [vector for vector in found if vector is not None]
    return np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
