"""The SQLite file under the outbox: tables, statements, and reading what damage has left."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edge.journal import DamagedError, Row, pack, unpack

# Each commit writes whole pages, and an alert is about as large as one: larger pages would wear out
# the card two to three times as fast (benchmarks/writes.py).
PAGE_BYTES = 512
_CHECKPOINT_PAGES = 1000
_LEAST_PAGES = 128
# Nobody else may open the file, so SQLite keeps the index of its log in memory. As a file beside it
# that would be written again and again, and on a failing disk end the process with SIGBUS.
_ALONE = "vfs=unix-excl"
_FRESH = ".new"
_KEEP_ASIDE = 3  # damaged files kept for a person
_MOST_BETWEEN = 1_000_000  # numbers tried one by one between two damaged places

# No index but the row number: each further one would cost a page or two per commit. `high` keeps
# the highest number ever deleted, since an empty table has forgotten it; and the highest set aside,
# apart from it, because only the former says which rows must once have been here.
_ROW = "seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, size INTEGER NOT NULL, record BLOB NOT NULL"
_TABLES = (
    f"CREATE TABLE outbox ({_ROW})",
    f"CREATE TABLE dead ({_ROW}, reason TEXT NOT NULL)",
    "CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE high (seq INTEGER NOT NULL, aside INTEGER NOT NULL)",
)
_VERSION = 2  # before it, a column per field and no checksums
_CREATE = "; ".join(
    (
        "BEGIN IMMEDIATE",
        *_TABLES,
        "INSERT INTO high VALUES (0, 0)",
        f"PRAGMA user_version={_VERSION}",
        "COMMIT",
    )
)
_MOST_PAGES = 2**32 - 2  # SQLite's own limit
_MOST_SEQ = 2**52  # half of what a message can carry; a number beyond it is damage
FAILING = (sqlite3.OperationalError, OSError)  # what `is_full` decides about
DAMAGED = (sqlite3.DatabaseError, DamagedError, UnicodeDecodeError)  # what `is_damage` does


def is_full(error: Exception) -> bool:
    """Whether nothing can be written at present: full, failing, read-only or locked by a person."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
    if not isinstance(error, sqlite3.OperationalError):
        return False
    return _code(error) in {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


def is_damage(error: Exception) -> bool:
    """Whether what is in the file is not what was written there."""
    if isinstance(error, sqlite3.DatabaseError):
        is_text = isinstance(error, sqlite3.OperationalError) and _code(error) is None
        return is_text or _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    return isinstance(error, DamagedError | UnicodeDecodeError)


def _code(error: sqlite3.DatabaseError) -> int | None:
    """None: it is Python's error, not SQLite's; an operational one is about text that is none."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


class OutboxFile:
    """One open file. Not shared between threads; its errors are SQLite's and `DamagedError`."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open or create the file.

        Raises:
            sqlite3.OperationalError: it cannot be opened or written.
            sqlite3.DatabaseError: it is damaged.
            DamagedError: it is of another version, to be read by `salvage`.
        """
        self._path = path
        self._max_bytes = max_bytes
        is_new = not path.exists()
        if is_new:  # a log without its file must not be played into a new one
            for suffix in ("-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        self._db = _connect(path, _ALONE, check_same_thread=False)
        try:
            self._db.execute(f"PRAGMA page_size={PAGE_BYTES}")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            self._db.execute("PRAGMA secure_delete=OFF")  # Debian's default writes deleted pages
            self.limit()
            if self._db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise DamagedError("quick_check failed")
            if not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                self._db.executescript(_CREATE)
            if self._db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise DamagedError("another version")
            if {sql for (sql,) in self._db.execute("SELECT sql FROM sqlite_schema")} != {*_TABLES}:
                raise DamagedError("not the tables that were made")
            # a file that is not ours to write is opened all the same; this tells, and takes no room
            self._db.executescript("BEGIN; UPDATE high SET seq = seq; ROLLBACK;")
        except BaseException:
            self._db.close()
            raise

    def restore(self, rows: Sequence[Row], states: Mapping[str, bytes], high: int) -> None:
        """Commit what has been here before, also beyond `max_bytes`: it may not be lost."""
        self._db.execute(f"PRAGMA max_page_count={_MOST_PAGES}")
        try:
            self.insert(rows, states, durable=True)
            self.set_high(high)
        finally:
            self.limit()

    def limit(self) -> int:
        """Keep the file below `max_bytes` and below what the disk has; how large it may become."""
        used = self._path.stat().st_size if self._path.exists() else 0
        free = shutil.disk_usage(self._path.parent).free + used
        pages = max(min(self._max_bytes, free * 9 // 10) // PAGE_BYTES, _LEAST_PAGES)
        return int(self._db.execute(f"PRAGMA max_page_count={pages}").fetchone()[0]) * PAGE_BYTES

    @property
    def last_seq(self) -> int:
        """The highest number ever put or set aside."""
        return max(self.last_put, self._number("SELECT aside FROM high"))

    @property
    def last_put(self) -> int:
        """The highest number of a row that is or was here."""
        return self._number(
            "SELECT max((SELECT seq FROM high), coalesce((SELECT max(seq) FROM outbox), 0),"
            " coalesce((SELECT max(seq) FROM dead), 0))"
        )

    def _number(self, query: str) -> int:
        """What no checksum is kept of is believed within reason."""
        found = self._db.execute(query).fetchone()
        if not found or not _is_seq(found[0]):
            raise DamagedError(f"numbers come to {found}")
        return int(found[0])

    def insert(self, rows: Sequence[Row], states: Mapping[str, bytes], *, durable: bool) -> None:
        """Commit rows and states; with `durable` they survive a power cut right after."""
        self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        with self._db:
            self._db.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?, ?)",
                [(row.seq, row.kind, len(row.payload), pack(row)) for row in rows],
            )
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", states.items())

    def rows(self, *, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows above `after`, oldest first."""
        found = self._db.execute(
            "SELECT seq, kind, size, record FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [_agreed(*each) for each in found]

    def precious(self) -> Iterator[Row]:
        """What has a second copy: everything but health, dead letters too."""
        found = self._db.execute(
            "SELECT seq, kind, size, record FROM outbox WHERE kind <> 'health'"
            " UNION ALL SELECT seq, kind, size, record FROM dead WHERE kind <> 'health'"
        )
        for each in found:
            yield _agreed(*each)

    def delete(self, seqs: Iterable[int]) -> list[tuple[str, int]]:
        """Delete rows; kind and size of each. Not synced: one that comes back is sent again."""
        self._db.execute("PRAGMA synchronous=NORMAL")
        gone: list[tuple[int, str, int]] = []
        with self._db:
            for seq in seqs:
                gone += self._db.execute(
                    "DELETE FROM outbox WHERE seq = ? RETURNING seq, kind, size", (seq,)
                )
            self._raise_high(gone)
        return [(kind, size) for _, kind, size in gone]

    def give_up(self, kind: str, count: int) -> list[tuple[str, int]]:
        """Delete the oldest `count` rows of a kind. Kind and size of each."""
        with self._db:
            gone = self._db.execute(
                "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE kind = ?"
                " ORDER BY seq LIMIT ?) RETURNING seq, kind, size",
                (kind, count),
            ).fetchall()
            self._raise_high(gone)
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        return [(kind, size) for _, kind, size in gone]

    def _raise_high(self, gone: Sequence[tuple[int, str, int]]) -> None:
        if gone:
            highest = max(seq for seq, _, _ in gone)
            self._db.execute("UPDATE high SET seq = ? WHERE seq < ?", (highest, highest))

    def bury(self, seq: int, reason: str) -> None:
        """Move a row to the dead letters."""
        with self._db:
            self._db.execute(
                "INSERT INTO dead SELECT seq, kind, size, record, ? FROM outbox WHERE seq = ?",
                (reason, seq),
            )
            self._db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))

    def revive(self) -> None:
        """Move all dead letters back."""
        if not self._db.execute("SELECT 1 FROM dead LIMIT 1").fetchone():
            return  # also on a disk that takes no write
        with self._db:
            self._db.execute("INSERT INTO outbox SELECT seq, kind, size, record FROM dead")
            self._db.execute("DELETE FROM dead")

    def set_high(self, seq: int) -> None:
        """No number up to `seq` will be used again; those above will, but for those of rows."""
        with self._db:
            self._db.execute("UPDATE high SET aside = ?", (seq,))

    def state(self, name: str) -> bytes | None:
        """What was last stored under a name."""
        found = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        if found and not isinstance(found[0], bytes):
            raise DamagedError(f"state of {name}")
        return found[0] if found else None

    def count(self) -> dict[str, tuple[int, int]]:
        """Rows and bytes of payload by kind; dead letters under `dead`."""
        found = self._db.execute(
            "SELECT kind, count(*), sum(size) FROM outbox GROUP BY kind"
            " UNION ALL SELECT 'dead', count(*), total(size) FROM dead"
        )
        return {kind: (rows, int(size)) for kind, rows, size in found}

    def close(self) -> None:
        """Release the file."""
        with contextlib.suppress(sqlite3.DatabaseError):  # a damaged one cannot fold in its log
            self._db.close()


