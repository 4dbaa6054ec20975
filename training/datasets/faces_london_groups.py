"""Face Research Lab London Set: persons who told their own ethnic group, neutral and smiling.

DeBruine and Jones, figshare, 2017, doi 10.6084/m9.figshare.5047666.v5. Read from `labels.csv` with
columns `file`, `subject`, `expression`, `group` and `pairs.csv` with `enrol`, `probe`, both files.

Protocol: the pairs of the table, every neutral picture against every smiling one, at one threshold
for everybody. Groups are small and unequal, and the two pictures of a person were taken in one
session and one light: nothing about any population can be said from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from contract.spec import Array
from training import face_groups, face_pairs, face_protocols, people
from training.datasets import DataError, DataSet
from training.people import Person
from training.protocols import Bench, Measured

NAME = "faces_london_groups"
PAIRS = "pairs.csv"
COLUMNS = ("expression", "group")
LICENCE = "CC-BY 4.0; DeBruine and Jones, Face Research Lab London Set, 2017"


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return people.has_columns(folder / people.LABELS, COLUMNS) and (folder / PAIRS).is_file()


def open_folder(folder: Path) -> DataSet:
    """All persons of a folder.

    Raises:
        DataError: a table is damaged, or a picture is missing.
    """
    everybody = people.in_folder(folder, NAME, COLUMNS)
    pairs = _pairs(folder / PAIRS, everybody)
    return people.dataset(NAME, everybody, LICENCE, partial(measure, everybody, pairs))


def _pairs(file: Path, everybody: Sequence[Person]) -> Array:
    """(n, 2) numbers of the pictures compared, counted through over everybody."""
    files = [label["file"] for one in everybody for label in one.labels]
    owners = [one.name for one in everybody for _ in one.labels]
    number = {name: i for i, name in enumerate(files)}
    pairs = []
    for row in people.table(file, ("enrol", "probe")):
        for column in ("enrol", "probe"):
            if row[column] not in number:
                raise DataError(
                    f"{file}: {row[column]!r} is not in {people.LABELS}; fix: copy both files again"
                )
        pairs.append((number[row["enrol"]], number[row["probe"]]))
    if len({owners[a] == owners[b] for a, b in pairs}) < 2:
        raise DataError(
            f"{file}: needs pairs of one person and pairs of two; fix: copy this file again"
        )
    return np.array(pairs)


def measure(everybody: Sequence[Person], pairs: Array, bench: Bench) -> Measured:
    """Every pair, over all and by group.

    Returns:
        What `verification`, `eer_by_float`, `differences`, `balanced_ten_fold` and `counts` give;
        a row for each group, as of `face_groups.table`.
    """
    met = face_protocols.meet(bench, everybody)
    threshold = bench.point(everybody[0].recording).threshold
    groups = [one.labels[0]["group"] for one in everybody]
    compared = face_pairs.compare(met, pairs)
    metrics = face_protocols.counts(met) | face_pairs.verification(compared, threshold)
    metrics |= face_pairs.eer_by_float(face_pairs.compare(met, pairs, by_float=True))
    metrics |= face_groups.differences(compared, groups)
    metrics |= face_pairs.balanced_ten_fold(compared, seed=0)
    return Measured(metrics, face_groups.table(compared, groups, threshold))
