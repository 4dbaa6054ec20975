"""The people who are enrolled, as one file: embeddings, who agreed to it, and until when.

No pictures. The file is JSON with a seal as its last field: HMAC-SHA256 (RFC 2104) where there is a
key of the site, so that nobody without it can enrol or rename anybody; else SHA-256, which shows
damage and no more.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array, Floats

FORMAT_VERSION = 1
MAX_BYTES = 64 << 20  # about 20,000 people of five pictures
LEAST_KEY_BYTES = 16
_MOST_LETTERS = 64  # of a name
_UNSEALED = "0" * 64

Hex = Annotated[str, Meta(pattern="^[0-9a-f]+$", max_length=64)]
Embedding = Annotated[str, Meta(min_length=8, max_length=65536)]


class GalleryError(ValueError):
    """A gallery cannot be used; the text says why, with the fix."""


class Consent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the consent register.

    Attributes:
        by: who agreed to it.
        why: what it is for.
        since: from this day on.
        until: the last day; None: until it is withdrawn.
    """

    by: str
    why: str
    since: dt.date
    until: dt.date | None = None

    def is_valid(self, today: dt.date) -> bool:
        """Whether it still holds."""
        return self.until is None or today <= self.until


class Picture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of a picture that somebody was enrolled from.

    Attributes:
        embedding: of the face, as `to_text` writes it.
        quality: 0 to 1.
    """

    embedding: Embedding
    quality: float


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is enrolled.

    Attributes:
        id: drawn at random; names the folder of kept pictures.
        name: what alerts say.
        consent: who agreed to it.
        pictures: at least one.
        negatives: embeddings of others who must not be taken for this person.
        kept: files of pictures that were kept on request.
    """

    id: Hex
    name: str
    consent: Consent
    pictures: Annotated[tuple[Picture, ...], Meta(min_length=1)]
    negatives: tuple[Embedding, ...] = ()
    kept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """A name is one that `clean_name` would leave as it is."""
        if clean_name(self.name) != self.name:
            raise ValueError(f"{self.name!r} is no name")

    @property
    def vectors(self) -> Floats:
        """(pictures, d) float32, length 1."""
        return to_vectors(picture.embedding for picture in self.pictures)


