"""What the collector knows about each device: its status, its last health, its alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.queries import Row, messages

if TYPE_CHECKING:
    import sqlite3

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


def devices(db: sqlite3.Connection, *, now_ns: int) -> list[Row]:
    """Every device that ever spoke, by name.

    Args:
        db: from `queries.reading`.
        now_ns: the wall clock, nanoseconds since 1970.
    """
    rows = db.execute("SELECT device, seen_ns, status, status_ns FROM device ORDER BY device")
    return [_device(db, dict(row), now_ns) for row in rows.fetchall()]


def _device(db: sqlite3.Connection, row: Row, now_ns: int) -> Row:
    name = row["device"]
    newest = messages(
        db,
        "kind = 'health' AND message.device = :device ORDER BY boot DESC, seq DESC LIMIT 1",
        {"device": name},
    )
    health: Row = newest[0] if newest else {}
    alarms = _last_alerts(db, name)
    pipelines = [
        {"pipeline": pipeline, **about, "alarm": alarms.pop(pipeline, None)}
        for pipeline, about in health.get("pipelines", {}).items()
    ]
    # A pipeline that has alerted but is in no health (yet, or any more) is still shown.
    pipelines += [{"pipeline": pipeline, "alarm": alarm} for pipeline, alarm in alarms.items()]
    return {
        **row,
        "state": _state(row, health.get("received_ns"), now_ns),
        "health_ns": health.get("received_ns"),
        **{field: health.get(field) for field in _HEALTH},
        "pipelines": pipelines,
    }


def _state(row: Row, health_ns: int | None, now_ns: int) -> str:
    """The status the device gave, `silent` if it says online but sends no health, or `unknown`."""
    if row["status"] != "online":
        return row["status"] or "unknown"
    last_ns = max(row["status_ns"], health_ns or 0)
    return "silent" if now_ns - last_ns > SILENT_AFTER_S * 1e9 else "online"


def _last_alerts(db: sqlite3.Connection, device: str) -> dict[str, Row]:
    """The last alert of each of a device's pipelines: whether it is in alarm, and why."""
    pipelines = db.execute(
        "SELECT DISTINCT pipeline FROM message WHERE kind = 'alert' AND device = ?", (device,)
    ).fetchall()
    last = {}
    for (pipeline,) in pipelines:
        (alert,) = messages(
            db,
            "kind = 'alert' AND message.device = :device AND pipeline = :pipeline"
            " ORDER BY boot DESC, seq DESC LIMIT 1",
            {"device": device, "pipeline": pipeline},
        )
        names = ("n", "at_ns", "state", "label", "score", "threshold")
        last[pipeline] = {key: alert[key] for key in names}
    return last
