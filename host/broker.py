"""A broker for one machine: Mosquitto where it is installed, else a pure Python one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from host.ports import free_port

_READY_S = 10.0
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages 100000
message_size_limit 262144
set_tcp_nodelay true
{user}"""


class BrokerError(RuntimeError):
    """The broker did not start; the text says why."""


@dataclass(frozen=True)
class Broker:
    """A running broker.

    Attributes:
        name: `mosquitto` or `amqtt`.
        port: on the loopback address.
        mqtt_version: the newest it speaks, `5` or `3.1.1`.
    """

    name: str
    port: int
    mqtt_version: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it, at the latest after five seconds."""
        self.process.terminate()
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find_mosquitto() -> str | None:
    """Path of the Mosquitto broker; Debian puts it where an ordinary user's PATH does not look."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def start(
    folder: Path, *, embedded: bool = False, port: int | None = None, options: str = ""
) -> Broker:
    """Start a broker on the loopback address and wait until it takes connections.

    Args:
        folder: for its configuration, log and database.
        embedded: the pure Python one even where Mosquitto is installed.
        port: None: a free one.
        options: lines for Mosquitto's configuration, over those here.

    Raises:
        BrokerError: it ended at once or took no connection in time.
    """
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    mosquitto = None if embedded else find_mosquitto()
    if mosquitto:
        config = folder / "mosquitto.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(
            _MOSQUITTO.format(port=port, folder=folder, user=user) + options, encoding="utf-8"
        )
        command = [mosquitto, "-c", str(config)]
    else:
        command = [sys.executable, "-m", "host.broker", str(port)]
    log = folder / "broker.log"
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    name, version = ("mosquitto", "5") if mosquitto else ("amqtt", "3.1.1")
    broker = Broker(name, port, version, process)
    deadline_s = time.monotonic() + _READY_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise BrokerError(f"{name} ended at once: {lines[-1] if lines else 'no message'}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return broker
        time.sleep(0.05)
    broker.stop()
    raise BrokerError(f"{name} took no connection on port {port} within {_READY_S:.0f} s")


async def _serve(port: int) -> None:
    """The embedded broker, until SIGTERM."""
    from amqtt.broker import Broker as Amqtt
    from amqtt.contexts import BrokerConfig

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Amqtt(BrokerConfig.from_dict(config))
    await broker.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
