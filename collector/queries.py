"""What is read from the store: each answer of the API that is about messages."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from collector import dating
from contract.messages import Alert, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Row = dict[str, Any]

# What a person must hear of: listed together, kept for ever.
NEWS_KINDS = ("alert", "sensor")
# Latencies are taken from this many newest rows, so that the answer costs the same after years.
LATENCY_ROWS = 10_000
# However many names a broken or hostile publisher invents, an answer has at most so many.
MOST_DEVICES = 1_000
MOST_PIPELINES = 64
MOST_SERIES = 200
MOST_BYTES = 16 * 1024 * 1024

_MOST_VISITS = 100  # alerts looked back on for one that is still raised

# What an alert of an older device or collector does not say.
_LATER = {
    field.name: field.default
    for field in msgspec.structs.fields(Alert)
    if field.default is not msgspec.NODEFAULT
}

# The newest scores of one pipeline. `+n`: by the index that has a series together, not by arrival.
PLOTTED = (
    "message.n IN (SELECT n FROM message WHERE kind = 'score' AND device = :device"
    " AND pipeline = :pipeline AND +n > :since ORDER BY +n DESC LIMIT :limit) ORDER BY message.n"
)


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
    """Stored messages as the API shows them: stamp, body, and three derived values.

    `at_ns` is when it happened, as far as is known, and `dated_by` says who knows; see `dating`.
    `latency_ms` runs from there to the committing transaction; None where only the collector's own
    clock is known.

    Args:
        db: from `reading`.
        which: SQL after WHERE, constant text; `era, seq` is the order in which a device spoke.
        values: the named parameters in it.
    """
    rows = db.execute(
        "SELECT message.n AS n, kind, source, id, message.device AS device, pipeline, boot_id,"  # noqa: S608 -- `which` is ours
        " message.era AS era, seq, window, ts_ns, mono_ns, clock_synced, replayed, received_ns,"
        " stored_ns, offset_ns, body"
        f" FROM message CROSS JOIN boot ON boot.n = message.boot WHERE {which}",
        values,
    )
    return [_flat(row) for row in rows]


def _flat(row: sqlite3.Row) -> Row:
    message: Row = dict(row)
    body: Row = json.loads(message.pop("body"))
    if message["kind"] == "alert":
        body |= {name: value for name, value in _LATER.items() if name not in body}
    at_ns, dated_by = _date(row)
    latency_ms = None if dated_by == "collector" else (message["stored_ns"] - at_ns) / 1e6
    del message["offset_ns"]
    message |= {name: bool(message[name]) for name in ("clock_synced", "replayed")}
    return {**message, "at_ns": at_ns, "dated_by": dated_by, "latency_ms": latency_ms, **body}


def _date(row: sqlite3.Row) -> tuple[int, dating.DatedBy]:
    stamp = Stamp(
        ts_ns=row["ts_ns"],
        mono_ns=row["mono_ns"],
        boot_id=row["boot_id"],
        seq=row["seq"],
        clock_synced=bool(row["clock_synced"]),
    )
    return dating.date(stamp, row["received_ns"], row["offset_ns"])


def alerts(
    db: sqlite3.Connection,
    *,
    limit: int,
    since: int = 0,
    device: str | None = None,
    kinds: Sequence[str] = NEWS_KINDS,
) -> list[Row]:
    """Alerts and sensors, newest first: of all devices by arrival, of one in its own order.

    Args:
        db: from `reading`.
        limit: at most this many.
        since: only rows with `n` above it, as returned earlier.
        device: only this device's.
        kinds: only these, out of `NEWS_KINDS`.
    """
    if device is None:
        order = "n DESC"
        # each kind by its index, merged: else SQLite would sort all there ever were
        found = " UNION ALL ".join(
            f"SELECT n FROM message WHERE kind = '{kind}' AND n > :since"  # noqa: S608 -- constant text
            for kind in kinds
        )
    else:
        order = "era DESC, seq DESC"
        names = ", ".join(f"'{kind}'" for kind in kinds)
        # `+n`: not by arrival, but by the index that has all of a device together
        found = (
            f"SELECT n FROM message WHERE kind IN ({names})"  # noqa: S608 -- constant text
            " AND device = :device AND +n > :since"
        )
    which = f"message.n IN ({found} ORDER BY {order} LIMIT :limit) ORDER BY message.{order}"
    return messages(db, which, {"since": since, "device": device, "limit": limit})


def newest(
    db: sqlite3.Connection, kind: str, device: str, pipeline: str | None = None
) -> Row | None:
    """The message of that kind that the device, or its pipeline, has made last."""
    rows = messages(
        db,
        "kind = :kind AND message.device = :device AND pipeline IS :pipeline"
        " ORDER BY message.era DESC, seq DESC LIMIT 1",
        {"kind": kind, "device": device, "pipeline": pipeline},
    )
    return rows[0] if rows else None


def newest_alert(
    db: sqlite3.Connection, device: str, pipeline: str, level: Literal["notice", "alarm"]
) -> Row | None:
    """The alert of that level that the pipeline has made last.

    Where it says that a visit is over, and others are not, the newest of those that began them.
    """
    rows = _newest_alerts(db, device, pipeline, level, limit=1)
    if rows and rows[0]["visit"] is not None and rows[0]["state"] == "cleared":
        rows = _newest_alerts(db, device, pipeline, level, limit=_MOST_VISITS)
        over = set()
        for row in rows:
            outcome = row["visit"], row["label"]
            if row["state"] == "cleared":
                over.add(outcome)
            elif outcome not in over:
                return row
    return rows[0] if rows else None


def _newest_alerts(
    db: sqlite3.Connection, device: str, pipeline: str, level: str, *, limit: int
) -> list[Row]:
    return messages(
        db,
        "kind = 'alert' AND message.device = :device AND pipeline = :pipeline"
        " AND coalesce(json_extract(body, '$.level'), 'alarm') = :level"  # by the index of it
        " ORDER BY message.era DESC, seq DESC LIMIT :limit",
        {"device": device, "pipeline": pipeline, "level": level, "limit": limit},
    )


def device_with(db: sqlite3.Connection, sha256: str) -> str | None:
    """The device that has first named this evidence, in an alert or else in a reading."""
    for kind in ("alert", "reading"):  # an index each
        row = db.execute(
            "SELECT device FROM message"  # noqa: S608 -- constant text
            f" WHERE kind = '{kind}' AND json_extract(body, '$.evidence') = ? ORDER BY n LIMIT 1",
            (sha256,),
        ).fetchone()
        if row:
            return str(row["device"])
    return None


# As the indices of them say it, to the letter.
_NOT_PASSED = (
    "kind = 'reading' AND json_extract(body, '$.part') NOT NULL"
    " AND json_extract(body, '$.label') <> 'pass'"
)


def parts(db: sqlite3.Connection, *, limit: int) -> list[Row]:
    """Parts that did not pass, newest first; `verdict` is what a person has said of each since.

    Args:
        db: from `reading`.
        limit: at most this many of the latest messages about such parts are looked at.
    """
    rows = messages(
        db,
        "message.n IN (SELECT n FROM message INDEXED BY message_by_reject"  # noqa: S608 -- constant text
        f" WHERE {_NOT_PASSED} ORDER BY n DESC LIMIT :limit) ORDER BY message.n DESC",
        {"limit": limit},
    )
    said = {_part(row): row["verdict"] for row in rows if row.get("verdict")}
    return [{**row, "verdict": said.get(_part(row))} for row in rows if not row.get("verdict")]


def _part(row: Row) -> tuple[Any, ...]:
    return row["device"], row["pipeline"], row["part"]


def has_part(db: sqlite3.Connection, device: str, pipeline: str, part: int) -> bool:
    """Whether that part did not pass, and nobody has given a verdict on it."""
    rows = db.execute(
        "SELECT json_extract(body, '$.verdict') AS verdict FROM message"  # noqa: S608 -- constant text
        f" WHERE {_NOT_PASSED} AND device = ? AND pipeline = ?"
        " AND json_extract(body, '$.part') = ?",
        (device, pipeline, part),
    ).fetchall()
    return bool(rows) and all(row["verdict"] is None for row in rows)


def pipelines(db: sqlite3.Connection, kind: str, device: str) -> list[str]:
    """The first `MOST_PIPELINES` pipelines of a device that have sent that kind, by name."""
    # from name to name in the index: SQLite's DISTINCT would look at every row
    rows = db.execute(
        "WITH RECURSIVE known (name) AS ("
        " SELECT min(pipeline) FROM message WHERE kind = :kind AND device = :device"
        " UNION ALL SELECT (SELECT min(pipeline) FROM message"
        "  WHERE kind = :kind AND device = :device AND pipeline > name)"
        " FROM known WHERE name NOT NULL LIMIT :limit)"
        " SELECT name FROM known WHERE name NOT NULL",
        {"kind": kind, "device": device, "limit": MOST_PIPELINES},
    )
    return [name for (name,) in rows]


def devices(db: sqlite3.Connection) -> list[Row]:
    """The `MOST_DEVICES` heard of last, the last one first: what the store notes about each."""
    rows = db.execute(
        "SELECT device, seen_ns, status, status_ns FROM device"
        " ORDER BY max(coalesce(seen_ns, 0), coalesce(status_ns, 0)) DESC LIMIT ?",
        (MOST_DEVICES,),
    )
    return [dict(row) for row in rows]


def device_count(db: sqlite3.Connection) -> int:
    """How many devices have ever spoken."""
    (count,) = db.execute("SELECT count(*) FROM device").fetchone()
    return int(count)


def scores(db: sqlite3.Connection, *, limit: int, since: int = 0) -> list[Row]:
    """The newest scores of at most `MOST_SERIES` pipelines, oldest first, for plots.

    Args:
        db: from `reading`.
        limit: at most this many per pipeline.
        since: only rows with `n` above it.
    """
    names = (
        (row["device"], pipeline)
        for row in devices(db)
        for pipeline in pipelines(db, "score", row["device"])
    )
    series = fitting(
        _series(db, device, pipeline, {"since": since, "limit": limit})
        for device, pipeline in itertools.islice(names, MOST_SERIES)
    )
    return sorted(series, key=lambda each: (each["device"], each["pipeline"]))


def _series(db: sqlite3.Connection, device: str, pipeline: str, which: dict[str, int]) -> Row:
    names = ("n", "at_ns", "window", "label", "score", "threshold")
    points = messages(db, PLOTTED, {"device": device, "pipeline": pipeline, **which})
    points.sort(key=lambda point: point["at_ns"])  # two collectors may have stored them otherwise
    points = [{name: point[name] for name in names} for point in points]
    return {"device": device, "pipeline": pipeline, "points": points}


def fitting(rows: Iterable[Row]) -> list[Row]:
    """The first rows, as many as fit into an answer."""
    taken, size_bytes = [], 0
    for row in rows:
        size_bytes += len(msgspec.json.encode(row))
        if size_bytes > MOST_BYTES:
            break
        taken.append(row)
    return taken


def rejected(db: sqlite3.Connection, *, limit: int) -> list[Row]:
    """What was refused, newest first; `payload` is its beginning, read as text."""
    rows = db.execute("SELECT * FROM rejected ORDER BY n DESC LIMIT ?", (limit,))
    return [{**row, "payload": row["payload"].decode(errors="replace")} for row in rows]


def counters(db: sqlite3.Connection) -> dict[str, int]:
    """Totals since the database was made: `stored_KIND`, `redelivered`, `rejected`."""
    return dict(db.execute("SELECT name, value FROM counter").fetchall())


def latencies_ns(db: sqlite3.Connection, kind: str) -> list[int]:
    """The time from `at_ns` to the commit, of the newest rows of a kind.

    A replayed row tells how long the device was away, and one that only the collector has dated
    tells nothing: both are left out.
    """
    rows = db.execute(
        "SELECT ts_ns, mono_ns, boot_id, seq, clock_synced, replayed, received_ns, stored_ns,"
        " offset_ns FROM message CROSS JOIN boot ON boot.n = message.boot WHERE kind = ?"
        " ORDER BY message.n DESC LIMIT ?",
        (kind, LATENCY_ROWS),
    )
    dated = ((row["stored_ns"], *_date(row)) for row in rows if not row["replayed"])
    return [stored_ns - at_ns for stored_ns, at_ns, dated_by in dated if dated_by != "collector"]


def percentiles(values_ns: list[int]) -> Row:
    """How many there are, and the 50th and 99th percentile in milliseconds."""
    values_ns = sorted(values_ns)

    def percentile(share: float) -> float | None:
        return values_ns[int(share * (len(values_ns) - 1) + 0.5)] / 1e6 if values_ns else None

    return {"count": len(values_ns), "p50": percentile(0.5), "p99": percentile(0.99)}


def summary(db: sqlite3.Connection) -> Row:
    """Counts and latencies of the whole store; `duplicates` is counted, not assumed to be zero."""
    rows = dict(db.execute("SELECT kind, count(*) FROM message GROUP BY kind").fetchall())
    (duplicates,) = db.execute(
        "SELECT coalesce(sum(copies - 1), 0) FROM"
        " (SELECT count(*) AS copies FROM message GROUP BY source, id HAVING copies > 1)"
    ).fetchone()
    totals = counters(db)
    alert_ns, score_ns = latencies_ns(db, "alert"), latencies_ns(db, "score")
    return {
        "alerts": rows.get("alert", 0),
        "alerts_raised": totals.get("alert_raised", 0),
        "alerts_cleared": totals.get("alert_cleared", 0),
        "sensors": rows.get("sensor", 0),
        "readings": rows.get("reading", 0),
        "scores": rows.get("score", 0),
        "healths": rows.get("health", 0),
        "duplicates": duplicates,
        "redelivered": totals.get("redelivered", 0),
        "rejected": totals.get("rejected", 0),
        "latency_ms": {
            "alert": percentiles(alert_ns),
            "score": percentiles(score_ns),
            "all": percentiles(alert_ns + score_ns),
        },
    }
