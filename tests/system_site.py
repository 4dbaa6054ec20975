"""Real parts on free ports: a broker, a collector, and devices as processes."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from real_broker import until

from host import broker


@dataclass
class Site:
    """A broker and a collector that can be stopped, killed and started again."""

    folder: Path
    embedded: bool
    broker: broker.Broker = field(init=False)
    collector: subprocess.Popen[str] | None = None
    page: str = ""
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start_broker(self, port: int | None = None) -> None:
        self.broker = broker.start(self.folder / "broker", embedded=self.embedded, port=port)

    def restart_broker(self) -> None:
        self.broker.process.kill()
        self.broker.process.wait()
        self.start_broker(self.broker.port)

    def start_collector(self) -> None:
        options = ["--port", str(self.broker.port), "--mqtt-version", self.broker.mqtt_version]
        options += ["--db", str(self.folder / "collector.db"), "--http-port", "0", "--json"]
        self.collector = self.spawn("-m", "vedette", "collect", *options)
        assert self.collector.stdout is not None
        self.page = json.loads(self.collector.stdout.readline())["url"]
        until(lambda: self.get("healthz") is not None)

    def kill_collector(self) -> None:
        assert self.collector is not None
        self.collector.kill()
        self.collector.wait()

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        with (self.folder / f"process-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.processes.append(process)
        return process

    def get(self, path: str) -> Any:
        """Answer of the collector's API; None while it is not healthy or not there."""
        try:
            with urllib.request.urlopen(self.page + path, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            return None

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
        self.broker.stop()


def _site(folder: Path, *, embedded: bool) -> Iterator[Site]:
    site = Site(folder, embedded)
    site.start_broker()
    try:
        site.start_collector()
        yield site
    finally:
        site.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Real Mosquitto and a real collector."""
    if broker.find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    yield from _site(tmp_path, embedded=False)


@pytest.fixture
def embedded_site(tmp_path: Path) -> Iterator[Site]:
    """The pure Python broker, MQTT 3.1.1, and a real collector."""
    yield from _site(tmp_path, embedded=True)
