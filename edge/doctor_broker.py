"""The broker as `vedette doctor` finds it: reached, believed, let in, allowed to write."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from contract.messages import Address
from contract.tls import Context
from edge import tls
from edge.config import DeviceConfig, Mqtt
from edge.errors import ConfigError
from edge.finding import Finding

_ANSWER_S = 5.0
_PROBE = "doctor"  # a kind that nobody stores


def look(device: DeviceConfig, *, service: int | None) -> Iterator[Finding]:
    """TCP, then TLS, then MQTT, as far as it goes.

    While the service runs we do not connect as it: a broker has one session for a name, and would
    announce it to be offline. Its own connection is looked at instead.

    Args:
        device: the config.
        service: process that has the outbox open; None: none.
    """
    mqtt, name = device.mqtt, device.device.name
    try:
        context = tls.context(mqtt, name)
        password = tls.read_password(mqtt)
    except ConfigError:
        return  # `check` has told
    begun_s = time.monotonic()
    try:
        with socket.create_connection((mqtt.host, mqtt.port), _ANSWER_S) as raw:
            took_s = _shake_hands(raw, context, mqtt.host) - begun_s
    except OSError as error:
        yield _unreachable(mqtt, context, error)
        return
    how = "TLS and certificate accepted" if context else "not encrypted"
    yield Finding("broker", f"{mqtt.host}:{mqtt.port} answers in {took_s * 1e3:.0f} ms, {how}")
    if service is None:
        yield from _mqtt(mqtt, name, context, password)
    elif (is_connected := _has_connection(service, mqtt.port)) is not None:
        yield _of_service(service, is_connected=is_connected)


def _shake_hands(raw: socket.socket, context: Context | None, host: str) -> float:
    """When it was done. The broker refuses a certificate only after that, so we listen on."""
    if context is None:
        return time.monotonic()
    with context.wrap_socket(raw, server_hostname=host) as wrapped:
        done_s = time.monotonic()
        wrapped.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            wrapped.recv(1)
    return done_s


def _unreachable(mqtt: Mqtt, context: Context | None, error: OSError) -> Finding:
    text, _, fix = ((context and context.refusal) or str(error)).partition("; fix: ")
    where = f"{mqtt.host}:{mqtt.port}"
    if not fix:
        fix = "start the broker, or mqtt.host and mqtt.port"
        if isinstance(error, ssl.SSLError):
            fix = "mqtt.tls and mqtt.port: this does not look like TLS there"
    return Finding("broker", f"{where}: {text}", "fail", fix)


def _of_service(pid: int, *, is_connected: bool) -> Finding:
    if is_connected:
        return Finding("mqtt session", f"the service (process {pid}) is connected")
    text = f"the service (process {pid}) is not connected"
    return Finding("mqtt session", text, "fail", "see its log: journalctl -u vedette-edge@NAME")


def _has_connection(pid: int, port: int) -> bool | None:
    """Whether a process has a TCP connection to a port; None: we may not know."""
    try:
        links = [link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir()]
        tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return None
    established = {
        f"socket:[{cells[9]}]"
        for table in tables
        for cells in map(str.split, table.splitlines()[1:])
        if cells[3] == "01" and int(cells[2].rpartition(":")[2], 16) == port
    }
    return any(link in established for link in links)


def _mqtt(
    mqtt: Mqtt, name: str, context: Context | None, password: str | None
) -> Iterator[Finding]:
    """CONNECT, SUBSCRIBE to the own commands, PUBLISH where nobody listens."""
    heard: dict[str, ReasonCode] = {}
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{mqtt.prefix}-{name}",
        protocol=paho.MQTTv5 if mqtt.version == "5" else paho.MQTTv311,
    )
    if mqtt.username:
        client.username_pw_set(mqtt.username, password)
    if context:
        client.tls_set_context(context)
    client.on_connect = lambda _c, _u, _f, reason, _p: heard.update(connect=reason)
    client.on_subscribe = lambda _c, _u, _m, reasons, _p: heard.update(subscribe=reasons[0])
    client.on_publish = lambda _c, _u, _m, reason, _p: heard.update(publish=reason)
    address = Address(mqtt.prefix, name)
    steps: dict[str, Callable[[], object]] = {
        "connect": lambda: client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s),
        "subscribe": lambda: client.subscribe(address.topic("command", "#"), qos=1),
        "publish": lambda: client.publish(address.topic(_PROBE), b"", qos=1),
    }
    try:
        for step, begin in steps.items():
            begin()
            _wait(client, step, heard)
            if step not in heard or heard[step].is_failure:
                yield _refused(mqtt, step, heard.get(step))
                return
    except (OSError, ValueError) as error:
        yield _unreachable(mqtt, context, OSError(str(error)))
        return
    finally:
        client.disconnect()
        if (sock := client.socket()) is not None:
            sock.close()
    text = f"accepted as {name!r}, may write below {mqtt.prefix}/{name}/"
    if mqtt.version != "5":
        text += "; MQTT 3.1.1 would not tell if it may not"
    yield Finding("mqtt session", text)


def _wait(client: paho.Client, step: str, heard: Mapping[str, object]) -> None:
    deadline_s = time.monotonic() + _ANSWER_S
    while step not in heard and time.monotonic() < deadline_s:
        if client.loop(timeout=0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return


def _refused(mqtt: Mqtt, step: str, reason: ReasonCode | None) -> Finding:
    fixes = {
        "connect": "mqtt.username and password_file, or the device's certificate",
        "subscribe": "the broker's access list: read PREFIX/DEVICE/command/#",
        "publish": "the broker's access list: write PREFIX/DEVICE/#",
    }
    if reason is None and step == "connect" and mqtt.version == "5":
        fixes["connect"] = "mqtt.version = '3.1.1', if this broker knows no MQTT 5"
    return Finding("mqtt session", f"{step}: {reason or 'no answer'}", "fail", fixes[step])
