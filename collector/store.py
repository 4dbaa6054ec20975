"""The collector's database: few writers, many readers; only what is in it is acknowledged."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import sqlite3
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from collector import boots, dating, schema
from collector.boots import Boot
from contract.messages import Alert, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from contract.messages import Message

# Newest rows kept per device and pipeline. What is not listed (alerts, sensors, readings) stays.
KEEP = {"score": 5_000, "health": 2_000}
KEEP_REJECTED = 1_000
# Rows a series may grow beyond its bound before it is cut back: one delete per many inserts.
SLACK = 500
# Series whose growth is remembered; one that is forgotten is cut back with its next row.
MOST_SERIES = 10_000
REJECTED_PAYLOAD_BYTES = 512
_REJECTED_TEXT = 256
# Another collector on the same file may be in a commit, and its disk may be slow.
_BUSY_S = 10.0
_DISK_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY}


class StoreError(Exception):
    """The database cannot be used; the text says which file and why."""


class DiskError(StoreError):
    """It cannot be used now: the disk is full or failing, or too busy."""


@dataclass(frozen=True)
class Received:
    """A message and when it reached the collector, nanoseconds since 1970."""

    message: Message
    received_ns: int


@dataclass(frozen=True)
class Rejected:
    """Something on our topics that is not a message, and why; `payload` may be its beginning."""

    topic: str
    reason: str
    payload: bytes
    size_bytes: int
    received_ns: int


@dataclass(frozen=True)
class Added:
    """What has become of a batch.

    Attributes:
        latencies_ns: of each row that is new, not replayed, and dated: its kind, and the time from
            its date to `stored_ns`, taken in the committing transaction.
        refused: not stored, because another message has their source and id.
    """

    stored_ns: int
    latencies_ns: list[tuple[str, int]]
    refused: list[Received]


class Store:
    """Writes to the database at `path`; alone, unless all who do share it.

    Args:
        path: the database file; made when missing, its folder must exist.
        is_shared: other collectors on this machine may write to it too.
        now_ns: the wall clock, nanoseconds since 1970.

    Raises:
        StoreError: not readable, not ours, or in use by a collector that does not share it.
    """

    def __init__(
        self, path: Path, *, is_shared: bool = False, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.path = path
        self._now_ns = now_ns
        # Unseen series count as over their slack, so a restart cuts them back at once.
        self._since_cut: defaultdict[tuple[str, str, str | None], int] = defaultdict(lambda: SLACK)
        with contextlib.ExitStack() as undo:
            try:
                self._lock = undo.enter_context(path.with_name(path.name + ".lock").open("w"))
                mode = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
                fcntl.flock(self._lock, mode | fcntl.LOCK_NB)
                # Opened here, used by the writer thread alone.
                self._db = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
                )
                undo.callback(self._db.close)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                schema.migrate(self._db)
            except BlockingIOError:
                raise StoreError(
                    f"{path}: another collector is writing to it; to share it, give both --share"
                ) from None
            except (OSError, sqlite3.DatabaseError, schema.SchemaError) as error:
                raise _error(path, error) from None
            undo.pop_all()

    def close(self) -> None:
        """Close the database and let another collector have it."""
        self._db.close()
        self._lock.close()

    def add(self, messages: Sequence[Received], rejected: Sequence[Rejected] = ()) -> Added:
        """Store a batch: all of it is committed when this returns, or nothing is when it raises.

        A message whose source and id are known already is ignored and counted.

        Raises:
            StoreError: the disk is full or failing; the batch may be tried again.
        """
        try:
            with schema.transaction(self._db):
                added = self._add(messages, self._now_ns())
                self._reject([*rejected, *map(_taken, added.refused)])
        except sqlite3.DatabaseError as error:
            raise _error(self.path, error) from error
        return added

    def _add(self, messages: Sequence[Received], stored_ns: int) -> Added:
        known: dict[tuple[str, str], Boot] = {}
        fresh: list[tuple[Received, Boot]] = []
        refused = []
        repeats = 0
        for received in messages:
            message = received.message
            if isinstance(message.body, Status):
                self._note_status(received)
                continue
            key = message.address.device, message.stamp.boot_id
            boot = known[key] = known.get(key) or boots.find(self._db, *key)
            if self._insert(received, boot, stored_ns):
                fresh.append((received, boot))
            elif self._is_repeat(message, boot):
                repeats += 1
            else:
                refused.append(received)
        for boot, said in _runs(fresh):
            boots.learn(self._db, boot, said)
        self._note_devices(received for received, _ in fresh)
        self._count(
            _totals(received.message for received, _ in fresh) + Counter(redelivered=repeats)
        )
        self._cut_back(received.message for received, _ in fresh)
        return Added(stored_ns, _latencies_ns(fresh, stored_ns), refused)

    def _insert(self, received: Received, boot: Boot, stored_ns: int) -> bool:
        """Whether the message is new."""
        message, stamp = received.message, received.message.stamp
        cursor = self._db.execute(
            "INSERT INTO message (kind, source, id, device, pipeline, boot, era, seq, window,"
            " ts_ns, mono_ns, clock_synced, replayed, body, received_ns, stored_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (source, id) DO NOTHING",
            (
                *(message.kind, message.address.source, message.id, boot.device),
                *(message.address.pipeline, boot.n, boot.era, stamp.seq, stamp.window, stamp.ts_ns),
                *(stamp.mono_ns, stamp.clock_synced, message.replayed, _json(message)),
                *(received.received_ns, stored_ns),
            ),
        )
        return cursor.rowcount == 1

    def _is_repeat(self, message: Message, boot: Boot) -> bool:
        """Whether the stored message of that source and id says the same."""
        stamp = message.stamp
        *stored, body = self._db.execute(
            "SELECT kind, boot, seq, ts_ns, mono_ns, body FROM message WHERE source = ? AND id = ?",
            (message.address.source, message.id),
        ).fetchone()
        place = [message.kind, boot.n, stamp.seq, stamp.ts_ns, stamp.mono_ns]
        return stored == place and _is_in(json.loads(body), json.loads(_json(message)))

    def _note_status(self, received: Received) -> None:
        # The last to arrive counts: a will carries the stamp of its connect. A retained status
        # comes again with every subscription, under the id it had: nothing new.
        message = received.message
        assert isinstance(message.body, Status)
        self._db.execute(
            "INSERT INTO device (device, status, status_id, status_ns) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (device) DO UPDATE SET status = excluded.status,"
            " status_id = excluded.status_id, status_ns = excluded.status_ns"
            " WHERE status_id IS NOT excluded.status_id",
            (message.address.device, message.body.state, message.id, received.received_ns),
        )

    def _note_devices(self, fresh: Iterable[Received]) -> None:
        seen = {each.message.address.device: each.received_ns for each in fresh}
        self._db.executemany(
            "INSERT INTO device (device, seen_ns) VALUES (?, ?) ON CONFLICT (device)"
            " DO UPDATE SET seen_ns = max(coalesce(seen_ns, 0), excluded.seen_ns)",
            seen.items(),
        )

    def _count(self, totals: Counter[str]) -> None:
        self._db.executemany(
            "INSERT INTO counter VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            totals.items(),
        )

    def _reject(self, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        self._count(Counter(rejected=len(rejected)))
        self._db.executemany(
            "INSERT INTO rejected (topic, reason, size_bytes, payload, received_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (
                    each.topic[:_REJECTED_TEXT],
                    each.reason[:_REJECTED_TEXT],
                    each.size_bytes,
                    each.payload[:REJECTED_PAYLOAD_BYTES],
                    each.received_ns,
                )
                for each in rejected
            ],
        )
        self._db.execute(
            "DELETE FROM rejected WHERE n <= (SELECT max(n) FROM rejected) - ?", (KEEP_REJECTED,)
        )

    def _cut_back(self, fresh: Iterable[Message]) -> None:
        if len(self._since_cut) > MOST_SERIES:
            self._since_cut.clear()
        grown = Counter(
            (message.kind, message.address.device, message.address.pipeline)
            for message in fresh
            if message.kind in KEEP
        )
        for series, rows in grown.items():
            self._since_cut[series] += rows
            if self._since_cut[series] > SLACK:
                match = "kind = ? AND device = ? AND pipeline IS ?"
                self._db.execute(
                    # `+n`: by the index that has the series together, not by arrival of all
                    f"DELETE FROM message WHERE {match} AND +n <= (SELECT n FROM message"  # noqa: S608 -- constant text
                    f" WHERE {match} ORDER BY +n DESC LIMIT 1 OFFSET ?)",
                    (*series, *series, KEEP[series[0]]),
                )
                self._since_cut[series] = 0


def _error(path: Path, error: Exception) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says what exactly
    is_disk = code in _DISK_CODES or getattr(error, "errno", None) == errno.ENOSPC
    return (DiskError if is_disk else StoreError)(f"{path}: {error}")


def _runs(
    fresh: list[tuple[Received, Boot]],
) -> Iterator[tuple[Boot, list[tuple[Message, int]]]]:
    """What the devices have said, one after the other, wherever the boot is the same."""
    by_device: defaultdict[str, list[tuple[Received, Boot]]] = defaultdict(list)
    for received, boot in fresh:
        by_device[boot.device].append((received, boot))
    for said in by_device.values():
        for _, run in itertools.groupby(said, key=lambda each: each[1].n):
            pairs = list(run)
            yield pairs[0][1], [(each.message, each.received_ns) for each, _ in pairs]


def _latencies_ns(fresh: list[tuple[Received, Boot]], stored_ns: int) -> list[tuple[str, int]]:
    latencies_ns = []
    for received, boot in fresh:
        stamp = received.message.stamp
        at_ns, dated_by = dating.date(stamp, received.received_ns, boot.offset_ns)
        if dated_by != "collector" and not received.message.replayed:
            latencies_ns.append((received.message.kind, stored_ns - at_ns))
    return latencies_ns


def _totals(fresh: Iterable[Message]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for message in fresh:
        totals[f"stored_{message.kind}"] += 1
        if isinstance(message.body, Alert):
            totals[f"alert_{message.body.state}"] += 1
    return totals


def _is_in(old: Any, new: Any) -> bool:
    """Whether all of `old` is in `new`: an older collector may have known fewer fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _is_in(value, new[name]) for name, value in old.items())
    return bool(old == new)


def _taken(received: Received) -> Rejected:
    """A message whose id another one has."""
    message = received.message
    reason = f"id {message.id!r} is taken by another message"
    body = _json(message).encode()
    topic = message.address.topic(message.kind)
    return Rejected(topic, reason, body, len(body), received.received_ns)


def _json(message: Message) -> str:
    return msgspec.json.encode(message.body).decode()
