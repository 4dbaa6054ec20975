"""Published ways to recognise faces and the shipped one, on the six-person protocol of 2015.

The people in order make sixes, each a closed set. Somebody is enrolled from the first indoor
pictures by file name; the other indoor pictures and all outdoor ones are searched for, and a face
is named if the most probable person is at least `p0` probable. Published were the share named and
how many of those were right.

What a closed set leaves out is everybody else, so all other people's pictures are shown as well:
none of them should be named.

`p0` is chosen on the other sixes, each learned by the same method: the lowest at which at most 1 %
of their pictures, and of those of people who are in neither six, is named wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Detection, Floats, Window
from training.datasets.faces_caltech_in_out import PLACES, SIX
from training.face_baselines import Baseline, Fitted
from training.face_protocols import largest
from training.face_search import FPIR
from training.people import Person
from training.verification import cosines, threshold_at
from training.watch import Seen

SHIPPED = "shipped"
ENROLLED = (3, 7)  # pictures of each: as everywhere here, and about 40 of all six as published


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture of somebody.

    Attributes:
        person: number of who it is.
        place: `indoor` or `outdoor`.
        window: the picture.
        face: the largest in it, with its embedding; None: none was found.
    """

    person: int
    place: str
    window: Window
    face: Detection | None


def shown(people: Sequence[Person], seen: Sequence[Seen]) -> list[Shown]:
    """All pictures indoors and outdoors, by person and file name.

    Args:
        people: with the places.
        seen: the same people, by the bundle.
    """
    return [
        Shown(number, label["place"], one.recording.window(i), _largest(found))
        for number, (person, one) in enumerate(zip(people, seen, strict=True))
        for i, (label, found) in enumerate(zip(person.labels, one.found, strict=True))
        if label["place"] in PLACES
    ]


def _largest(found: tuple[Detection, ...]) -> Detection | None:
    number = largest(found)
    return None if number is None else found[number]


@dataclass(frozen=True, eq=False)
class Nearest:
    """The shipped way: an embedding is compared with those of each enrolled person.

    Attributes:
        vectors: (n, d) float32 enrolled.
        persons: (n,) int from 0.
    """

    vectors: Floats
    persons: Array
    model: None = None

    def classify(self, rows: Floats) -> Array:
        """(n, persons) cosines, of each person the highest."""
        alike = cosines(rows, self.vectors)
        people = range(int(self.persons.max()) + 1)
        return np.stack([alike[:, self.persons == one].max(axis=1) for one in people], axis=1)


def _vector(_picture: Array, face: Detection) -> Floats:
    assert face.vector is not None
    return face.vector


shipped = Baseline(SHIPPED, _vector, lambda rows, persons, _seed: Nearest(rows, persons), ())


@dataclass(frozen=True, eq=False)
class _Learned:
    """Six people, learned, and what is then said of everybody's pictures.

    Attributes:
        fitted: by the method.
        is_six: (pictures,) bool, shows one of the six.
        is_probe: (pictures,) bool, is searched for or shows a stranger: not enrolled.
        is_right: (pictures,) bool, the most probable person is the right one.
        score: (pictures,) of the most probable person; -inf without a face.
    """

    fitted: Fitted
    is_six: Array
    is_probe: Array
    is_right: Array
    score: Array


@dataclass(frozen=True)
class Rates:
    """What is made of all sixes together at one threshold.

    Attributes:
        pictures: of the six, searched for.
        accepted: of them, named.
        right: of those, named right.
        strangers: pictures of others.
        strangers_accepted: of them, named.
    """

    pictures: int
    accepted: int
    right: int
    strangers: int
    strangers_accepted: int

    def __add__(self, other: Rates) -> Rates:
        return Rates(
            self.pictures + other.pictures,
            self.accepted + other.accepted,
            self.right + other.right,
            self.strangers + other.strangers,
            self.strangers_accepted + other.strangers_accepted,
        )

    def row(self, suffix: str) -> dict[str, float]:
        """By name, the names ending in `suffix`."""
        found = {
            "accuracy": self.right / max(self.accepted, 1),
            "enrolment_rate": self.accepted / max(self.pictures, 1),
            "accepted": float(self.accepted),
            "right": float(self.right),
            "strangers_accepted": float(self.strangers_accepted),
        }
        return {name + suffix: value for name, value in found.items()}


