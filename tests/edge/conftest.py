"""A real Mosquitto and a collector in miniature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_collector import Collector
from real_broker import Mosquitto

from host import ports


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return ports.free_port()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker, started."""
    broker = Mosquitto(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def collector(mosquitto: Mosquitto) -> Iterator[Collector]:
    """Listens to the broker above."""
    listening = Collector(mosquitto.host, mosquitto.port)
    yield listening
    listening.close()
