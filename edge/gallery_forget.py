"""Erase people, and look afterwards whether anything of them is left."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from contract import gallery, npz
from contract.gallery import Gallery, Person
from contract.spec import Array, Floats
from edge import gallery_file

_MOST_BYTES = 256 << 20  # of a file that is looked into
_IDENTICAL = 0.99999  # cosine of an embedding with itself, rounded otherwise
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{43,}={0,2}")


@dataclass(frozen=True)
class Erased:
    """What was done, and what was looked at.

    Attributes:
        people: how many were erased.
        embeddings: how many of theirs.
        negatives: of theirs, kept with others, and erased too.
        wiped: pictures that were kept, overwritten and removed.
        checked: files that were read afterwards.
        left: files in which something of them is still to be found, and what; empty: nothing.
        alike: who is still enrolled and looks the same; somebody may stand there twice.
        version: of the gallery now.
    """

    people: int
    embeddings: int
    negatives: int
    wiped: tuple[str, ...]
    checked: tuple[str, ...]
    left: tuple[str, ...]
    alike: tuple[str, ...]
    version: int


def forget(
    path: Path,
    key: bytes | None,
    people: Sequence[Person],
    *,
    now: dt.datetime,
    folders: Sequence[Path] = (),
) -> Erased:
    """Erase people from a gallery and from every copy of it that is known of.

    The gallery is replaced in one step; what it replaces, the version before, and pictures that
    were kept are overwritten, synced and removed. The register says that somebody was erased, and
    when, not who. Then all files beside the gallery are read, and all below `folders`.

    Args:
        path: of the gallery.
        key: of the site; None: it is not signed.
        people: of this gallery.
        now: for the register.
        folders: looked into afterwards as well, and those in them.

    Raises:
        ConfigError: the gallery cannot be read or written; nobody was erased.
    """
    made = gallery_file.read(path, key)
    ids = {person.id for person in people}
    own = np.concatenate([person.vectors for person in people])
    stay, negatives = [], 0
    for person in made.persons:
        if person.id not in ids:
            kept = _without(person, own, made.same)
            negatives += len(person.negatives) - len(kept.negatives)
            stay.append(kept)
    erased = (*made.erased, *(now for _ in people))
    changed = msgspec.structs.replace(
        made, persons=tuple(stay), erased=erased, version=made.version + 1
    )
    gallery_file.write(path, changed, key, keeps_previous=False)
    wiped, left = _wipe_pictures(people)
    vectors = np.concatenate([own, *_of_theirs_alone(people, stay)])
    checked = []
    below = (file for folder in folders for file in folder.rglob("*"))
    for file in _once([*path.parent.iterdir(), *below]):
        checked.append(str(file))
        if found := _holds(file, vectors):
            left.append(f"{file}: {found}")
    alike = [one.name for one in stay if (one.vectors @ own.T).max() >= made.same]
    return Erased(
        len(people), len(own), negatives, tuple(wiped), tuple(checked), tuple(left), tuple(alike),
        changed.version,
    )  # fmt: skip


def expired(made: Gallery, today: dt.date) -> list[Person]:
    """Whose consent has ended."""
    return [person for person in made.persons if not person.consent.is_valid(today)]


def _without(person: Person, own: Floats, same: float) -> Person:
    """Without the negatives that are pictures of those who are erased."""
    if not person.negatives:
        return person
    alike = (gallery.to_vectors(person.negatives) @ own.T).max(axis=1)
    stay = tuple(
        text for text, cosine in zip(person.negatives, alike, strict=True) if cosine < same
    )
    return msgspec.structs.replace(person, negatives=stay)


def _of_theirs_alone(people: Sequence[Person], stay: Sequence[Person]) -> list[Floats]:
    """The negatives kept with those who are erased, but for those that others have a right to."""
    rights = {picture.embedding for person in stay for picture in person.pictures}
    rights |= {text for person in stay for text in person.negatives}
    texts = {text for person in people for text in person.negatives} - rights
    return [gallery.to_vectors([text]) for text in sorted(texts)]


def _wipe_pictures(people: Sequence[Person]) -> tuple[list[str], list[str]]:
    """Only what is by its hash the picture that was kept: a file may say anything."""
    wiped, left = [], []
    for person in people:
        for name in person.kept:
            file = Path(name)
            try:
                if file.is_symlink() or not file.exists():
                    continue
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                if file.parent.name != person.id or not digest.startswith(file.stem):
                    left.append(f"{file}: not the picture that was kept there; look at it yourself")
                    continue
                gallery_file.wipe(file)
                wiped.append(name)
                if not any(file.parent.iterdir()):
                    file.parent.rmdir()
            except OSError as error:
                left.append(f"{file}: {error.strerror}")
    return wiped, left


def _once(paths: Iterable[Path]) -> list[Path]:
    """The files among them, each under one name, in order."""
    files = {path.resolve(): path for path in paths if path.is_file()}
    return sorted(files.values())


def _holds(file: Path, vectors: Floats) -> str | None:
    """What a file still has of these embeddings; None: nothing.

    Args:
        file: of any kind.
        vectors: (n, d) float32 of length 1.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:
            return f"more than {_MOST_BYTES} bytes, not looked into"
        raw = file.read_bytes()
    except OSError as error:
        return f"not readable: {error.strerror}"
    if any(vector.astype("<f4").tobytes() in raw for vector in vectors):
        return "an embedding, byte by byte"
    if any(_is_among(row, vectors) for row in _written(raw, vectors.shape[1])):
        return "an embedding, as text"
    return _in_arrays(raw, vectors)


def _in_arrays(raw: bytes, vectors: Floats) -> str | None:
    """The same of an `.npz` file, such as a profile; None also where it is no such file."""
    try:
        arrays = npz.loads(raw, max_bytes=_MOST_BYTES) if raw.startswith(b"PK") else {}
    except ValueError:
        return None
    size = vectors.shape[1]
    for name, array in arrays.items():
        is_like = array.dtype.kind == "f" and array.ndim > 0 and array.shape[-1] == size
        if is_like and any(_is_among(row, vectors) for row in array.reshape(-1, size)):
            return f"an embedding, in {name}"
    return None


def _written(raw: bytes, size: int) -> Iterator[Array]:
    """Every stretch of base64 that may be an embedding of `size` numbers."""
    for found in _BASE64.finditer(raw):
        text = found[0]
        if len(text) == 4 * -(-4 * size // 3) and len(row := base64.b64decode(text)) == 4 * size:
            yield np.frombuffer(row, "<f4")


def _is_among(row: Array, vectors: Floats) -> bool:
    """Whether a row is one of these embeddings, of whatever length."""
    with np.errstate(over="ignore", invalid="ignore"):
        long = row.astype(np.float64)
        length = float(np.linalg.norm(long))
        if not np.isfinite(length) or length == 0.0:
            return False
        return bool((vectors @ (long / length) >= _IDENTICAL).any())
