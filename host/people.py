"""The people of the demo of faces: some to enrol, and pictures of them and others to show."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from host.phases import DemoError

SET = "faces_caltech_in_out"
_ENROL, _SHOW = 3, 2  # pictures of each; none is among both


@dataclass(frozen=True)
class Person:
    """One.

    Attributes:
        name: as the set calls the person, which is no name.
        to_enrol: pictures.
        to_show: other pictures.
    """

    name: str
    to_enrol: tuple[Path, ...]
    to_show: tuple[Path, ...]


def choose(count: int) -> list[Person]:
    """The first so many of whom there are enough pictures, indoors and with the whole face.

    Raises:
        DemoError: the set is not there, or holds fewer people.
    """
    folder = Path(os.environ.get("VEDETTE_DATA", "data")) / SET
    pictures: dict[str, list[Path]] = {}
    try:
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if row["place"] == "indoor" and row["face_covered"] == "0":
                    pictures.setdefault(row["subject"], []).append(folder / row["file"])
    except OSError as error:
        raise DemoError(
            f"{folder}: {error.strerror}; fix: VEDETTE_DATA=DIR, where DIR/{SET} holds labels.csv "
            "and images/"
        ) from None
    except (KeyError, ValueError, csv.Error) as error:
        raise DemoError(f"{folder}/labels.csv: not the labels of {SET}: {error}") from None
    chosen = [
        Person(name, tuple(files[:_ENROL]), tuple(files[_ENROL : _ENROL + _SHOW]))
        for name, files in pictures.items()
        if len(files) >= _ENROL + _SHOW
    ][:count]
    if len(chosen) < count:
        raise DemoError(f"{folder}: pictures of {len(chosen)} people; need {count}")
    return chosen
