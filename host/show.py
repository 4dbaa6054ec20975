"""What the demo shows in the terminal."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from host.lives import Life

_ALERTS = 6


def table(devices: list[dict[str, Any]], alerts: list[dict[str, Any]], life: Life) -> Group:
    """Device, progress through the life, and the alerts as the collector has stored them."""
    grid = Table(box=None, expand=True, padding=(0, 1))
    for column in ("device", "pipeline", "state", "life", "windows/s", "waiting"):
        grid.add_column(column, ratio=2 if column == "life" else 1)
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
                ProgressBar(total=len(life.fractions), completed=done),
                f"{pipeline.get('windows_per_s', 0):.1f}",
                str((device["outbox"] or {}).get("rows", "")),
            )
    return Group(Text(f"watching {life.name}", style="bold"), grid, _alerts(alerts, life))


def _alerts(alerts: list[dict[str, Any]], life: Life) -> RenderableType:
    if not alerts:
        return Text("no alert yet", style="dim")
    listed = Table(box=None, expand=True, padding=(0, 1))
    for column in ("time", "state", "what", "score", "threshold", "at life", "latency"):
        listed.add_column(column)
    for alert in reversed(alerts[:_ALERTS]):
        at = dt.datetime.fromtimestamp(alert["at_ns"] / 1e9, tz=dt.UTC).astimezone()
        listed.add_row(
            f"{at:%H:%M:%S}",
            Text(alert["state"], style="bold red" if alert["state"] == "raised" else "green"),
            alert["label"],
            f"{alert['score']:.2f}",
            f"{alert['threshold']:.2f}",
            f"{life.fractions[alert['window']]:.0%}",
            "unknown" if alert["latency_ms"] is None else f"{alert['latency_ms']:.0f} ms",
        )
    return listed


def verdict(summary: dict[str, Any]) -> Panel:
    """The figures a person wants to see at the end."""
    first = summary["first_alert_fraction_of_life"]
    when = "no time" if first is None else f"{first:.0%} of life"
    latency, model = summary["latency_ms"], summary["model"]
    lines = [
        f"{summary['windows']} windows, first alert at {when}",
        f"{summary['alerts_raised']} alert messages sent, {summary['alerts_stored']} stored,",
        f"{summary['lost']} lost, {summary['duplicates']} doubled",
        f"window complete to row: p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms",
        f"model {model['float_bytes']} bytes float, {model['int8_bytes']} bytes int8",
        "seconds: " + ", ".join(f"{name} {took}" for name, took in summary["seconds"].items()),
    ]
    return Panel("\n".join(lines), title="what happened")
