"""A real Mosquitto and a collector in miniature."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract import messages
from contract.messages import Address, Command, Message, MessageError, Stamp

PREFIX = "vedette"


def until(condition: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """The first true value of `condition`."""
    deadline_s = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {within_s} s"
        time.sleep(0.02)
    return value


class Mosquitto:
    """A broker on a port of its own that can be ended and started again."""

    def __init__(self, folder: Path, program: str, port: int) -> None:
        self.host, self.port = "127.0.0.1", port
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        user = "user root\n" if os.geteuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\n{user}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True


class Collector:
    """Keeps what arrives and acknowledges it, unless told not to."""

    def __init__(self, host: str, port: int, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.got: list[Message] = []
        self.malformed: list[str] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/#", qos=1)
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(host, port)
        self._client.loop_start()
        assert ready.wait(10)

    def ids(self, kind: str) -> list[str]:
        return [message.id for message in list(self.got) if message.kind == kind]

    def states(self) -> list[str]:
        return [m.body.state for m in list(self.got) if m.kind == "status"]

    def acknowledge(self, *ids: str, device: str = "d1") -> None:
        stamp = Stamp(ts_ns=0, mono_ns=0, boot_id="c", seq=0, clock_synced=True)
        command = Command(name="ack", ids=list(ids))
        sent = messages.encode(command, Address(PREFIX, device), stamp)
        self._client.publish(sent.topic, sent.payload, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        try:
            got = messages.decode(message.topic, bytes(message.payload), prefix=PREFIX)
        except MessageError as error:
            self.malformed.append(str(error))
            return
        if got.kind == "command":
            return
        self.got.append(got)
        if self.acknowledges and got.kind in messages.STORED_KINDS:
            self.acknowledge(got.id, device=got.address.device)


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: int) -> Iterator[Mosquitto]:
    """A real broker, started."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    broker = Mosquitto(tmp_path, program, free_port)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def collector(mosquitto: Mosquitto) -> Iterator[Collector]:
    """Listens to the broker above."""
    listening = Collector(mosquitto.host, mosquitto.port)
    yield listening
    listening.close()
