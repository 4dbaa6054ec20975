"""Broker, collector and device of a demo: started, watched until the device has seen it all."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live

from collector import fetch
from host import broker, show
from host.phases import DemoError, Phases
from host.piece import Piece

_START_S = 20.0
_LOOK_S = 0.25
_EVIDENCE_S = 2.0  # of a device that is there


@dataclass(frozen=True)
class Page:
    """The collector's page, and what its API says."""

    url: str

    def get(self, path: str) -> Any:
        """The answer to one question."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def devices(self) -> list[dict[str, Any]]:
        """All, as the page shows them."""
        devices: list[dict[str, Any]] = self.get("api/devices")["devices"]
        return devices

    def alerts(self) -> list[dict[str, Any]]:
        """Of workloads, raised and cleared, newest first."""
        alerts: list[dict[str, Any]] = self.get("api/alerts?kind=alert")["alerts"]
        return alerts


@contextmanager
def serving(phases: Phases, *, embedded: bool) -> Iterator[tuple[broker.Broker, Page]]:
    """Broker and collector, for the length of the block.

    Raises:
        DemoError: the collector does not come up.
        BrokerError: the broker does not.
    """
    start = time.monotonic()
    brokered = broker.start(phases.folder / "broker", embedded=embedded)
    try:
        collect = (
            *("collect", "--port", str(brokered.port), "--mqtt-version", brokered.mqtt_version),
            *("--db", str(phases.folder / "collector.db"), "--http-port", "0", "--json"),
        )
        with phases.running(*collect) as collecting:
            assert collecting.stdout is not None
            line = collecting.stdout.readline()
            if not line:
                raise DemoError("the collector ended at once")
            page = Page(json.loads(line)["url"])
            _wait_until_healthy(page)
            phases.seconds["start"] = round(time.monotonic() - start, 2)
            yield brokered, page
    finally:
        brokered.stop()


def watch(
    phases: Phases, piece: Piece, brokered: broker.Broker, page: Page, console: Console
) -> tuple[dict[str, Any], int]:
    """The device service from the first window to the last acknowledged alert.

    Returns:
        Its own summary; and of how many alerts the evidence was fetched while it was there.

    Raises:
        DemoError: it failed.
    """
    config = phases.folder / "edge.toml"
    config.write_text(_device(brokered) + piece.pipeline, encoding="utf-8")
    fetched: set[str] = set()
    with phases.running("run", "--config", str(config), "--json") as watching:
        with Live(console=console, refresh_per_second=4) as live:
            is_over = False
            while not is_over:
                is_over = watching.poll() is not None
                alerts = page.alerts()
                live.update(show.table(page.devices(), alerts, piece))
                if not is_over:
                    _fetch_evidence(page, alerts, fetched)
                    time.sleep(_LOOK_S)
        assert watching.stdout is not None
        printed = watching.stdout.read().splitlines()
    if watching.returncode or not printed:
        raise DemoError(f"the device service failed with exit code {watching.returncode}")
    device: dict[str, Any] = json.loads(printed[-1])
    return device, len(fetched)


def _fetch_evidence(page: Page, alerts: list[dict[str, Any]], fetched: set[str]) -> None:
    """So that the page has it when the device is gone."""
    for sha256 in {alert["evidence"] for alert in alerts if alert["evidence"]} - fetched:
        with suppress(fetch.FetchError):  # asked again the next time
            fetch.fetch(page.url, sha256, within_s=_EVIDENCE_S)
            fetched.add(sha256)


def _device(brokered: broker.Broker) -> str:
    return f"""\
[device]
name = "demo-device"
state_dir = "state"
health_interval_s = 1.0

[mqtt]
host = "127.0.0.1"
port = {brokered.port}
version = "{brokered.mqtt_version}"

"""


def _wait_until_healthy(page: Page) -> None:
    """Until the collector has its broker: what is sent before would wait for a resend."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        try:
            page.get("healthz")
        except OSError:  # also an answer of 503
            time.sleep(0.05)
        else:
            return
    raise DemoError(f"the collector was not ready within {_START_S:.0f} s")
