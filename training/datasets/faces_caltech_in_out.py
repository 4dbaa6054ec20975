"""Caltech frontal faces: enrolled indoors, met outdoors.

Weber, California Institute of Technology, 1999; class Faces_easy of Caltech-101 (Fei-Fei, Fergus,
Perona, 2004). Read from `labels.csv` with columns `file`, `subject`, `source_index`, `place`
(`indoor`, `outdoor`, `unclear`) and `face_covered`.

Protocol: everybody is enrolled from their first three indoor pictures by file name; the other
indoor pictures and all outdoor ones are searched for, each place by itself, the unclear ones not at
all. Open set: every third person is a stranger, never enrolled.

Six persons, as in Dürr, Pauchard, Browarnik, Axthelm, Loeser, "Deep learning on a Raspberry Pi for
real time face recognition", Eurographics posters, 2015: a closed set of six, and a threshold below
which nobody is named. Here the people in order make as many sixes as there are. The threshold is
chosen on all who are not of the six: the lowest at which at most 1 % of their pictures would be
taken for somebody else among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from pathlib import Path

import numpy as np

from contract.spec import Array
from training import face_protocols, people
from training import face_search as faces
from training.datasets import DataSet
from training.face_protocols import Met
from training.face_search import Decided, Picked
from training.people import Label, Person
from training.protocols import Bench, Measured
from training.verification import cosines, threshold_at

NAME = "faces_caltech_in_out"
COLUMNS = ("source_index", "place", "face_covered")
LICENCE = "unstated in the copy it was read from; mirrors of Caltech-101 state cc-by-4.0"
ENROLLED_FROM = 3
SIX = 6
PLACES = ("indoor", "outdoor")


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
    """Closed set by place, open set, and the protocol of six persons.

    Returns:
        At the shipped threshold: `indoor_accuracy` and `outdoor_accuracy`, share of the accepted
        named right; `indoor_pictures`, `indoor_accepted`, `indoor_right` and the same outdoors;
        `enrolment_rate`, share of all searches accepted; each rate with `_at_0` too, where whoever
        is most alike is named. What `OpenSet.metrics` gives, and what `counts` gives; `unclear`
        pictures, which are not searched for. Of the sixes together: `six_person_accuracy`,
        `six_person_enrolment_rate`, both with `_at_0`; `six_person_pictures`, `_accepted`,
        `_right`, and `six_person_groups`. A rate is left out where there is no picture.
    """
    met = face_protocols.meet(bench, everybody)
    threshold = bench.point(everybody[0].recording).threshold
    indoors, outdoors = (faces.picked(everybody, partial(_is_at, place)) for place in PLACES)
    enrolled = {name: those[:ENROLLED_FROM] for name, those in indoors.items()}
    by_place = {
        "indoor": {name: those[ENROLLED_FROM:] for name, those in indoors.items()},
        "outdoor": outdoors,
    }
    probes = {one.name: [*by_place["indoor"][one.name], *outdoors[one.name]] for one in everybody}
    gallery = faces.enrol(met, enrolled)

    metrics = face_protocols.counts(met)
    in_all = {"": Decided(0, 0, 0), "_at_0": Decided(0, 0, 0)}
    for place, pictures in by_place.items():
        searches = faces.search(met, gallery, pictures)
        for suffix, limit in (("", threshold), ("_at_0", faces.ANY)):
            decided = searches.decided(limit)
            in_all[suffix] += decided
            metrics |= _rates(place, decided, suffix)
    metrics["enrolment_rate"] = in_all[""].enrolment_rate
    metrics["enrolment_rate_at_0"] = in_all["_at_0"].enrolment_rate
    metrics["unclear"] = float(
        sum(label["place"] not in PLACES for one in everybody for label in one.labels)
    )

    strangers = faces.every_third(everybody)
    known = faces.enrol(met, faces.without(enrolled, strangers))
    asked = {name: [*indoors[name], *outdoors[name]] for name in strangers}
    open_set = faces.OpenSet(
        faces.search(met, known, faces.without(probes, strangers)),
        faces.search(met, known, asked),
    )
    metrics |= open_set.metrics(threshold)

    sixes = list(starmap(partial(_six, met, enrolled, probes, threshold), _dealt(met)))
    if sixes:
        metrics |= _of_sixes(sixes)
    searches = faces.search(met, gallery, probes)
    rows = []
    for one in met:
        decided = searches.of([one.name]).decided(threshold)
        rows.append(
            face_protocols.row(bench, one)
            | {
                "is_stranger": one.name in strangers,
                "probes": decided.pictures,
                "accepted": decided.accepted,
                "right": decided.right,
                "six_person_p0": next((s.p0 for s in sixes if one.name in s.names), None),
            }
        )
    return Measured(metrics, tuple(rows))


def _is_at(place: str, label: Label) -> bool:
    return label["place"] == place


def _rates(name: str, decided: Decided, suffix: str) -> dict[str, float]:
    if not decided.pictures:
        return {}
    return {
        f"{name}_accuracy{suffix}": decided.accuracy,
        f"{name}_pictures{suffix}": float(decided.pictures),
        f"{name}_accepted{suffix}": float(decided.accepted),
        f"{name}_right{suffix}": float(decided.right),
    }


@dataclass(frozen=True)
class _Six:
    """Six persons, measured.

    Attributes:
        names: theirs.
        p0: the threshold chosen on others.
        at_p0, at_0: what became of their pictures.
    """

    names: tuple[str, ...]
    p0: float
    at_p0: Decided
    at_0: Decided


def _dealt(met: Sequence[Met]) -> list[tuple[Sequence[Met], Sequence[Met]]]:
    """As many sixes as there are, each with everybody else."""
    starts = range(0, len(met) - SIX + 1, SIX)
    return [(met[i : i + SIX], [*met[:i], *met[i + SIX :]]) for i in starts]


def _six(
    met: Sequence[Met],
    enrolled: Picked,
    probes: Picked,
    shipped: float,
    six: Sequence[Met],
    others: Sequence[Met],
) -> _Six:
    names = tuple(one.name for one in six)
    gallery = faces.enrol(met, faces.only(enrolled, names))
    searches = faces.search(met, gallery, faces.only(probes, names))
    taken_for_others = _taken_for_others(others, enrolled, probes)
    p0 = threshold_at(taken_for_others, faces.FPIR) if len(taken_for_others) else shipped
    return _Six(names, p0, searches.decided(p0), searches.decided(faces.ANY))


def _taken_for_others(met: Sequence[Met], enrolled: Picked, probes: Picked) -> Array:
    """(n,) how alike each of these people's pictures is to anybody else enrolled among them."""
    gallery = faces.enrol(met, enrolled)
    asked = [
        (one.name, vector)
        for one in met
        for i in probes[one.name]
        if (vector := one.vectors[i]) is not None
    ]
    if not asked or len(set(gallery.names)) < 2:
        return np.empty(0)
    alike = cosines(np.stack([vector for _, vector in asked]), gallery.vectors)
    is_other = np.array([name for name, _ in asked])[:, None] != gallery.names[None]
    return np.where(is_other, alike, -np.inf).max(axis=1)


def _of_sixes(sixes: Sequence[_Six]) -> dict[str, float]:
    at_p0 = sum((one.at_p0 for one in sixes), Decided(0, 0, 0))
    at_0 = sum((one.at_0 for one in sixes), Decided(0, 0, 0))
    return {
        **_rates("six_person", at_p0, ""),
        **_rates("six_person", at_0, "_at_0"),
        "six_person_enrolment_rate": at_p0.enrolment_rate,
        "six_person_enrolment_rate_at_0": at_0.enrolment_rate,
        "six_person_groups": float(len(sixes)),
    }
