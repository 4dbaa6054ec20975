"""A site made by `vedette site`, its Mosquitto, and clients with its certificates."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from real_broker import until

from collector import site
from contract import tls
from contract.tls import Setting
from edge.config import Mqtt
from host import broker
from host.ports import free_port


class Client:
    """Connects with a certificate and notes what happens to it."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        *,
        client_id: str,
        version: str = "5",
        hears: str | None = None,
    ) -> None:
        protocol = paho.MQTTv5 if version == "5" else paho.MQTTv311
        self.paho = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol)
        self.events: list[str] = []
        self.published: dict[int, str] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.is_ready = False
        self.hears = hears
        self.paho.tls_set_context(context)
        self.paho.on_connect = self._on_connect
        self.paho.on_subscribe = self._on_subscribe
        self.paho.on_disconnect = lambda *a: self.events.append(f"lost: {a[3]}")
        self.paho.on_publish = self._on_publish
        self.paho.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload)))
        self.paho.connect("localhost", port)
        self.paho.loop_start()
        until(lambda: self.is_ready, within_s=5)

    def _on_connect(self, client, _userdata, _flags, reason, _properties) -> None:
        self.events.append(f"connected: {reason}")
        if self.hears:
            client.subscribe(self.hears, qos=1)
        else:
            self.is_ready = True

    def _on_publish(self, _client, _userdata, mid, reason, _properties) -> None:
        # `No matching subscribers` is no failure
        self.published[mid] = str(reason) if reason.is_failure else "Success"

    def _on_subscribe(self, *_: object) -> None:
        self.is_ready = True

    def say(self, topic: str, payload: bytes | str = "x") -> str:
        """What the broker answers to a publish at QoS 1."""
        mid = self.paho.publish(topic, payload, qos=1).mid
        return until(lambda: self.published.get(mid), within_s=5)

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


class SecuredSite:
    """`vedette site` in a folder of its own, with the broker run from there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "plant"
        self.port = free_port()
        self.broker: subprocess.Popen[bytes] | None = None
        self.clients: list[Client] = []
        names = ["--broker", "localhost,127.0.0.1", "--port", str(self.port)]
        assert self.run("init", str(self.folder), *names, "--in-place") == 0

    def run(self, command: str, *arguments: str) -> int:
        where = [] if command == "init" else ["--site", str(self.folder)]
        return site.main("site", [command, *where, *arguments])

    def start(self) -> None:
        program = broker.find_mosquitto()
        if program is None:
            pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
        config = self.folder / "broker" / "mosquitto.conf"
        if os.geteuid() == 0:  # or it would become another user, who may not read this folder
            text = config.read_text()
            config = self.folder / "broker" / "as-root.conf"
            config.write_text(text + "user root\n")
        with (self.folder / "broker.log").open("ab") as log:
            self.broker = subprocess.Popen([program, "-c", str(config)], stderr=log)
        until(self._answers)

    def _answers(self) -> bool:
        assert self.broker is not None
        assert self.broker.poll() is None, (self.folder / "broker.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def reload(self) -> None:
        """As `systemctl reload mosquitto` does."""
        log = self.folder / "broker.log"
        before = log.read_text().count("Reloading config")
        self.broker.send_signal(signal.SIGHUP)
        until(lambda: log.read_text().count("Reloading config") > before)
        time.sleep(0.1)

    def context(self, name: str | None) -> tls.Context:
        """Of a client with the certificate of `name`, or with none."""
        ca = self.folder / "ca" / "cert.pem"
        if name is None:
            return tls.make_context(Setting("ca", ca), None, None)
        cert, key = self.folder / name / "cert.pem", self.folder / name / "key.pem"
        return tls.make_context(Setting("ca", ca), Setting("cert", cert), Setting("key", key))

    def client(self, name: str, **options: str) -> Client:
        made = Client(self.port, self.context(name), **{"client_id": name, **options})
        self.clients.append(made)
        return made

    def mqtt(self, name: str, **changes: object) -> Mqtt:
        """The device's table, with paths instead of names."""
        own = self.folder / name
        files = {f"{key}_file": str(own / f"{key}.pem") for key in ("ca", "cert", "key")}
        return Mqtt(**{"host": "localhost", "port": self.port, "resend_s": 0.3, **files, **changes})

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        if self.broker:
            self.broker.terminate()
            self.broker.wait(10)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[SecuredSite]:
    """Two devices, a collector and a viewer; the broker runs."""
    made = SecuredSite(tmp_path)
    made.run("add", "press-1", "press-2")
    made.run("add", "central", "--role", "collector")
    made.run("add", "kitchen", "--role", "viewer")
    made.start()
    yield made
    made.stop()
