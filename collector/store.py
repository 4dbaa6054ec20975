"""The collector's database: one writer, many readers; only what is in it is acknowledged."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from contract.messages import Message, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# Newest rows kept per device and pipeline. Alerts and readings are not listed: they stay for ever.
KEEP = {"score": 5_000, "health": 2_000}
KEEP_REJECTED = 1_000
# Rows a series may grow beyond its bound before it is cut back: one delete per many inserts.
SLACK = 500
REJECTED_PAYLOAD_BYTES = 512
_REJECTED_TEXT = 256


class StoreError(Exception):
    """The database cannot be used; the text says which file and why."""


@dataclass(frozen=True)
class Received:
    """A message and when it reached the collector, nanoseconds since 1970."""

    message: Message
    received_ns: int


@dataclass(frozen=True)
class Rejected:
    """Something on our topics that is not a message, and why."""

    topic: str
    reason: str
    payload: bytes
    received_ns: int


def _create_tables(db: sqlite3.Connection) -> None:
    # `n` is the order of arrival; `boot` numbers the boots of all devices in the order first seen,
    # so (boot, seq) is the order in which one device spoke, whatever its clock said.
    db.execute(
        "CREATE TABLE boot (n INTEGER PRIMARY KEY, device TEXT NOT NULL, boot_id TEXT NOT NULL,"
        " UNIQUE (device, boot_id))"
    )
    db.execute(
        "CREATE TABLE message (n INTEGER PRIMARY KEY, kind TEXT NOT NULL,"
        " source TEXT NOT NULL, id TEXT NOT NULL, device TEXT NOT NULL, pipeline TEXT,"
        " boot INTEGER NOT NULL REFERENCES boot (n), seq INTEGER NOT NULL, window INTEGER,"
        " ts_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, clock_synced INTEGER NOT NULL,"
        " body TEXT NOT NULL, received_ns INTEGER NOT NULL, stored_ns INTEGER NOT NULL,"
        " UNIQUE (source, id))"
    )
    # SQLite appends the row's `n` to both, so each is also sorted by arrival.
    db.execute("CREATE INDEX message_by_kind ON message (kind)")
    db.execute("CREATE INDEX message_by_pipeline ON message (kind, device, pipeline)")
    db.execute(
        "CREATE TABLE device (device TEXT PRIMARY KEY, seen_ns INTEGER,"
        " status TEXT, status_id TEXT, status_ns INTEGER)"
    )
    db.execute(
        "CREATE TABLE rejected (n INTEGER PRIMARY KEY, topic TEXT NOT NULL, reason TEXT NOT NULL,"
        " size_bytes INTEGER NOT NULL, payload BLOB NOT NULL, received_ns INTEGER NOT NULL)"
    )
    db.execute("CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")


# Applied once each, in this order, for ever: add new ones at the end, never edit an old one.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create_tables,)


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has rolled back by itself
            db.execute("ROLLBACK")
        raise


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date; each migration and the record of it are one transaction.

    Raises:
        StoreError: the database was written by a newer version.
    """
    db.execute(
        "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_ns INTEGER NOT NULL)"
    )
    applied = {name for (name,) in db.execute("SELECT name FROM migration")}
    if unknown := applied - {step.__name__ for step in MIGRATIONS}:
        raise StoreError(f"written by a newer version (knows {', '.join(sorted(unknown))})")
    for step in MIGRATIONS:
        if step.__name__ not in applied:
            with _transaction(db):
                step(db)
                db.execute("INSERT INTO migration VALUES (?, ?)", (step.__name__, time.time_ns()))