def salvage(path: Path) -> tuple[dict[int, Row], dict[str, bytes], int]:
    """What can still be read of a damaged file, or of one of an older version.

    Returns:
        Rows by number, states by name, and the highest number known to have been used.
    """
    rows: dict[int, Row] = {}
    states: dict[str, bytes] = {}
    high = 0
    with contextlib.suppress(*DAMAGED), contextlib.closing(read_only(path)) as db:
        db.text_factory = partial(str, encoding="utf-8", errors="replace")
        is_old = "payload" in {column[1] for column in db.execute("PRAGMA table_info(outbox)")}
        for table in ("outbox",) if is_old else ("outbox", "dead"):
            for found in _readable(db, table, "*" if is_old else "seq, record"):
                with contextlib.suppress(DamagedError, TypeError, ValueError):
                    row = Row(*found) if is_old else _checked(*found)
                    rows[row.seq] = row
        known = _readable(db, "sqlite_sequence" if is_old else "high", "*")
        high = max((seq for each in known for seq in each if _is_seq(seq)), default=0)
        if not is_old:
            states.update(
                (name, state)
                for name, state in _readable(db, "state", "name, value")
                if isinstance(name, str) and isinstance(state, bytes)
            )
    return rows, states, max(high, *rows, 0)


def build(
    path: Path, rows: Iterable[Row], states: Mapping[str, bytes], high: int, *, max_bytes: int
) -> None:
    """Make a new file beside a damaged one; `swap` puts it in its place.

    Raises:
        sqlite3.OperationalError: no space for it.
    """
    fresh = path.with_suffix(_FRESH)
    for part in parts(fresh):
        part.unlink(missing_ok=True)
    file = OutboxFile(fresh, max_bytes=max_bytes)
    try:
        file.restore(list(rows), states, high)
    finally:
        file.close()  # which also folds its log into it