class Gallery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everybody who is enrolled, and what became of the others.

    Attributes:
        format_version: of the file.
        id: drawn at random when the gallery was begun.
        version: counts its changes.
        model_id: the model the embeddings were made with; refused under any other.
        same: cosine from which that model's bundle takes two pictures for one person.
        persons: by name.
        erased: when somebody was erased; not who.
        key_id: which key sealed it; empty: none.
        seal: of the whole file, with these 64 digits as zeros; `encode` fills it in.
    """

    format_version: int
    id: Hex
    version: Annotated[int, Meta(ge=1)]
    model_id: str
    same: Annotated[float, Meta(ge=-1.0, le=1.0)]
    persons: tuple[Person, ...] = ()
    erased: tuple[dt.datetime, ...] = ()
    key_id: str = ""
    seal: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] = _UNSEALED

    def __post_init__(self) -> None:
        """Nobody stands twice, and all embeddings are vectors of one length."""
        names = [folded(person.name) for person in self.persons]
        if len(set(names)) < len(names):
            raise ValueError("somebody is enrolled twice under one name")
        to_vectors(
            embedding
            for person in self.persons
            for embedding in (*(p.embedding for p in person.pictures), *person.negatives)
        )

    def find(self, name: str) -> Person | None:
        """The person of that name, however its letters are written."""
        wanted = folded(name)
        return next((one for one in self.persons if folded(one.name) == wanted), None)


def begin(model_id: str, *, same: float) -> Gallery:
    """A gallery with nobody in it.

    Args:
        model_id: of the bundle.
        same: cosine from which it takes two pictures for one person.
    """
    return Gallery(FORMAT_VERSION, secrets.token_hex(6), 1, model_id, same)


def changed(gallery: Gallery, person: Person | None, *, without: str | None = None) -> Gallery:
    """The next version, with one person added, replaced, or left out.

    Args:
        gallery: stays as it is.
        person: added, or put in the place of the one with the same id; None: nobody.
        without: id of the one to leave out.
    """
    gone = {without, person.id if person else None}
    persons = [one for one in gallery.persons if one.id not in gone]
    if person is not None:
        persons.append(person)
    ordered = tuple(sorted(persons, key=lambda one: folded(one.name)))
    return msgspec.structs.replace(gallery, persons=ordered, version=gallery.version + 1)


def clean_name(name: str) -> str:
    """A name in one way of writing it: composed letters, single spaces.

    Raises:
        GalleryError: empty, too long, or with characters that do not show.
    """
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not clean or len(clean) > _MOST_LETTERS or not clean.isprintable():
        raise GalleryError(f"{name!r} is no name; fix: 1 to {_MOST_LETTERS} letters that show")
    return clean


def folded(name: str) -> str:
    """A name as it is compared: ANNA is Anna."""
    return unicodedata.normalize("NFC", name).casefold()


def to_text(vector: Floats) -> str:
    """An embedding as text: base64 of little-endian float32, made 1 long.

    Args:
        vector: (d,), not all zeros.
    """
    long = vector.astype(np.float64)
    unit = long / np.linalg.norm(long)
    return base64.b64encode(unit.astype("<f4").tobytes()).decode("ascii")


def to_vectors(texts: Iterable[str]) -> Floats:
    """(n, d) float32 of embeddings as text; (0, 0) of none.

    Args:
        texts: what `to_text` gave.

    Raises:
        ValueError: one is no vector of length 1, or not as long as the others.
    """
    rows = [np.frombuffer(_bytes(text), "<f4") for text in texts]
    if not rows:
        return np.zeros((0, 0), np.float32)
    if len({len(row) for row in rows}) > 1:
        raise ValueError("embeddings of different lengths")
    vectors = np.stack(rows).astype(np.float32)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.abs(lengths - 1.0) < 1e-3).all():  # so that NaN is refused
        raise ValueError("an embedding is not 1 long")
    return vectors


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if len(raw) % 4:
        raise ValueError("an embedding is cut off")
    return raw


def key_id(key: bytes | None) -> str:
    """Twelve hex digits that name a key and do not give it away; empty for none."""
    if key is None:
        return ""
    return hmac.new(key, b"vedette gallery", hashlib.sha256).hexdigest()[:12]


def encode(gallery: Gallery, key: bytes | None) -> bytes:
    """The bytes of the file, readable and sealed.

    Args:
        gallery: to write.
        key: of the site, at least 16 bytes; None: not signed.
    """
    unsealed = msgspec.structs.replace(gallery, key_id=key_id(key), seal=_UNSEALED)
    raw = msgspec.json.format(msgspec.json.encode(unsealed), indent=1) + b"\n"
    before, _, after = raw.rpartition(_UNSEALED.encode())
    return before + _digest(raw, key).encode() + after


def decode(raw: bytes, key: bytes | None) -> Gallery:
    """Read a gallery's bytes; every one of them must be as it was written.

    Args:
        raw: of the file.
        key: of the site; None: the file must not be signed.

    Raises:
        GalleryError: damaged, not signed with this key, or of another format.
    """
    try:
        made = msgspec.json.decode(raw, type=Gallery)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GalleryError(f"no gallery, or damaged: {error}") from None
    if made.format_version != FORMAT_VERSION:
        raise GalleryError(
            f"format {made.format_version}, this version reads {FORMAT_VERSION}; fix: install the "
            "version that wrote it"
        )
    if made.key_id != key_id(key):
        raise GalleryError(_other_key(made.key_id, key_id(key)))
    before, _, after = raw.rpartition(made.seal.encode())
    if not hmac.compare_digest(_digest(before + _UNSEALED.encode() + after, key), made.seal):
        raise GalleryError("changed since it was written: its seal does not fit")
    return made


def _other_key(of_file: str, own: str) -> str:
    if not own:
        return f"signed with key {of_file}, and no key is given; fix: give the site's key file"
    if not of_file:
        return f"not signed, and only what key {own} has signed is believed; fix: enrol with it"
    return f"signed with key {of_file}, not with {own}; fix: the key file of the same site"


def _digest(raw: bytes, key: bytes | None) -> str:
    if key is None:
        return hashlib.sha256(raw).hexdigest()
    return hmac.new(key, raw, hashlib.sha256).hexdigest()


def to_arrays(
    gallery: Gallery, *, today: dt.date, threshold: float, margin: float = 0.0
) -> dict[str, Array]:
    """What `match` goes by, as arrays of a profile; whose consent has expired is not in it.

    Args:
        gallery: everybody.
        today: decides who is in it.
        threshold: least cosine of a name.
        margin: least cosine by which the person named is ahead of the next.

    Returns:
        `names`, (persons,) str; `vectors`, (pictures, d) float32 of length 1, sorted by person;
        `starts`, (persons,) int64, first picture of each; `negatives`, (m, d) float32, and
        `negative_of`, (m,) int64, the person each is kept with; `threshold` and `margin`.
    """
    valid = [person for person in gallery.persons if person.consent.is_valid(today)]
    counts = [len(person.pictures) for person in valid]
    return {
        "names": np.array([person.name for person in valid], dtype=np.str_),
        "vectors": to_vectors(p.embedding for person in valid for p in person.pictures),
        "starts": np.concatenate([[0], np.cumsum(counts)])[: len(valid)].astype(np.int64),
        "negatives": to_vectors(text for person in valid for text in person.negatives),
        "negative_of": np.repeat(np.arange(len(valid)), [len(p.negatives) for p in valid]),
        "threshold": np.array(threshold),
        "margin": np.array(margin),
    }


@dataclass(frozen=True)
class Match:
    """Who a face is, or that it is nobody's: there is nothing in between.

    Attributes:
        name: of the person; None: unknown.
        nearest: the person most alike, whether named or not; None: nobody is left to compare with.
        cosine: how much so, -1 to 1.
        second: the next one; None: there is none.
        second_cosine: how much so; -1 without one.
        ruled_out: people that the face would be alike enough to be, but for their negatives.
    """

    name: str | None
    nearest: str | None = None
    cosine: float = -1.0
    second: str | None = None
    second_cosine: float = -1.0
    ruled_out: tuple[str, ...] = ()

    @property
    def margin(self) -> float:
        """By how much the nearest is ahead of the next, 0 to 2."""
        return self.cosine - self.second_cosine


def match(learned: Mapping[str, Array], vector: Floats) -> Match:
    """Who of the enrolled a face is.

    To each person the cosine is that of their most alike picture. A face more alike to one of a
    person's negatives than to all their pictures is not that person, whatever the cosine. Named is
    the most alike of the others, at `threshold` or above and ahead by `margin` or more.

    Args:
        learned: what `to_arrays` gave; empty: nobody is enrolled.
        vector: (d,) float32 of any length above 0.
    """
    if not learned or not len(learned["names"]):
        return Match(None)
    unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
    alike = np.maximum.reduceat(learned["vectors"] @ unit, learned["starts"]).astype(np.float64)
    alike = np.minimum(alike, 1.0)
    unlike = np.full(len(alike), -np.inf)
    if len(learned["negatives"]):
        np.maximum.at(unlike, learned["negative_of"], learned["negatives"] @ unit)
    is_out = unlike > alike
    threshold = float(learned["threshold"])
    names = learned["names"]
    ruled_out = tuple(str(name) for name in names[is_out & (alike >= threshold)])
    order = [int(i) for i in np.argsort(-alike, kind="stable") if not is_out[i]]
    if not order:
        return Match(None, ruled_out=ruled_out)
    first, *rest = order
    nearest, cosine = str(names[first]), float(alike[first])
    found = Match(None, nearest, cosine, ruled_out=ruled_out)
    if rest:
        second, second_cosine = str(names[rest[0]]), float(alike[rest[0]])
        found = Match(None, nearest, cosine, second, second_cosine, ruled_out)
    is_named = cosine >= threshold and found.margin >= float(learned["margin"])
    return replace(found, name=nearest if is_named else None)
