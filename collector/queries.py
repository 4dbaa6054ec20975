"""What is read from the store: each answer of the API that is about messages."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]

# Latencies are taken from this many newest rows, so that the answer costs the same after years.
LATENCY_ROWS = 10_000


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection to the store at `path`, for use by one thread at a time."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        yield db
    finally:
        db.close()


def messages(db: sqlite3.Connection, which: str, values: dict[str, Any]) -> list[Row]:
    """Stored messages as the API shows them: stamp, body, and two derived values.

    `at_ns` is when it happened by the better clock: the device's if it was synchronized, else the
    collector's. `latency_ms` runs from the device's `ts_ns` to the committing transaction.

    Args:
        db: from `reading`.
        which: SQL after WHERE, constant text; `boot, seq` is the order in which a device spoke.
        values: the named parameters in it.
    """
    rows = db.execute(
        "SELECT message.n AS n, source, id, message.device AS device, pipeline, boot_id, seq,"  # noqa: S608 -- `which` is ours
        " window, ts_ns, mono_ns, clock_synced, received_ns, stored_ns, body"
        f" FROM message JOIN boot ON boot.n = message.boot WHERE {which}",
        values,
    )
    return [_flat(row) for row in rows]


def _flat(row: sqlite3.Row) -> Row:
    message = {**row, "clock_synced": bool(row["clock_synced"])}
    body: Row = json.loads(message.pop("body"))
    message["at_ns"] = message["ts_ns" if message["clock_synced"] else "received_ns"]
    message["latency_ms"] = (message["stored_ns"] - message["ts_ns"]) / 1e6
    return {**message, **body}


def alerts(
    db: sqlite3.Connection, *, limit: int, since: int = 0, device: str | None = None
) -> list[Row]:
    """Alerts, newest first: of all devices in order of arrival, of one device in its own order.

    Args:
        db: from `reading`.
        limit: at most this many.
        since: only rows with `n` above it, as returned earlier.
        device: only this device's.
    """
    which = "kind = 'alert' AND message.n > :since"
    if device is None:
        which += " ORDER BY message.n DESC"
    else:
        which += " AND message.device = :device ORDER BY boot DESC, seq DESC"
    values = {"since": since, "device": device, "limit": limit}
    return messages(db, which + " LIMIT :limit", values)


def scores(db: sqlite3.Connection, *, limit: int, since: int = 0) -> list[Row]:
    """The newest scores of every pipeline, oldest first, for plots.

    Args:
        db: from `reading`.
        limit: at most this many per pipeline.
        since: only rows with `n` above it.
    """
    names = ("n", "at_ns", "window", "label", "score", "threshold")
    series = []
    for device, pipeline in db.execute(
        "SELECT DISTINCT device, pipeline FROM message WHERE kind = 'score' ORDER BY 1, 2"
    ).fetchall():
        newest = messages(
            db,
            "kind = 'score' AND message.device = :device AND pipeline = :pipeline"
            " AND message.n > :since ORDER BY message.n DESC LIMIT :limit",
            {"device": device, "pipeline": pipeline, "since": since, "limit": limit},
        )
        points = [{name: point[name] for name in names} for point in reversed(newest)]
        series.append({"device": device, "pipeline": pipeline, "points": points})
    return series


def rejected(db: sqlite3.Connection, *, limit: int) -> list[Row]:
    """What was refused, newest first; `payload` is its beginning, read as text."""
    rows = db.execute("SELECT * FROM rejected ORDER BY n DESC LIMIT ?", (limit,))
    return [{**row, "payload": row["payload"].decode(errors="replace")} for row in rows]


def counters(db: sqlite3.Connection) -> dict[str, int]:
    """Totals since the database was made: `stored_KIND`, `redelivered`, `rejected`."""
    return dict(db.execute("SELECT name, value FROM counter").fetchall())


def latency(db: sqlite3.Connection, *kinds: str) -> Row:
    """Percentiles of the time from `ts_ns` to the commit, over the newest rows of `kinds`."""
    values: list[int] = []
    for kind in kinds:
        rows = db.execute(
            "SELECT stored_ns - ts_ns FROM message WHERE kind = ? ORDER BY n DESC LIMIT ?",
            (kind, LATENCY_ROWS),
        )
        values += [value for (value,) in rows]
    values.sort()

    def percentile(share: float) -> float | None:
        return values[int(share * (len(values) - 1) + 0.5)] / 1e6 if values else None

    return {"count": len(values), "p50": percentile(0.5), "p99": percentile(0.99)}


def summary(db: sqlite3.Connection) -> Row:
    """Counts and latencies of the whole store; `duplicates` is counted, not assumed to be zero."""
    rows = dict(db.execute("SELECT kind, count(*) FROM message GROUP BY kind").fetchall())
    states = dict(
        db.execute(
            "SELECT json_extract(body, '$.state'), count(*) FROM message"
            " WHERE kind = 'alert' GROUP BY 1"
        ).fetchall()
    )
    (duplicates,) = db.execute(
        "SELECT coalesce(sum(copies - 1), 0) FROM"
        " (SELECT count(*) AS copies FROM message GROUP BY source, id HAVING copies > 1)"
    ).fetchone()
    totals = counters(db)
    return {
        "alerts": rows.get("alert", 0),
        "alerts_raised": states.get("raised", 0),
        "alerts_cleared": states.get("cleared", 0),
        "readings": rows.get("reading", 0),
        "scores": rows.get("score", 0),
        "healths": rows.get("health", 0),
        "duplicates": duplicates,
        "redelivered": totals.get("redelivered", 0),
        "rejected": totals.get("rejected", 0),
        "latency_ms": {
            "alert": latency(db, "alert"),
            "score": latency(db, "score"),
            "all": latency(db, "alert", "score"),
        },
    }