def swap(path: Path) -> None:
    """Put the damaged file aside and the new one in its place.

    A kill in between leaves no file at all; the journal has the rows.
    """
    now_ns = time.time_ns()
    for part, suffix in zip(parts(path), ("", "-wal", "-shm"), strict=True):
        if part.exists():
            part.replace(path.with_suffix(f".corrupt-{now_ns}{suffix}"))
    path.with_suffix(_FRESH).replace(path)
    for old in sorted(path.parent.glob(f"{path.stem}.corrupt-*[0-9]"))[:-_KEEP_ASIDE]:
        for part in parts(old):
            part.unlink(missing_ok=True)


def parts(path: Path) -> tuple[Path, Path, Path]:
    """The database, its log and its index."""
    return path, Path(f"{path}-wal"), Path(f"{path}-shm")


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing into the file."""
    return _connect(path, "mode=ro")


def _connect(path: Path, how: str, **options: Any) -> sqlite3.Connection:
    db: sqlite3.Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}", uri=True, **options
    )
    return db


def _readable(db: sqlite3.Connection, table: str, columns: str) -> list[tuple[Any, ...]]:
    """Rows of a table from both ends up to the damage, then one by one what lies between."""
    found: dict[Any, tuple[Any, ...]] = {}
    ends: list[Any] = []
    for order in ("ASC", "DESC"):
        last = None
        with contextlib.suppress(*DAMAGED):
            for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY 1 {order}"):  # noqa: S608 -- constant text
                found[row[0]] = row
                last = row[0]
        ends.append(last)
    low, high = ends
    if isinstance(low, int) and isinstance(high, int):
        for seq in range(low + 1, min(high, low + _MOST_BETWEEN)):
            with contextlib.suppress(*DAMAGED):
                found.update(
                    (seq, row)
                    for row in db.execute(f"SELECT {columns} FROM {table} WHERE seq = ?", (seq,))  # noqa: S608 -- constant text
                )
    return list(found.values())


def _is_seq(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= _MOST_SEQ


def _agreed(seq: int, kind: str, size: int, record: bytes) -> Row:
    """A row whose columns say what its record says."""
    row = _checked(seq, record)
    if (row.kind, len(row.payload)) != (kind, size):
        raise DamagedError(f"row {seq} is called {kind} of {size} bytes")
    return row


def _checked(seq: int, record: object) -> Row:
    if not isinstance(record, bytes):
        raise DamagedError(f"row {seq} holds no record")
    row = unpack(record)
    if row.seq != seq:
        raise DamagedError(f"row {seq} holds {row.seq}")
    return row
