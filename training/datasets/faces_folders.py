"""Anybody's pictures of people: a folder for each person, named as the person is called.

Pictures in any format of `training.pictures`, at any depth below the person's folder; of each
picture the largest face is taken. For training (`vedette train faces`), and to see how well people
of one's own are told apart: every two pictures are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from training import people
from training.datasets import DataError, DataSet, faces_wild_web, inspect_parts
from training.people import Person
from training.protocols import Bench, Measured

NAME = "faces_folders"
LICENCE = "unknown: the user's own pictures"
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
_MOST = 5000  # pictures that are compared two by two


def is_here(folder: Path) -> bool:
    """Whether there are two folders with pictures in `folder`, and none that says otherwise."""
    if (folder / people.LABELS).exists() or inspect_parts.is_here(folder):
        return False
    shown = (one for one in _folders(folder) if next(_pictures(one), None) is not None)
    return next(shown, None) is not None and next(shown, None) is not None


def open_folder(folder: Path) -> DataSet:
    """All persons of a folder.

    Raises:
        DataError: fewer than two, or nobody with two pictures.
    """
    everybody = tuple(
        people.person(folder, NAME, one.name, [{"file": str(file)} for file in files])
        for one in _folders(folder)
        if (files := sorted(file.relative_to(folder) for file in _pictures(one)))
    )
    if len(everybody) < 2 or all(len(one.labels) < 2 for one in everybody):
        raise DataError(
            f"{folder}: needs two persons, and two pictures of one; fix: a folder for each person"
        )
    return people.dataset(NAME, everybody, LICENCE, partial(measure, everybody))


def measure(everybody: Sequence[Person], bench: Bench) -> Measured:
    """Every picture against every other, as in `faces_wild_web`.

    Raises:
        DataError: too many pictures.
    """
    pictures = sum(len(one.labels) for one in everybody)
    if pictures > _MOST:
        raise DataError(f"{pictures} pictures, more than {_MOST}; fix: evaluate on some of them")
    return faces_wild_web.measure(everybody, bench)


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")


def _pictures(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.suffix.lower() in _ENDINGS)
