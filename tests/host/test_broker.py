"""The broker of the demo and the tests: started, ready, stopped; its failures are named."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from host import broker
from host.ports import free_port


def test_the_embedded_broker_is_ready_when_start_returns(tmp_path: Path):
    """No sleeping in whoever uses it."""
    started = broker.start(tmp_path, embedded=True)
    try:
        assert (started.name, started.mqtt_version) == ("amqtt", "3.1.1")
        socket.create_connection(("127.0.0.1", started.port), 1.0).close()
    finally:
        started.stop()
    assert started.process.returncode is not None


def test_a_port_in_use_is_told_at_once(tmp_path: Path):
    """The log's last words are in the message."""
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        with pytest.raises(broker.BrokerError, match="amqtt"):
            broker.start(tmp_path, embedded=True, port=port)


@pytest.mark.broker
def test_mosquitto_is_taken_where_it_is_installed(tmp_path: Path):
    """With MQTT 5."""
    if broker.find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    started = broker.start(tmp_path)
    started.stop()
    assert (started.name, started.mqtt_version) == ("mosquitto", "5")
