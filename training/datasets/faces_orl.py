"""ORL: forty persons, ten grey pictures each, in even light.

Samaria and Harter, "Parameterisation of a stochastic model for human face identification", IEEE
Workshop on Applications of Computer Vision, 1994. Read from `labels.csv` with columns `file`,
`subject`, `image_no`, `role_closed` (`enrol` or `probe`) and `role_open` (`enrol`, `probe_known`,
`probe_unknown`).

Protocol: closed set, everybody enrolled from the pictures so marked, the others name who is most
alike. Open set, people with `probe_unknown` are never enrolled; where the table marks nobody so,
every third person is a stranger. Both again from each person's first enrolment picture alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from training import face_protocols, people
from training import face_search as faces
from training.datasets import DataSet
from training.people import Person
from training.protocols import Bench, Measured

NAME = "faces_orl"
COLUMNS = ("image_no", "role_closed", "role_open")
LICENCE = (
    "no licence name; its README says: 'When using these images, please give credit to Olivetti "
    "Research Laboratory.'"
)


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return people.has_columns(folder / people.LABELS, COLUMNS)


def open_folder(folder: Path) -> DataSet:
    """All persons of a folder.

    Raises:
        DataError: the table is damaged, or a picture is missing.
    """
    everybody = people.in_folder(folder, NAME, COLUMNS)
    return people.dataset(NAME, everybody, LICENCE, partial(measure, everybody))


def measure(everybody: Sequence[Person], bench: Bench) -> Measured:
    """Closed and open set, from all enrolment pictures and from one.

    Returns:
        `closed_set_accuracy`: share of all probes named right; `closed_set_probes`; what
        `OpenSet.metrics` gives; each of them with `_one_picture` too; what `counts` gives.
    """
    met = face_protocols.meet(bench, everybody)
    threshold = bench.point(everybody[0].recording).threshold
    enrolled = faces.picked(everybody, lambda label: label["role_closed"] == "enrol")
    probes = faces.picked(everybody, lambda label: label["role_closed"] != "enrol")
    strangers = [
        one.name for one in everybody if one.pictures(lambda label: label["role_open"] == _UNKNOWN)
    ] or faces.every_third(everybody)
    asked = faces.picked(everybody, lambda _: True)
    metrics = face_protocols.counts(met)
    searches = {}
    for suffix, most in (("", None), ("_one_picture", 1)):
        some = {name: those[:most] for name, those in enrolled.items()}
        searches[suffix] = faces.search(met, faces.enrol(met, some), probes)
        closed = searches[suffix].decided(faces.ANY)
        metrics["closed_set_accuracy" + suffix] = closed.correct
        metrics["closed_set_probes" + suffix] = float(closed.pictures)
        gallery = faces.enrol(met, faces.without(some, strangers))
        open_set = faces.OpenSet(
            faces.search(met, gallery, faces.without(probes, strangers)),
            faces.search(met, gallery, faces.only(asked, strangers)),
        )
        metrics |= open_set.metrics(threshold, suffix)
    rows = tuple(
        face_protocols.row(bench, one)
        | {
            "is_stranger": one.name in strangers,
            "probes": len(probes[one.name]),
            "right": searches[""].of([one.name]).decided(faces.ANY).right,
            "right_one_picture": searches["_one_picture"].of([one.name]).decided(faces.ANY).right,
        }
        for one in met
    )
    return Measured(metrics, rows)


_UNKNOWN = "probe_unknown"
