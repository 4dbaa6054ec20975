"""What was raised, by the devices' logs; what was stored, by the collectors' files; the difference.

The two have nothing in common but the ids: a log line is written once the outbox has committed, or
says that it could not.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# of the service, `INFO edge.service: alert ID stored as 7`; of tests/system/alert_device.py, `ID 7`
_LINE = re.compile(rb"^(?:.* alert )?([0-9a-f]{32}) (?:(stored|held) as )?\d+$", re.MULTILINE)
_POLL_S = 0.05


@dataclass(frozen=True)
class Raised:
    """An alert by its device's own word, and when we read it, on two clocks.

    Attributes:
        is_held: in memory, because the disk took nothing.
    """

    id: str
    device: str
    wall_ns: int
    mono_s: float
    is_held: bool = False


class Oracle:
    """Reads the devices' logs as they are written."""

    def __init__(self, logs: dict[str, Path]) -> None:
        """Begin to read.

        Args:
            logs: by device.
        """
        self._logs = logs
        self._offsets = dict.fromkeys(logs, 0)
        self._raised: dict[str, Raised] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="oracle", daemon=True)
        self._thread.start()

    def raised(self) -> list[Raised]:
        """All so far."""
        return list(self._raised.values())

    def close(self) -> None:
        """Read what is left, then no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._read()
        self._read()

    def _read(self) -> None:
        for device, log in self._logs.items():
            with log.open("rb") as file:
                file.seek(self._offsets[device])
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._offsets[device] += len(whole)
            now_ns, now_s = time.time_ns(), time.monotonic()
            for found in _LINE.finditer(whole):
                name = found[1].decode()
                is_held = found[2] == b"held"
                self._raised.setdefault(name, Raised(name, device, now_ns, now_s, is_held))


@dataclass
class Stored:
    """What the collectors' database holds.

    Attributes:
        at_ns: by alert id, when it was stored.
        doubled: ids that are in it more than once.
        reused: places in a device's order that two different alerts claim.
        redelivered: copies the collectors recognised and did not store again.
    """

    at_ns: dict[str, int] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    redelivered: int = 0


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
    try:
        yield db
    finally:
        db.close()


def stored(path: Path) -> Stored:
    """Read the database as it is now."""
    with _open(path) as db:
        rows = db.execute(
            "SELECT id, stored_ns, device, boot, seq FROM message WHERE kind = 'alert'"
        ).fetchall()
    ids = Counter(name for name, *_ in rows)
    places = Counter(tuple(place) for _, _, *place in rows)
    return Stored(
        at_ns={name: stored_ns for name, stored_ns, *_ in rows},
        doubled=[name for name, count in ids.items() if count > 1],
        reused=[f"{device}:{seq}" for (device, _, seq), count in places.items() if count > 1],
        redelivered=redelivered(path) or 0,
    )


def redelivered(path: Path) -> int | None:
    """Copies recognised so far; None while the database cannot be read."""
    try:
        with _open(path) as db:
            row = db.execute("SELECT value FROM counter WHERE name = 'redelivered'").fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else 0


def has_message(path: Path, unit: str, span_ns: tuple[int, int]) -> bool:
    """Whether a message this device sent, or a collector stored, bears a time in this span."""
    where = "device = ? AND ts_ns" if unit.startswith("device") else "? <> '' AND stored_ns"
    with _open(path) as db:
        query = f"SELECT 1 FROM message WHERE {where} BETWEEN ? AND ? LIMIT 1"
        return db.execute(query, (unit, *span_ns)).fetchone() is not None


def shorten_log(path: Path) -> bool:
    """Fold the database's write-ahead log into it, so that the next commit needs new space."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1.0)) as db:
            is_busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL  # as it is to become
    return not is_busy
