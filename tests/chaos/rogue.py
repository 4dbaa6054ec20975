"""A bridge gone wrong: it hears all alerts and says them again later, doubled and backwards."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections import deque
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

_REMEMBERED = 500


class Rogue:
    """Connected to the broker for as long as the run lasts."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "rogue", protocol=paho.MQTTv5)
        self._client.tls_set_context(context)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 2)
        self._client.connect_async("127.0.0.1", port, keepalive=10)
        self._client.loop_start()

    def repeat(self, seconds: float) -> int:
        """Say what was heard again, last first and each twice; how often the broker took one."""
        deadline_s = time.monotonic() + seconds
        said: list[paho.MQTTMessageInfo] = []
        with self._lock:
            heard = list(self._heard)
        for topic, payload in reversed(heard):
            if time.monotonic() > deadline_s:
                break
            said += [self._client.publish(topic, payload, qos=1) for _ in range(2)]
            time.sleep(seconds / _REMEMBERED)
        while time.monotonic() < deadline_s and not all(map(_is_taken, said)):
            time.sleep(0.05)
        return sum(map(_is_taken, said))

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        options = SubscribeOptions(qos=1, noLocal=True)
        client.subscribe("vedette/+/+/alert", options=options)

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        with self._lock:
            self._heard.append((message.topic, message.payload))


def _is_taken(message: paho.MQTTMessageInfo) -> bool:
    """Whether the broker has it; one that could only be queued says so by an error."""
    try:
        return message.is_published()
    except (ValueError, RuntimeError):
        return False


def steal_id(port: int, client_id: str, context: ssl.SSLContext, seconds: float) -> int:
    """Connect under somebody's client id until they are driven out; again when they are back.

    Returns:
        how often.
    """
    times = 0
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        client.tls_set_context(context)
        with contextlib.suppress(OSError):
            client.connect("127.0.0.1", port, keepalive=5)
            times += 1
            until_s = time.monotonic() + 0.3
            while time.monotonic() < until_s:
                client.loop(timeout=0.1)
            client.disconnect()
        time.sleep(0.3)
    return times
