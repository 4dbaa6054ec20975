"""What the collector knows about each device: its status, its last health, its alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector import queries

if TYPE_CHECKING:
    import sqlite3

    from collector.queries import Row

# Three missed healths at one every ten seconds: fewer are a busy network.
SILENT_AFTER_S = 30.0

# Of the last health; each is null while a device has sent none.
_HEALTH = (
    "version",
    "uptime_s",
    "cpu_temperature_c",
    "throttled",
    "disk_free_bytes",
    "memory_bytes",
    "outbox",
    "boot_id",
    "clock_synced",
)
_ALERT = (
    *("n", "at_ns", "dated_by", "state", "label", "score", "threshold"),
    *("text", "severity", "evidence", "visit", "who"),
)


def devices(db: sqlite3.Connection, *, now_ns: int) -> list[Row]:
    """The devices heard of last, as many as fit into an answer, by name.

    Args:
        db: from `queries.reading`.
        now_ns: the wall clock, nanoseconds since 1970.
    """
    shown = queries.fitting(_device(db, row, now_ns) for row in queries.devices(db))
    return sorted(shown, key=lambda device: str(device["device"]))


def _device(db: sqlite3.Connection, row: Row, now_ns: int) -> Row:
    name = row["device"]
    health = queries.newest(db, "health", name) or {}
    about = health.get("pipelines", {})
    # A pipeline that has spoken but is in no health (yet, or any more) is still shown.
    heard = {each for kind in queries.NEWS_KINDS for each in queries.pipelines(db, kind, name)}
    names = [*about, *sorted(heard - set(about))][: queries.MOST_PIPELINES]
    return {
        **row,
        "state": _state(row, health.get("received_ns"), now_ns),
        "health_ns": health.get("received_ns"),
        **{field: health.get(field) for field in _HEALTH},
        "pipelines": [_pipeline(db, name, each, health) for each in names],
    }


def _pipeline(db: sqlite3.Connection, device: str, pipeline: str, health: Row) -> Row:
    about: Row = health.get("pipelines", {}).get(pipeline, {})
    sensor = queries.newest(db, "sensor", device, pipeline)
    trouble = about.get("sensor")
    # Of message and health the one the device has made later counts.
    if sensor and (not about or _place(sensor) > _place(health)):
        trouble = sensor["label"] if sensor["state"] == "raised" else None
    return {
        "pipeline": pipeline,
        **about,
        "sensor": trouble,
        "alarm": _alert(queries.newest_alert(db, device, pipeline, "alarm")),
        "notice": _alert(queries.newest_alert(db, device, pipeline, "notice")),
    }


def _alert(row: Row | None) -> Row | None:
    return row and {field: row[field] for field in _ALERT}


def _place(message: Row) -> tuple[int, int]:
    return message["era"], message["seq"]


def _state(row: Row, health_ns: int | None, now_ns: int) -> str:
    """The status the device gave, `silent` if it says online but sends no health, or `unknown`."""
    if row["status"] != "online":
        return row["status"] or "unknown"
    last_ns = max(row["status_ns"], health_ns or 0)
    return "silent" if now_ns - last_ns > SILENT_AFTER_S * 1e9 else "online"
