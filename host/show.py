"""What the demo shows in the terminal."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from host.piece import Piece

_ALERTS = 6


def table(devices: list[dict[str, Any]], alerts: list[dict[str, Any]], piece: Piece) -> Group:
    """Device, progress through what it watches, and the alerts as the collector has stored them."""
    grid = Table(box=None, expand=True, padding=(0, 1))
    for column in ("device", "pipeline", "state", "seen", "windows/s", "waiting"):
        grid.add_column(column, ratio=2 if column == "seen" else 1)
    for device in devices:
        for pipeline in device["pipelines"]:
            done = pipeline.get("windows", 0)
            state = pipeline.get("state", "")
            if state == "learning":
                state = f"learning {pipeline['learned_windows']}/{pipeline['learn_windows']}"
            grid.add_row(
                device["device"],
                pipeline["pipeline"],
                state,
                ProgressBar(total=piece.windows, completed=done),
                f"{pipeline.get('windows_per_s', 0):.1f}",
                str((device["outbox"] or {}).get("rows", "")),
            )
    return Group(Text(f"watching {piece.name}", style="bold"), grid, _alerts(alerts, piece))


def _alerts(alerts: list[dict[str, Any]], piece: Piece) -> RenderableType:
    if not alerts:
        return Text("no alert yet", style="dim")
    listed = Table(box=None, expand=True, padding=(0, 1))
    for column in ("time", "state", "what", "score", "threshold", "at", "latency"):
        listed.add_column(column)
    for alert in reversed(alerts[:_ALERTS]):
        at = dt.datetime.fromtimestamp(alert["at_ns"] / 1e9, tz=dt.UTC).astimezone()
        listed.add_row(
            f"{at:%H:%M:%S}",
            Text(alert["state"], style="bold red" if alert["state"] == "raised" else "green"),
            f"{alert['label']}: {alert['who']}" if alert["who"] else alert["label"],
            f"{alert['score']:.2f}",
            f"{alert['threshold']:.2f}",
            piece.where(alert["window"]),
            "unknown" if alert["latency_ms"] is None else f"{alert['latency_ms']:.0f} ms",
        )
    return listed


def verdict(summary: dict[str, Any], piece: Piece) -> Panel:
    """The figures a person wants to see at the end."""
    latency = summary["latency_ms"]
    lines = [
        f"{summary['windows']} windows",
        *piece.lines(summary),
        f"{summary['alerts_raised']} alert messages sent, {summary['alerts_stored']} stored,",
        f"{summary['lost']} lost, {summary['duplicates']} doubled",
        f"window complete to row: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms",
        "seconds: " + ", ".join(f"{name} {took}" for name, took in summary["seconds"].items()),
    ]
    return Panel("\n".join(lines), title="what happened")
