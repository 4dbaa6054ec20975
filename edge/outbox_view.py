"""What waits in an outbox, seen from outside; a service may have it open meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge import outbox_file
from edge.journal import DamagedError, unpack
from edge.outbox import age_s

_LOCKS = Path("/proc/locks")
_TRIES = 5
_MOST_DEAD = 5  # of which the reason is told


@dataclass(frozen=True)
class View:
    """What is on disk; health of the last minute is not.

    Attributes:
        kinds: rows waiting, by kind.
        size_bytes: of the file and its log.
        oldest_s: age of the oldest row; 0 where none waits.
        dead: number, kind and reason of the first dead letters.
        dead_rows: how many there are.
        aside: damaged files kept for a person.
    """

    kinds: dict[str, int]
    size_bytes: int
    oldest_s: float
    dead: list[tuple[int, str, str]]
    dead_rows: int
    aside: list[str]


def holder(path: Path) -> int | None:
    """Number of the process that has the outbox open; None: nobody.

    Raises:
        OSError: the folder may not be looked into.
    """
    try:
        lock = path.with_suffix(".lock").stat()
    except FileNotFoundError:
        return None
    place = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    for line in _LOCKS.read_text(encoding="ascii").splitlines():
        match line.split():
            case [_, "FLOCK", _, "WRITE", pid, where, *_] if where == place:
                return int(pid)
    return None


def view(path: Path) -> View:
    """What waits there, read from a copy.

    Raises:
        OSError: it may not be read.
        sqlite3.DatabaseError: it is damaged, or has changed meanwhile.
    """
    size_bytes = sum(part.stat().st_size for part in outbox_file.parts(path) if part.exists())
    aside = sorted(one.name for one in path.parent.glob(f"{path.stem}.corrupt-*[0-9]"))
    with _copied(path) as db:
        kinds = dict(db.execute("SELECT kind, count(*) FROM outbox GROUP BY kind ORDER BY kind"))
        oldest = db.execute("SELECT record FROM outbox ORDER BY seq LIMIT 1").fetchone()
        dead = db.execute("SELECT seq, kind, reason FROM dead ORDER BY seq").fetchall()
    oldest_s = 0.0
    if oldest:
        with contextlib.suppress(DamagedError):
            oldest_s = age_s(unpack(oldest[0]))
    return View(kinds, size_bytes, oldest_s, dead[:_MOST_DEAD], len(dead), aside)


@contextlib.contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """The copy of an outbox, which may be written meanwhile.

    A service lets nobody else open its file; and without one SQLite would, even to read, make files
    beside it that would be ours, and not the service's to write.
    """
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder:
        copy = Path(folder) / path.name
        for _ in range(_TRIES):
            before = path.stat().st_mtime_ns
            for part, into in zip(
                outbox_file.parts(path)[:2], outbox_file.parts(copy), strict=False
            ):
                into.unlink(missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(part, into)
            if path.stat().st_mtime_ns == before:  # else its log was being folded into it
                break
        with contextlib.closing(outbox_file.read_only(copy)) as db:
            yield db
