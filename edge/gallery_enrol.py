"""Who is enrolled from which pictures: compared with each other and with everybody else first."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from contract.gallery import Consent, Gallery, Person, Picture, clean_name, to_text
from contract.spec import Array, Floats
from edge import gallery_names
from edge.errors import ConfigError
from edge.gallery_pictures import Taken
from edge.gallery_quality import Look

MOST_AT_ONCE = 5  # more pictures of one sitting add chances to be mistaken, and nothing else
MOST_PICTURES = 10  # of a person: each is one more that a stranger may resemble
MOST_NEGATIVES = 50  # of a person
# Cosine of a picture with itself, saved or scaled again; those of one sitting reach 0.998.
SAME_PICTURE = 0.9995


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture, and what becomes of it.

    Attributes:
        taken: the picture.
        look: what it is good for.
        refused: why it is not taken, for another reason than its quality; None: it is.
        advice: what else is to be said.
    """

    taken: Taken
    look: Look
    refused: str | None = None
    advice: tuple[str, ...] = ()

    @property
    def is_taken(self) -> bool:
        """Whether somebody is enrolled from it."""
        return self.refused is None and not self.look.refused

    @property
    def vector(self) -> Floats:
        """(d,) float32 of length 1, of a picture with one face."""
        assert self.look.face is not None
        assert self.look.face.vector is not None
        vector = self.look.face.vector.astype(np.float64)
        unit: Floats = (vector / np.linalg.norm(vector)).astype(np.float32)
        return unit


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of it.

    Attributes:
        pictures: each, and what was said.
        person: as enrolled now; None: nothing has changed.
        told: of all pictures together; where nothing has changed, why.
    """

    pictures: tuple[Shown, ...]
    person: Person | None
    told: tuple[str, ...] = ()


def enrol(
    name: str,
    pictures: Sequence[Shown],
    made: Gallery,
    consent: Consent | None,
    *,
    is_forced: bool = False,
) -> Outcome:
    """Somebody from some pictures, or more pictures of somebody.

    Args:
        name: what alerts will say.
        pictures: with what each is good for.
        made: everybody enrolled so far.
        consent: what is new about it; None: as it was.
        is_forced: take pictures that look like somebody else: twins.

    Returns:
        `person` is not in `made` yet.

    Raises:
        GalleryError: `name` is none, or looks like another's.
    """
    name = clean_name(name)
    person = made.find(name)
    if person is None:
        gallery_names.check(name, made)
    own = person.vectors if person else np.zeros((0, 0), np.float32)
    shown = _each_once(pictures, own)
    if not _taken(shown):
        return Outcome(tuple(shown), None, ("no picture is good enough; nobody was enrolled",))
    if not is_forced:
        shown, why = _of_one_person(name, shown, own, made.same)
        if why:
            return Outcome(tuple(shown), None, (why,))
    compared, why, told = _of_nobody_else(name, shown, own, made, person)
    if why and not is_forced:
        return Outcome(tuple(compared), None, (why,))
    if is_forced:
        told += [why] if why else []
    else:
        shown = compared
    room = min(MOST_AT_ONCE, MOST_PICTURES - len(own))
    if room <= 0:
        why = f"{name} has {len(own)} pictures, no more are kept; fix: vedette forget, enrol anew"
        return Outcome(tuple(shown), None, (why,))
    shown = _best(shown, room)
    chosen = _taken(shown)
    if not chosen:
        return Outcome(tuple(shown), None, ("no picture is left; nobody was enrolled",))
    added = tuple(Picture(to_text(one.vector), one.look.quality) for one in chosen)
    if person is None:
        assert consent is not None
        person = Person(secrets.token_hex(6), name, consent, added)
    else:
        pictures_now = (*person.pictures, *added)
        consent = consent or person.consent
        person = msgspec.structs.replace(person, pictures=pictures_now, consent=consent)
    return Outcome(tuple(shown), person, (*told, *_lacks(person)))


def _lacks(person: Person) -> list[str]:
    lacks = []
    if len(person.pictures) == 1:
        lacks.append("one picture only; two or three more, on other days, make misses rarer")
    if not person.consent.why:
        lacks.append("the consent register has no reason; --why TEXT")
    return lacks


def rule_out(
    name: str, pictures: Sequence[Shown], made: Gallery, *, is_forced: bool = False
) -> Outcome:
    """Pictures of others who must not be taken for somebody.

    Args:
        name: of somebody enrolled.
        pictures: of somebody else, with what each is good for.
        made: everybody enrolled so far.
        is_forced: take those that would rule out the person's own pictures, too.

    Raises:
        ConfigError: nobody of that name is enrolled.
    """
    person = find(made, name)
    own = person.vectors
    shown = [
        one
        if not one.is_taken or is_forced
        else replace(one, refused=_harm(person.name, one.vector, own))
        for one in _each_once(pictures, own)
    ]
    chosen = _taken(shown)[: MOST_NEGATIVES - len(person.negatives)]
    if not chosen:
        why = f"nothing new that is not {person.name}; at most {MOST_NEGATIVES} are kept"
        return Outcome(tuple(shown), None, (why,))
    cosine = max(float((own @ one.vector).max()) for one in chosen)
    told: tuple[str, ...] = ()
    if cosine < made.same:
        told = (f"none would have been taken for {person.name} (cosine up to {cosine:.3f})",)
    negatives = (*person.negatives, *(to_text(one.vector) for one in chosen))
    return Outcome(tuple(shown), msgspec.structs.replace(person, negatives=negatives), told)


def find(made: Gallery, name: str) -> Person:
    """The person of that name.

    Raises:
        ConfigError: there is none.
    """
    if (person := made.find(clean_name(name))) is None:
        fix = "fix: a name of `vedette enrol --list`"
        raise ConfigError(f"nobody is enrolled as {name!r}; {fix}")
    return person


def alike(made: Gallery) -> list[str]:
    """One person under two names, and two under one, among all who are enrolled."""
    told = []
    vectors = [person.vectors for person in made.persons]
    for i, one in enumerate(made.persons):
        for j in range(i):
            cosine = float((vectors[i] @ vectors[j].T).max())
            if cosine >= made.same:
                told.append(_two_names(one.name, made.persons[j].name, cosine))
        if len(set(_groups(vectors[i], made.same))) > 1:
            told.append(f"{one.name}: the pictures are not all of one person, or of two ages")
    return told


def _taken(shown: Sequence[Shown]) -> list[Shown]:
    return [one for one in shown if one.is_taken]


def _each_once(pictures: Sequence[Shown], own: Floats) -> list[Shown]:
    """The same picture twice says nothing new."""
    shown: list[Shown] = []
    for one in pictures:
        if one.is_taken:
            twin = next(
                (
                    before.taken.name
                    for before in shown
                    if before.is_taken and before.vector @ one.vector >= SAME_PICTURE
                ),
                None,
            )
            if twin is None and len(own) and (own @ one.vector).max() >= SAME_PICTURE:
                twin = "one that is enrolled"
            if twin is not None:
                why = f"the same picture as {twin}; one of another moment"
                shown.append(replace(one, refused=why))
                continue
        shown.append(one)
    return shown


def _of_one_person(
    name: str, shown: list[Shown], own: Floats, same: float
) -> tuple[list[Shown], str | None]:
    """Only those that go together; and why none does."""
    chosen = _taken(shown)
    rows = np.stack([one.vector for one in chosen])
    groups = _groups(np.concatenate([own, rows]) if len(own) else rows, same)
    if len(own):
        members = set(groups[: len(own)])
    else:
        sizes = {group: groups.count(group) for group in groups}
        largest = max(sizes.values())
        members = {group for group, size in sizes.items() if size == largest}
        if len(members) > 1:
            return shown, (
                f"two people under one name: the pictures of {name} fall into {len(sizes)} groups "
                "that are not alike; fix: those of one person, or --force"
            )
    odd = [
        one for one, group in zip(chosen, groups[len(own) :], strict=True) if group not in members
    ]
    why = f"not like the other pictures of {name}: somebody else, or a bad picture; leave it out"
    shown = [replace(one, refused=why) if one in odd else one for one in shown]
    if not _taken(shown):
        return shown, f"two people under one name: {name} is enrolled, and these are not alike"
    return shown, None


def _groups(rows: Floats, same: float) -> list[int]:
    """A number for each row, the same for rows that are linked by cosines of `same` and above."""
    group = list(range(len(rows)))
    for i, j in np.argwhere(np.triu(rows @ rows.T >= same, k=1)).tolist():
        old, new = max(group[i], group[j]), min(group[i], group[j])
        group = [new if one == old else one for one in group]
    return group


def _of_nobody_else(
    name: str, shown: list[Shown], own: Floats, made: Gallery, person: Person | None
) -> tuple[list[Shown], str | None, list[str]]:
    """Without those more alike to somebody else; why none is left; and what is to be told."""
    others = [one for one in made.persons if person is None or one.id != person.id]
    chosen = _taken(shown)
    told: list[str] = []
    if not others or not chosen:
        return shown, None, told
    rows = np.stack([one.vector for one in chosen])
    to_others = np.stack([(rows @ other.vectors.T).max(axis=1) for other in others], axis=1)
    nearest, cosines = to_others.argmax(axis=1), to_others.max(axis=1)
    to_own = _to_own(rows, own)
    is_alike = cosines >= made.same
    if 2 * int(is_alike.sum()) >= len(chosen):
        most = int(np.flatnonzero(is_alike)[cosines[is_alike].argmax()])
        other, cosine = others[int(nearest[most])].name, float(cosines[most])
        return shown, _two_names(name, other, cosine), told
    for i in np.flatnonzero(is_alike):
        other = others[int(nearest[i])].name
        of_which = f"like {other} (cosine {cosines[i]:.3f})"
        at = next(k for k, one in enumerate(shown) if one is chosen[i])
        if cosines[i] > to_own[i]:
            why = f"more {of_which} than like {name} ({to_own[i]:.3f}); leave it out"
            shown[at] = replace(shown[at], refused=why)
        else:
            shown[at] = replace(shown[at], advice=(f"almost as {of_which} as like {name}",))
            told.append(f"{name} and {other} may be mistaken for each other")
    return shown, None, told


def _to_own(rows: Floats, own: Floats) -> Array:
    """(n,) how alike each is to the person's other pictures; -1 without any."""
    among = (rows @ rows.T).astype(np.float64)
    np.fill_diagonal(among, -1.0)
    found: Array = among.max(axis=1)
    return np.maximum(found, (rows @ own.T).max(axis=1)) if len(own) else found


def _two_names(name: str, other: str, cosine: float) -> str:
    return (
        f"one person under two names: {name} looks like {other} (cosine {cosine:.3f}); fix: enrol "
        f"as {other}, or --force for twins"
    )


def _best(shown: list[Shown], most: int) -> list[Shown]:
    """The rest is not needed."""
    ranked = sorted(_taken(shown), key=lambda one: -one.look.quality)
    rest = ranked[most:]
    why = f"not needed: {most} better ones are taken"
    return [replace(one, refused=why) if one in rest else one for one in shown]


def _harm(name: str, negative: Floats, own: Floats) -> str | None:
    """Why a negative would rule out the person it is kept with; None: it does not."""
    if len(own) < 2:
        return None
    among = own @ own.T
    np.fill_diagonal(among, -1.0)
    if not (own @ negative > among.max(axis=1)).any():
        return None
    return f"more like a picture of {name} than the others of {name} are: {name} would be ruled out"
