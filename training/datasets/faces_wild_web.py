"""Pictures of a few persons from the web: any light, pose and framing.

Whole pictures of the tests of deepface (Serengil) and face crops of a course of codebasics. Read
from `labels.csv` with columns `file`, `subject`, `image_no`, `source`.

Protocol: every two pictures are compared. The persons are famous, and the set was cleaned with an
embedding like the one under test, so it flatters a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from training import face_pairs, face_protocols, people
from training.datasets import DataError, DataSet
from training.people import Person
from training.protocols import Bench, Measured

NAME = "faces_wild_web"
COLUMNS = ("image_no", "source")
LICENCE = "MIT for one repository, none stated for the other; press photographs: for tests alone"
_SEED = 0


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return people.has_columns(folder / people.LABELS, COLUMNS)


def open_folder(folder: Path) -> DataSet:
    """All persons of a folder.

    Raises:
        DataError: the table is damaged, a picture is missing, or there is nobody to compare with.
    """
    everybody = people.in_folder(folder, NAME, COLUMNS)
    if len(everybody) < 2 or all(len(one.labels) < 2 for one in everybody):
        raise DataError(
            f"{folder / people.LABELS}: needs two persons, and two pictures of one; fix: copy this "
            "file again"
        )
    return people.dataset(NAME, everybody, LICENCE, partial(measure, everybody))


def measure(everybody: Sequence[Person], bench: Bench) -> Measured:
    """Every picture against every other.

    Returns:
        What `verification`, `eer_by_float`, `balanced_ten_fold` and `counts` give.
    """
    met = face_protocols.meet(bench, everybody)
    threshold = bench.point(everybody[0].recording).threshold
    each = np.stack(np.triu_indices(sum(len(one.vectors) for one in met), k=1), axis=1)
    pairs = face_pairs.compare(met, each)
    metrics = face_protocols.counts(met) | face_pairs.verification(pairs, threshold)
    metrics |= face_pairs.eer_by_float(face_pairs.compare(met, each, by_float=True))
    metrics |= face_pairs.balanced_ten_fold(pairs, seed=_SEED)
    rows = []
    for number, one in enumerate(met):
        is_its = (pairs.first == number) | (pairs.second == number)
        own = pairs.only(is_its)
        rows.append(
            face_protocols.row(bench, one)
            | {
                "false_non_matches": int((own.genuine < threshold).sum()),
                "genuine_pairs": len(own.genuine),
                "false_matches": int((own.impostor >= threshold).sum()),
                "impostor_pairs": len(own.impostor),
            }
        )
    return Measured(metrics, tuple(rows))