@dataclass(frozen=True, eq=False)
class Result:
    """One line of the comparison.

    Attributes:
        method: its name.
        enrolled_from: pictures of each person.
        groups: sixes.
        at_p0: at the threshold chosen on other sixes; None: there are none.
        at_0: whoever is most probable is named.
        at_own: at the thresholds above 0 that the method comes with, by threshold.
        p0: of each six; empty where there is but one.
        fitted: of the first six, to be timed.
    """

    method: str
    enrolled_from: int
    groups: int
    at_p0: Rates | None
    at_0: Rates
    at_own: Mapping[float, Rates]
    p0: tuple[float, ...]
    fitted: Fitted

    def row(self) -> dict[str, str | float | list[float] | None]:
        """All of it, fit for JSON."""
        made: dict[str, str | float | list[float] | None] = {
            "method": self.method,
            "enrolled_from": self.enrolled_from,
            "groups": self.groups,
            "pictures": self.at_0.pictures,
            "strangers": self.at_0.strangers,
            "p0": list(self.p0),
        }
        made |= self.at_p0.row("") if self.at_p0 else {}
        made |= self.at_0.row("_at_0")
        for p0, rates in self.at_own.items():
            made |= rates.row(f"_at_{p0:g}")
        return made


def sixes(pictures: Sequence[Shown], enrolled_from: int) -> list[tuple[int, ...]]:
    """Numbers of the people of each six: those with indoor pictures left to search with."""
    indoors = np.bincount([one.person for one in pictures if one.place == PLACES[0]])
    people = np.flatnonzero(indoors > enrolled_from).tolist()
    return [tuple(people[i : i + SIX]) for i in range(0, len(people) - SIX + 1, SIX)]


def compare(
    method: Baseline,
    pictures: Sequence[Shown],
    enrolled_from: int,
    *,
    own: Sequence[float],
    seed: int,
) -> Iterator[str | Result]:
    """Learn every six and search for everybody; a line after each six, the result at the end.

    Args:
        method: how.
        pictures: of everybody.
        enrolled_from: pictures of each of a six.
        own: thresholds that the method comes with.
        seed: of what the method leaves to chance.
    """
    groups = sixes(pictures, enrolled_from)
    rows = [None if p.face is None else method.see(p.window.data, p.face) for p in pictures]
    learned = []
    for six in groups:
        learned.append(_learn(method.fit, rows, pictures, six, enrolled_from, seed=seed))
        yield f"{method.name}, {len(learned)} of {len(groups)} sixes"
    limits = [_p0([other for other in learned if other is not one], one) for one in learned]
    yield Result(
        method.name,
        enrolled_from,
        len(groups),
        _total(learned, limits) if len(groups) > 1 else None,
        _total(learned, [-np.finfo(float).max] * len(learned)),
        {p0: _total(learned, [p0] * len(learned)) for p0 in own},
        tuple(limits) if len(groups) > 1 else (),
        learned[0].fitted,
    )


def _learn(
    fit: Callable[[Floats, Array, int], Fitted],
    rows: Sequence[Floats | None],
    pictures: Sequence[Shown],
    six: Sequence[int],
    enrolled_from: int,
    *,
    seed: int,
) -> _Learned:
    of = np.array([one.person for one in pictures])
    is_found = np.array([row is not None for row in rows])
    is_indoors = np.array([one.place == PLACES[0] for one in pictures])
    enrolled = np.concatenate(
        [np.flatnonzero((of == one) & is_indoors)[:enrolled_from] for one in six]
    )
    taken = enrolled[is_found[enrolled]]
    fitted = fit(
        np.stack([row for i in taken if (row := rows[i]) is not None]),
        np.array([six.index(one) for one in of[taken]]),
        seed,
    )
    said = fitted.classify(np.stack([row for row in rows if row is not None]))
    score, named = np.full(len(rows), -np.inf), np.full(len(rows), -1)
    score[is_found] = said.max(axis=1)
    named[is_found] = np.array(six)[said.argmax(axis=1)]
    is_probe = np.ones(len(rows), bool)
    is_probe[enrolled] = False
    return _Learned(fitted, np.isin(of, six), is_probe, named == of, score)


def _p0(others: Sequence[_Learned], one: _Learned) -> float:
    """The threshold for a six, chosen without its people."""
    wrong = [
        np.where(other.is_six & other.is_right, -np.inf, other.score)[other.is_probe & ~one.is_six]
        for other in others
    ]
    return threshold_at(np.concatenate(wrong), FPIR) if wrong else -np.inf


def _total(learned: Sequence[_Learned], limits: Sequence[float]) -> Rates:
    each = []
    for one, limit in zip(learned, limits, strict=True):
        is_named = one.score >= limit
        known, stranger = one.is_probe & one.is_six, ~one.is_six
        each.append(
            Rates(
                int(known.sum()),
                int((known & is_named).sum()),
                int((known & is_named & one.is_right).sum()),
                int(stranger.sum()),
                int((stranger & is_named).sum()),
            )
        )
    return sum(each, Rates(0, 0, 0, 0, 0))
