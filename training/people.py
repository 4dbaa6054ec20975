"""Labelled pictures of people: a person is a recording, pictures are its windows."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.spec import Window
from training import pictures
from training.datasets import DataError, DataSet, Recording
from training.protocols import Bench, Measured

Label = Mapping[str, str]
LABELS = "labels.csv"


@dataclass(frozen=True, eq=False)
class Person:
    """One person and what is known of each picture.

    Attributes:
        recording: the pictures, in the order of their files' names.
        labels: of each picture: the columns of its row.
    """

    recording: Recording
    labels: tuple[Label, ...]

    @property
    def name(self) -> str:
        """Of the person, unique within the data set."""
        return self.recording.name

    def pictures(self, which: Callable[[Label], bool]) -> list[int]:
        """Numbers of the pictures whose label is such a one."""
        return [i for i, label in enumerate(self.labels) if which(label)]


def has_columns(file: Path, columns: Iterable[str]) -> bool:
    """Whether `file` is a table with these columns; False where it cannot be read."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            return set(columns) <= set(next(csv.reader(lines), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


def table(file: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a table with a heading.

    Raises:
        DataError: unreadable, empty, or a row lacks one of `columns`.
    """
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    if not rows:
        raise DataError(f"{file}: no rows; fix: copy this file again")
    for number, row in enumerate(rows, start=2):
        for column in columns:
            if not row.get(column):
                raise DataError(f"{file}: line {number}: no {column!r}; fix: copy this file again")
    return rows


def in_folder(folder: Path, dataset: str, columns: Iterable[str]) -> tuple[Person, ...]:
    """Everybody in `folder/labels.csv`, sorted by name, each with their pictures by file name.

    Args:
        folder: of a data set.
        dataset: its name.
        columns: the table must have, beside `file` and `subject`.

    Raises:
        DataError: the table is damaged, or a picture it names is not there.
    """
    by_name = defaultdict(list)
    for row in table(folder / LABELS, ("file", "subject", *columns)):
        by_name[row["subject"]].append(row)
    return tuple(
        person(folder, dataset, name, sorted(rows, key=lambda row: row["file"]))
        for name, rows in sorted(by_name.items())
    )


def person(folder: Path, dataset: str, name: str, labels: Sequence[Label]) -> Person:
    """One person.

    Args:
        folder: that `file` of each label starts from.
        dataset: name of the data set.
        name: of the person.
        labels: one for each picture, at least one.

    Raises:
        DataError: a picture is not there.
    """
    files = [folder / label["file"] for label in labels]
    recording = Recording(
        name=name,
        dataset=dataset,
        life=np.linspace(1 / len(files), 1, len(files), dtype=np.float32),
        learn_windows=0,
        onset=None,
        digest=_digest(files),
        window=lambda i: picture(files[i], i),
    )
    return Person(recording, tuple(labels))


def picture(file: Path, number: int) -> Window:
    """A picture file as a window, as if a camera had taken one every second.

    Raises:
        DataError: the file is not there, or no picture.
    """
    return Window(file.name, number, number * 10**9, 0, pictures.read(file), 0.0)


def dataset(
    name: str,
    people: Sequence[Person],
    licence: str,
    measure: Callable[[Bench], Measured],
) -> DataSet:
    """A data set of people; no picture of anybody ever travels inside a bundle.

    Args:
        name: of the data set.
        people: sorted by name.
        licence: what its authors allow.
        measure: the protocol.
    """
    recordings = tuple(one.recording for one in people)
    return DataSet(name, recordings, licence, shareable=False, measure=measure)


def _digest(files: Iterable[Path]) -> str:
    """Hex SHA-256 over the bytes of files."""
    whole = hashlib.sha256()
    for file in files:
        try:
            whole.update(hashlib.sha256(file.read_bytes()).digest())
        except OSError as error:
            raise DataError(f"{file}: {error.strerror}; fix: copy this file again") from None
    return whole.hexdigest()