class Store:
    """The one writer of the database at `path`.

    Args:
        path: the database file; made when missing, its folder must exist.
        now_ns: the wall clock, nanoseconds since 1970.

    Raises:
        StoreError: not readable, not ours, or in use by another collector.
    """

    def __init__(self, path: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.path = path
        self._now_ns = now_ns
        # Unseen series count as over their slack, so a restart cuts them back at once.
        self._since_cut: defaultdict[tuple[str, str, str | None], int] = defaultdict(lambda: SLACK)
        with contextlib.ExitStack() as undo:
            try:
                self._lock = undo.enter_context(path.with_name(path.name + ".lock").open("w"))
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Opened here, used by the writer thread alone.
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                undo.callback(self._db.close)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                migrate(self._db)
            except BlockingIOError:
                raise StoreError(f"{path}: another collector is writing to it") from None
            except (OSError, sqlite3.DatabaseError, StoreError) as error:
                raise StoreError(f"{path}: {error}") from None
            undo.pop_all()

    def close(self) -> None:
        """Close the database and let another collector have it."""
        self._db.close()
        self._lock.close()

    def add(self, messages: Sequence[Received], rejected: Sequence[Rejected] = ()) -> int:
        """Store a batch: all of it is committed when this returns, or nothing is when it raises.

        A message whose source and id are known already is ignored and counted.

        Returns:
            The time written on the rows, taken in the committing transaction, ns since 1970.

        Raises:
            StoreError: the disk is full or failing; the batch may be tried again.
        """
        try:
            with _transaction(self._db):
                stored_ns = self._now_ns()
                for received in messages:
                    self._add(received, stored_ns)
                for refused in rejected:
                    self._reject(refused)
                self._cut_back()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path}: {error}") from error
        return stored_ns

    def _add(self, received: Received, stored_ns: int) -> None:
        message = received.message
        device, pipeline = message.address.device, message.address.pipeline
        if isinstance(message.body, Status):
            # The last to arrive counts: a will carries the stamp of its connect. A retained status
            # comes again with every subscription, under the id it had: nothing new.
            self._db.execute(
                "INSERT INTO device (device, status, status_id, status_ns) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (device) DO UPDATE SET status = excluded.status,"
                " status_id = excluded.status_id, status_ns = excluded.status_ns"
                " WHERE status_id IS NOT excluded.status_id",
                (device, message.body.state, message.id, received.received_ns),
            )
            return
        stamp = message.stamp
        boot = (device, stamp.boot_id)
        self._db.execute("INSERT OR IGNORE INTO boot (device, boot_id) VALUES (?, ?)", boot)
        cursor = self._db.execute(
            "INSERT INTO message (kind, source, id, device, pipeline, boot, seq, window,"
            " ts_ns, mono_ns, clock_synced, body, received_ns, stored_ns)"
            " VALUES (?, ?, ?, ?, ?, (SELECT n FROM boot WHERE device = ? AND boot_id = ?),"
            " ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (source, id) DO NOTHING",
            (
                *(message.kind, message.address.source, message.id, device, pipeline, *boot),
                *(stamp.seq, stamp.window, stamp.ts_ns, stamp.mono_ns, stamp.clock_synced),
                *(msgspec.json.encode(message.body).decode(), received.received_ns, stored_ns),
            ),
        )
        if cursor.rowcount == 0:
            self._count("redelivered")
            return
        self._count(f"stored_{message.kind}")
        self._since_cut[message.kind, device, pipeline] += 1
        self._db.execute(
            "INSERT INTO device (device, seen_ns) VALUES (?, ?)"
            " ON CONFLICT (device) DO UPDATE SET seen_ns = excluded.seen_ns",
            (device, received.received_ns),
        )

    def _reject(self, refused: Rejected) -> None:
        self._count("rejected")
        self._db.execute(
            "INSERT INTO rejected (topic, reason, size_bytes, payload, received_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                refused.topic[:_REJECTED_TEXT],
                refused.reason[:_REJECTED_TEXT],
                len(refused.payload),
                refused.payload[:REJECTED_PAYLOAD_BYTES],
                refused.received_ns,
            ),
        )
        self._db.execute(
            "DELETE FROM rejected WHERE n <= (SELECT max(n) FROM rejected) - ?", (KEEP_REJECTED,)
        )

    def _count(self, name: str) -> None:
        self._db.execute(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
            (name,),
        )

    def _cut_back(self) -> None:
        for series, added in self._since_cut.items():
            kind, device, pipeline = series
            if kind in KEEP and added > SLACK:
                match = "kind = ? AND device = ? AND pipeline IS ?"
                self._db.execute(
                    f"DELETE FROM message WHERE {match} AND n <= (SELECT n FROM message"  # noqa: S608 -- constant text
                    f" WHERE {match} ORDER BY n DESC LIMIT 1 OFFSET ?)",
                    (kind, device, pipeline, kind, device, pipeline, KEEP[kind]),
                )
                self._since_cut[series] = 0
