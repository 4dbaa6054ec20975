"""The durable queue between detecting and sending. What `put` has taken is on disk.

A row leaves only when the collector says it has stored it (a broker's PUBACK is no such word), or
when space runs out: then the oldest health goes first, then readings, never an alert.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contract.messages import MAX_PAYLOAD_BYTES, Encoded, OutboxHealth
from edge.errors import ConfigError

log = logging.getLogger(__name__)

_PAGE_BYTES = 4096
_RESERVE_BYTES = 256 * 1024  # given back to a full disk so that rows can be deleted at all
_CHECKPOINT_PAGES = 128
_EXPENDABLE = ("health", "reading")  # in the order they are given up
_GIVE_UP_ROWS = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    put_ns INTEGER NOT NULL
)
"""


class OutboxFullError(Exception):
    """No space left even after giving up what may be given up; the message is not stored."""


@dataclass(frozen=True)
class Row:
    """One waiting message."""

    seq: int
    id: str
    topic: str
    payload: bytes


class Outbox:
    """Durable queue of (topic, bytes). One process at a time; its threads may share it."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create the queue.

        Args:
            path: the SQLite file; `.lock` and `.reserve` files lie beside it.
            max_bytes: most it may take of the disk; less where the disk has less.

        Raises:
            ConfigError: another process has it open, or it cannot be written.
        """
        self._path = path
        self._reserve = path.with_suffix(".reserve")
        self._lock = threading.Lock()
        self.sent = self.acknowledged = 0
        self.dropped: Counter[str] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = _lock_or_refuse(path)
            try:
                self._db = self._open(max_bytes)
            except BaseException:
                self._lock_file.close()
                raise
            self._keep_reserve()
        except sqlite3.OperationalError as error:
            raise ConfigError(f"{path}: outbox cannot be written: {error}") from None
        except OSError as error:
            raise ConfigError(
                f"{path}: outbox cannot be written: {error.strerror}; fix: device.state_dir"
            ) from None

    @property
    def last_seq(self) -> int:
        """The highest `seq` ever put, also over restarts; 0 before the first."""
        with self._lock:
            row = self._db.execute("SELECT seq FROM sqlite_sequence").fetchone()
            return int(row[0]) if row else 0

    def put(self, message: Encoded) -> None:
        """Store one message; it is on disk when this returns.

        Raises:
            OutboxFullError: no space, and nothing left that may be given up for it.
            ValueError: the payload is larger than any collector takes.
        """
        if len(message.payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(
                f"{message.kind} of {len(message.payload)} bytes; at most {MAX_PAYLOAD_BYTES}"
            )
        with self._lock:
            # health may be lost with the power, an alert may not
            self._db.execute(
                f"PRAGMA synchronous={'NORMAL' if message.kind == 'health' else 'FULL'}"
            )
            while True:
                try:
                    self._insert(message)
                except sqlite3.OperationalError as error:
                    if not _is_full(error):
                        raise
                    if not self._make_space(message.kind):
                        if message.kind in _EXPENDABLE:
                            self.dropped[message.kind] += 1
                        raise OutboxFullError(f"{self._path}: {error}") from None
                else:
                    return

    def waiting(self, *, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows with `seq` above `after`, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, id, topic, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        return [Row(*row) for row in rows]

    def done(self, ids: Iterable[str]) -> None:
        """Delete what the collector has stored; unknown ids are passed over."""
        with self._lock:
            self._db.execute(
                "PRAGMA synchronous=NORMAL"
            )  # a row that comes back is only sent again
            try:
                with self._db:
                    gone = self._db.executemany(
                        "DELETE FROM outbox WHERE id = ?", [(i,) for i in ids]
                    )
                    self.acknowledged += gone.rowcount
            except sqlite3.OperationalError as error:
                if not _is_full(error):
                    raise
                self._reserve.unlink(missing_ok=True)  # the resend will bring the same ids again
                return
            self._keep_reserve()

    def health(self) -> OutboxHealth:
        """What waits, for `Health`."""
        with self._lock:
            rows, size, oldest_ns = self._db.execute(
                "SELECT COUNT(*), TOTAL(LENGTH(payload)), MIN(put_ns) FROM outbox"
            ).fetchone()
            pages = self._db.execute("PRAGMA max_page_count").fetchone()[0]
        oldest_s = max(time.time_ns() - oldest_ns, 0) / 1e9 if oldest_ns else 0.0
        return OutboxHealth(
            rows=rows,
            bytes=int(size),
            max_bytes=pages * _PAGE_BYTES,
            oldest_s=oldest_s,
            sent=self.sent,
            acknowledged=self.acknowledged,
            dropped=dict(self.dropped),
        )

    def close(self) -> None:
        """Release the file; what waits stays for the next start."""
        with self._lock:
            self._db.close()
            self._lock_file.close()

    def _open(self, max_bytes: int) -> sqlite3.Connection:
        try:
            return _connect(self._path, max_bytes)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                if not _is_full(error) or not self._reserve.exists():
                    raise
                self._reserve.unlink()  # opening takes a little space too
                return _connect(self._path, max_bytes)
            aside = self._path.with_suffix(f".corrupt-{time.time_ns()}")
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            log.exception("outbox %s is damaged; kept as %s, starting anew", self._path, aside.name)
            return _connect(self._path, max_bytes)

    def _insert(self, message: Encoded) -> None:
        with self._db:
            self._db.execute(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
                (
                    message.seq,
                    message.id,
                    message.kind,
                    message.topic,
                    message.payload,
                    time.time_ns(),
                ),
            )

    def _make_space(self, kind: str) -> bool:
        """Give up the oldest of what matters less than, or as little as, `kind`."""
        self._reserve.unlink(missing_ok=True)
        for expendable in _EXPENDABLE:
            try:
                gone = self._give_up(expendable)
            except sqlite3.OperationalError as error:
                if not _is_full(error):
                    raise
                return False  # the reserve is spent: not even deleting works
            if gone:
                return True
            if expendable == kind:
                return False
        return False

    def _give_up(self, kind: str) -> int:
        """Delete the oldest rows of one kind and count them; how many."""
        with self._db:
            gone = self._db.execute(
                "DELETE FROM outbox WHERE seq IN "
                "(SELECT seq FROM outbox WHERE kind = ? ORDER BY seq LIMIT ?)",
                (kind, _GIVE_UP_ROWS),
            ).rowcount
        if gone:
            self.dropped[kind] += gone
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return gone

    def _keep_reserve(self) -> None:
        """Hold a little space back while the disk has plenty, to have it when it has none."""
        if self._reserve.exists() or shutil.disk_usage(self._path.parent).free < 2 * _RESERVE_BYTES:
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
        except OSError:
            self._reserve.unlink(missing_ok=True)


def _connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    free = shutil.disk_usage(path.parent).free + (path.stat().st_size if path.exists() else 0)
    pages = max(min(max_bytes, free * 9 // 10) // _PAGE_BYTES, 16)
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA max_page_count={pages}")
        with db:
            db.execute(_SCHEMA)
        if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("quick_check failed")
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db


def _lock_or_refuse(path: Path) -> IO[str]:
    """The lock file, held while it is open."""
    file = path.with_suffix(".lock").open("a+")
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(
            f"{path}: another process has this outbox open; "
            "fix: stop it, or give this device its own device.state_dir"
        ) from None
    return file


def _is_full(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
