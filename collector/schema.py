"""The tables, and every change to them that databases in the field have to go through."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from collector import dating
from contract.messages import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class SchemaError(Exception):
    """The database is not one of ours; the text says why."""


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block, or nothing of it; begins as a writer, so it cannot fail for that later."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has rolled back by itself
            db.execute("ROLLBACK")
        raise


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


def _mark_replays(db: sqlite3.Connection) -> None:
    db.execute("ALTER TABLE message ADD COLUMN replayed INTEGER NOT NULL DEFAULT 0")


def _date_by_boot(db: sqlite3.Connection) -> None:
    # See `dating`. Dates are derived when rows are read, so the rows themselves stay as they came.
    db.execute("ALTER TABLE boot ADD COLUMN offset_ns INTEGER")
    offsets: dict[int, int] = {}
    for boot, ts_ns, mono_ns, received_ns in db.execute(
        "SELECT boot, ts_ns, mono_ns, received_ns FROM message WHERE clock_synced ORDER BY n"
    ):
        stamp = Stamp(ts_ns=ts_ns, mono_ns=mono_ns, boot_id="", seq=0, clock_synced=True)
        offset_ns = dating.offset_ns(stamp, received_ns)
        if offset_ns is not None:
            offsets.setdefault(boot, offset_ns)
    db.executemany(
        "UPDATE boot SET offset_ns = ? WHERE n = ?", [(value, n) for n, value in offsets.items()]
    )


def _order_by_era(db: sqlite3.Connection) -> None:
    # See `boots`: (era, seq) is the order in which a device spoke, whatever its clock said.
    db.execute("ALTER TABLE boot ADD COLUMN era INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE boot ADD COLUMN first_seq INTEGER")
    db.execute("ALTER TABLE boot ADD COLUMN last_seq INTEGER")
    db.execute("ALTER TABLE boot ADD COLUMN last_mono_ns INTEGER")
    db.execute("ALTER TABLE message ADD COLUMN era INTEGER NOT NULL DEFAULT 0")
    for columns, values in (
        ("first_seq = seq", "min(seq) AS seq"),
        ("(last_seq, last_mono_ns) = (seq, mono_ns)", "max(seq) AS seq, mono_ns"),
    ):
        db.execute(
            f"UPDATE boot SET {columns} FROM (SELECT boot, {values} FROM message"  # noqa: S608 -- constant text
            " WHERE kind <> 'score' GROUP BY boot) WHERE n = boot"
        )
    db.execute("CREATE INDEX boot_by_era ON boot (device, era, first_seq)")
    db.execute("DROP INDEX message_by_pipeline")
    db.execute("CREATE INDEX message_by_era ON message (kind, device, pipeline, era, seq)")


def _count_states(db: sqlite3.Connection) -> None:
    db.execute(
        "INSERT INTO counter SELECT 'alert_' || json_extract(body, '$.state'), count(*)"
        " FROM message WHERE kind = 'alert' GROUP BY 1"
    )


def _index_levels(db: sqlite3.Connection) -> None:
    # Of an alert; what was sent before there were levels was an alarm.
    db.execute(
        "CREATE INDEX message_by_level ON message"
        " (device, pipeline, coalesce(json_extract(body, '$.level'), 'alarm'), era, seq)"
        " WHERE kind = 'alert'"
    )
    db.execute(
        "CREATE INDEX message_by_evidence ON message (json_extract(body, '$.evidence'))"
        " WHERE kind = 'alert' AND json_extract(body, '$.evidence') NOT NULL"
    )


def _index_parts(db: sqlite3.Connection) -> None:
    # Parts that did not pass, and what people said of them: few among many readings.
    not_passed = (
        "kind = 'reading' AND json_extract(body, '$.part') NOT NULL"
        " AND json_extract(body, '$.label') <> 'pass'"
    )
    part = "device, pipeline, json_extract(body, '$.part')"
    db.execute(f"CREATE INDEX message_by_reject ON message (kind) WHERE {not_passed}")
    db.execute(f"CREATE INDEX message_by_part ON message ({part}) WHERE {not_passed}")
    db.execute(
        "CREATE INDEX message_by_seen ON message (json_extract(body, '$.evidence'))"
        " WHERE kind = 'reading' AND json_extract(body, '$.evidence') NOT NULL"
    )


# Applied once each, in this order, for ever: add new ones at the end, never edit an old one.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create_tables,
    _mark_replays,
    _date_by_boot,
    _order_by_era,
    _count_states,
    _index_levels,
    _index_parts,
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables up to date; each migration and the record of it are one transaction.

    Raises:
        SchemaError: the database was written by a newer version.
    """
    db.execute(
        "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_ns INTEGER NOT NULL)"
    )
    if unknown := _applied(db) - {step.__name__ for step in MIGRATIONS}:
        raise SchemaError(f"written by a newer version (knows {', '.join(sorted(unknown))})")
    for step in MIGRATIONS:
        if step.__name__ in _applied(db):
            continue
        with transaction(db):
            if step.__name__ not in _applied(db):  # another collector may have been faster
                step(db)
                db.execute("INSERT INTO migration VALUES (?, ?)", (step.__name__, time.time_ns()))


def _applied(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM migration")}
