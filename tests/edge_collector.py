"""A collector in miniature."""

from __future__ import annotations

import threading

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract import messages
from contract.messages import Address, Command, Message, MessageError, Stamp

PREFIX = "vedette"


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
