"""A real Mosquitto that tests may stop, kill and start again, and waiting without sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host import broker
from host.ports import free_port


def until(condition: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """The first true value of `condition`."""
    deadline_s = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {condition}"
        time.sleep(0.02)
    return value


class Mosquitto:
    """Keeps its port and its database over restarts; skips the test where it is not installed."""

    def __init__(self, folder: Path) -> None:
        if broker.find_mosquitto() is None:
            pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
        self.host, self.port = "127.0.0.1", free_port()
        self._folder = folder
        self.start()

    def start(self) -> None:
        self._running = broker.start(self._folder, port=self.port)

    def stop(self) -> None:
        self._running.stop()

    def kill(self) -> None:
        self._running.process.kill()
        self._running.process.wait()
