"""Everybody enrolled, searches for them and for strangers: what naming people amounts to.

A picture without any face is a search in vain: never right, never accepted, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Floats
from training.face_protocols import Met
from training.people import Label, Person
from training.verification import cosines, fnir_at_fpir

ANY = -2.0  # a threshold below every cosine: whoever is most alike is named
FPIR = 0.01

Picked = Mapping[str, Sequence[int]]  # numbers of pictures by person


@dataclass(frozen=True, eq=False)
class Gallery:
    """Who is enrolled.

    Attributes:
        names: (n,) str, of whom each picture is.
        vectors: (n, d) float32, their embeddings; n may be 0.
    """

    names: Array
    vectors: Floats


def enrol(met: Sequence[Met], pictures: Picked) -> Gallery:
    """People from some of their pictures; one without a face in it enrols nobody.

    Args:
        met: everybody.
        pictures: numbers of those to enrol from, by person; who is not in it is not enrolled.
    """
    taken = [
        (one.name, vector)
        for one in met
        for i in pictures.get(one.name, ())
        if (vector := one.vectors[i]) is not None
    ]
    vectors = [vector for _, vector in taken]
    stacked = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
    return Gallery(np.array([name for name, _ in taken], dtype=np.str_), stacked)


@dataclass(frozen=True, eq=False)
class Searches:
    """Pictures compared with everybody enrolled.

    Attributes:
        persons: (n,) str, who is to be seen in each.
        named: (n,) str, whose enrolled picture is most alike; empty: no face, or nobody enrolled.
        scores: (n,) float64, how alike, as cosine; -inf where nobody is named.
    """

    persons: Array
    named: Array
    scores: Array

    def of(self, persons: Sequence[str]) -> Searches:
        """Those for some people alone."""
        kept = np.isin(self.persons, persons)
        return Searches(self.persons[kept], self.named[kept], self.scores[kept])

    @property
    def right_scores(self) -> Array:
        """(n,) float64, the scores of those named right; -inf of all others."""
        return np.where(self.named == self.persons, self.scores, -np.inf)

    def decided(self, threshold: float) -> Decided:
        """What is made of it at a threshold."""
        is_accepted = self.scores >= threshold
        is_right = is_accepted & (self.named == self.persons)
        return Decided(len(self.persons), int(is_accepted.sum()), int(is_right.sum()))


@dataclass(frozen=True)
class Decided:
    """Searches, decided.

    Attributes:
        pictures: searched for.
        accepted: somebody was named.
        right: the right one was.
    """

    pictures: int
    accepted: int
    right: int

    def __add__(self, other: Decided) -> Decided:
        return Decided(
            self.pictures + other.pictures,
            self.accepted + other.accepted,
            self.right + other.right,
        )

    @property
    def accuracy(self) -> float:
        """Share of the accepted that were named right, as published in 2015; 0.0 without any."""
        return self.right / max(self.accepted, 1)

    @property
    def enrolment_rate(self) -> float:
        """Share of the pictures that were accepted; 0.0 without any picture."""
        return self.accepted / max(self.pictures, 1)

    @property
    def correct(self) -> float:
        """Share of all pictures that were named right; 0.0 without any picture."""
        return self.right / max(self.pictures, 1)


def search(met: Sequence[Met], gallery: Gallery, pictures: Picked) -> Searches:
    """Search for whoever is to be seen in pictures: the most alike enrolled one names them.

    Args:
        met: everybody.
        gallery: who is enrolled.
        pictures: numbers of those to search with, by person.
    """
    asked = [(one.name, one.vectors[i]) for one in met for i in pictures.get(one.name, ())]
    named = np.full(len(asked), "", dtype=gallery.names.dtype if len(gallery.names) else np.str_)
    scores = np.full(len(asked), -np.inf)
    vectors = [(i, vector) for i, (_, vector) in enumerate(asked) if vector is not None]
    if vectors and len(gallery.names):
        where = [i for i, _ in vectors]
        alike = cosines(np.stack([vector for _, vector in vectors]), gallery.vectors)
        named[where] = gallery.names[alike.argmax(axis=1)]
        scores[where] = alike.max(axis=1)
    return Searches(np.array([name for name, _ in asked], dtype=np.str_), named, scores)


@dataclass(frozen=True, eq=False)
class OpenSet:
    """Some people enrolled, searches for them and for strangers.

    Attributes:
        known: searches for people who are enrolled.
        strangers: for people who are not.
    """

    known: Searches
    strangers: Searches

    def metrics(self, threshold: float, suffix: str = "") -> dict[str, float]:
        """What is made of it at the shipped threshold.

        Returns:
            `open_set_correct`: share of the pictures of enrolled people named right;
            `open_set_known`: how many those pictures are; `strangers_accepted`: how many pictures
            of strangers were named, of `strangers`; `fnir_at_fpir_1pct`, at the threshold at which
            1 % of these strangers are named, where there are strangers.
        """
        known, strangers = self.known.decided(threshold), self.strangers.decided(threshold)
        found = {
            "open_set_correct": known.correct,
            "open_set_known": float(known.pictures),
            "strangers_accepted": float(strangers.accepted),
            "strangers": float(strangers.pictures),
        }
        if known.pictures and strangers.pictures:
            missed = fnir_at_fpir(self.known.right_scores, self.strangers.scores, FPIR)
            found["fnir_at_fpir_1pct"] = missed
        return {name + suffix: value for name, value in found.items()}


def every_third(people: Sequence[Person]) -> list[str]:
    """Names of the people who are strangers where a data set names none: every third of them."""
    return [one.name for one in people[2::3]]


def picked(people: Sequence[Person], which: Callable[[Label], bool]) -> Picked:
    """Numbers of everybody's pictures whose label is such a one."""
    return {one.name: one.pictures(which) for one in people}


def without(pictures: Picked, names: Sequence[str]) -> Picked:
    """The same without some people."""
    return {name: those for name, those in pictures.items() if name not in names}


def only(pictures: Picked, names: Sequence[str]) -> Picked:
    """The same of some people alone."""
    return {name: those for name, those in pictures.items() if name in names}
