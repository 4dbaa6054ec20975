"""Outbox to broker, one thread. A row is sent until the collector says that it is stored."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import random
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from contract import messages
from contract.messages import (
    Address,
    Command,
    Encoded,
    MessageError,
    OutboxHealth,
    Review,
    Status,
)
from contract.tls import expiry_warning
from edge import tls
from edge.answers import Answers
from edge.clock import Clock
from edge.config import Mqtt
from edge.in_flight import InFlight
from edge.journal import Row
from edge.outbox import Outbox
from edge.queue import Queue

log = logging.getLogger(__name__)

_MAX_BACKOFF_S = 60.0
_ANNOUNCED_AT_ONCE = 64
_UNANSWERED = 512
_SILENT_S = 1.0  # without an acknowledgement, before those who listen alone are told
_MAX_SCORES = 1024
_GOODBYE_S = 1.0
_TURN_S = 0.5  # of the loop, when nothing happens
_ANSWER_S = 10.0  # from CONNECT to the broker's word


class Publisher:
    """Drains the outbox into the broker; `run` is the body of its thread.

    Attributes:
        is_connected: whether the broker has accepted us.
        progress_ns: monotonic time of the last turn of the loop.
        refused: publishes the broker answered with a failure code (MQTT 5).
        scores_dropped: scores not sent because the broker was away.
    """

    def __init__(
        self,
        config: Mqtt,
        device: str,
        outbox: Outbox | Queue,
        clock: Clock,
        *,
        read_evidence: Callable[[str], bytes | None] = lambda _: None,
        review: Callable[[Review], None] = lambda _: None,
    ) -> None:
        """Reads password, key and certificates now, so that a bad one is known at the start.

        Args:
            config: the `[mqtt]` table.
            device: its name.
            outbox: what is to be sent.
            clock: stamps the status.
            read_evidence: bytes of a file by their SHA-256; None: not there.
            review: takes what a person says of a part.

        Raises:
            ConfigError: one of them cannot be used.
        """
        self._config = config
        self._address = Address(config.prefix, device)
        self._outbox = outbox
        self._clock = clock
        self._password = tls.read_password(config)
        self._tls = tls.context(config, device)
        self._certificate = tls.certificate(config)
        self._scores: deque[Encoded] = deque()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._acknowledged: list[str] = []
        self._in_flight = InFlight(resend_s=config.resend_s)
        self._answers = Answers(read_evidence)
        self._review = review
        self._id_of: dict[int, str] = {}  # by packet number, until the broker has answered
        self._newest = 0  # the highest number sent
        self._announced: set[int] = set()  # sent once beside the books
        self._finished_s = time.monotonic()  # when the collector last acknowledged
        self._old_seq = 0  # rows up to it were put before this connection was made
        self.is_connected = False
        self.progress_ns = time.monotonic_ns()
        self.refused = 0
        self.scores_dropped = 0

    def wake(self) -> None:
        """There is something new in the outbox. Called from any thread."""
        with contextlib.suppress(BlockingIOError):  # the last ones are unread, so it is awake
            self._wake_in.send(b"x")

    def send_score(self, score: Encoded) -> None:
        """Send at QoS 0 when connected, else drop and count. Called from any thread."""
        if not self.is_connected or len(self._scores) >= _MAX_SCORES:
            self.scores_dropped += 1
            return
        self._scores.append(score)
        self.wake()

    def close(self) -> None:
        """Release what wakes `run`, once it has returned."""
        self._wake_in.close()
        self._wake_out.close()

    def health(self) -> OutboxHealth:
        """What waits and what was refused, for `Health`."""
        return msgspec.structs.replace(
            self._outbox.health(), refused=self.refused, scores_dropped=self.scores_dropped
        )

    def run(self, stop: threading.Event) -> None:
        """Connect, drain, and begin again with growing, jittered pauses, until told to stop."""
        pause_s = 0.5
        while not stop.is_set():
            self.progress_ns = time.monotonic_ns()
            client = self._new_client()
            if self._tls:
                self._tls.refusal = None
            try:
                mqtt = self._config
                # a CONNECT that cannot be written raises nothing: the broker has hung up at once
                if bad := client.connect(mqtt.host, mqtt.port, mqtt.keepalive_s):
                    raise ConnectionError(paho.error_string(bad) + self._version_hint())
                self._serve(client, stop)
            except (OSError, ValueError) as error:
                why = (self._tls and self._tls.refusal) or error
                log.warning("broker %s:%d: %s", self._config.host, self._config.port, why)
            finally:
                if (sock := client.socket()) is not None:
                    sock.close()  # the client itself only closes what the other side has ended
                self._bury(self._in_flight.disconnected(time.monotonic()))
                self._answers.forget()
            if self.is_connected:
                pause_s = 0.5
            self.is_connected = False
            pause_s = min(pause_s * 2, _MAX_BACKOFF_S)
            deadline_s = time.monotonic() + pause_s * random.uniform(0.5, 1.0)  # noqa: S311
            while not stop.is_set() and time.monotonic() < deadline_s:
                self.progress_ns = time.monotonic_ns()
                stop.wait(min(1.0, max(deadline_s - time.monotonic(), 0.0)))

    def _serve(self, client: paho.Client, stop: threading.Event) -> None:
        """One connection, from CONNECT until it breaks or we stop."""
        deadline_s = time.monotonic() + _ANSWER_S
        while (sock := client.socket()) is not None:
            writers = [sock] if client.want_write() else []
            # what TLS has decrypted already is no longer on the socket, where select would see it
            is_pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            wait_s = 0.0 if is_pending else self._wait_s()
            readable, writable, _ = select.select([sock, self._wake_out], writers, [], wait_s)
            if self._wake_out in readable:
                self._wake_out.recv(4096)
            is_due = is_pending or sock in readable
            results = [client.loop_read() if is_due else MQTTErrorCode.MQTT_ERR_SUCCESS]
            results += [client.loop_write()] if writable else []
            results += [client.loop_misc()]
            if bad := [result for result in results if result]:
                raise ConnectionError(paho.error_string(bad[0]) + self._version_hint())
            if not self.is_connected and time.monotonic() > deadline_s:
                raise TimeoutError(f"no answer for {_ANSWER_S:.0f} s." + self._version_hint())
            self.progress_ns = time.monotonic_ns()
            if self._acknowledged:
                self._finish()
            if self.is_connected:
                self._drain(client)
                if stop.is_set():
                    self._say_goodbye(client)
                    return
            elif stop.is_set():
                return

    def _wait_s(self) -> float:
        """Until there may be something to do of our own; the broker's answer wakes us as well."""
        now_s = time.monotonic()
        return _TURN_S if self._id_of else self._answers.wait_s(now_s, most=_TURN_S)

    def _version_hint(self) -> str:
        """Brokers that know no MQTT 5 hang up without a word, or say nothing at all."""
        if self.is_connected or self._config.version != "5":
            return ""
        return " If this broker knows no MQTT 5, fix: mqtt.version = '3.1.1'"

    def _finish(self) -> None:
        """Delete what the collector has stored."""
        ids, self._acknowledged = self._acknowledged, []
        if ids:
            self._finished_s = time.monotonic()
        self._outbox.done(self._in_flight.acknowledged(ids))

    def _drain(self, client: paho.Client) -> None:
        """Send what is new, and again what has waited too long for its acknowledgement."""
        again, poison = self._in_flight.overdue(time.monotonic())
        self._bury(poison)
        for seq in again:
            for row in self._outbox.waiting(after=seq - 1, limit=1):
                if row.seq == seq:
                    self._send(client, row, is_old=True)
        if not self._in_flight.room:
            self._announce(client)
        else:
            rows = self._outbox.waiting(after=0, limit=self._in_flight.look_at)
            by_seq = {row.seq: row for row in rows}
            for seq in self._in_flight.choose((row.seq, row.id) for row in rows):
                is_old = seq <= self._old_seq or seq in self._announced
                self._send(client, by_seq[seq], is_old=is_old)
        while self._scores:
            score = self._scores.popleft()
            client.publish(score.topic, score.payload, qos=0)
        self._answer(client)

    def _answer(self, client: paho.Client) -> None:
        """Send a part of what was asked for, once the broker has everything that goes before it."""
        if self._id_of:
            return
        if part := self._answers.next(time.monotonic()):
            encoded = messages.encode(part, self._address, self._clock.unordered())
            sent = client.publish(encoded.topic, encoded.payload, qos=1)
            self._id_of[sent.mid] = f"evidence {part.sha256}"

    def _announce(self, client: paho.Client) -> None:
        """Send new rows once, for those who listen to the broker alone, while nobody acknowledges.

        They are not in the books: their turn comes when others are acknowledged.
        """
        if len(self._id_of) > _UNANSWERED:  # the broker is stuck as well
            return
        if time.monotonic() - self._finished_s < _SILENT_S:  # their turn will come at once
            return
        for row in self._outbox.waiting(after=self._newest, limit=_ANNOUNCED_AT_ONCE):
            self._id_of[client.publish(row.topic, row.payload, qos=1).mid] = row.id
            self._newest = row.seq
            self._announced.add(row.seq)
            self._outbox.sent += 1

    def _send(self, client: paho.Client, row: Row, *, is_old: bool) -> None:
        payload = messages.replayed(row.payload) if is_old else row.payload
        sent = client.publish(row.topic, payload, qos=1)
        self._id_of[sent.mid] = row.id
        self._in_flight.sent(row.seq, row.id, time.monotonic())
        self._newest = max(self._newest, row.seq)
        self._announced.discard(row.seq)
        self._outbox.sent += 1

    def _bury(self, poison: dict[int, str]) -> None:
        for seq, reason in poison.items():
            log.error("message %d is put aside: %s", seq, reason)
            self._outbox.bury(seq, reason)

    def _say_goodbye(self, client: paho.Client) -> None:
        """A clean stop is announced, so that nobody takes it for a failure."""
        said = client.publish(*self._status("stopped"), qos=1, retain=True)
        if said.rc:  # the connection has just broken; `is_published` would raise
            return
        deadline_s = time.monotonic() + _GOODBYE_S
        while not said.is_published() and time.monotonic() < deadline_s:
            if client.loop(timeout=0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
        client.disconnect()

    def _status(self, state: str) -> tuple[str, bytes]:
        status = Status(state=state)  # type: ignore[arg-type]
        encoded = messages.encode(status, self._address, self._clock.unordered())
        return encoded.topic, encoded.payload

    def _new_client(self) -> paho.Client:
        """A fresh client per connection: nothing of the last one is in its queues."""
        is_v5 = self._config.version == "5"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._config.prefix}-{self._address.device}",
            protocol=paho.MQTTv5 if is_v5 else paho.MQTTv311,
        )
        client.max_inflight_messages_set(self._in_flight.look_at)
        if self._config.username:
            client.username_pw_set(self._config.username, self._password)
        if self._tls:
            client.tls_set_context(self._tls)
        client.will_set(*self._status("offline"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        self._id_of.clear()
        return client

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            hint = ""
            if reason == "Unsupported protocol version":
                hint = "; fix: mqtt.version = '3.1.1'"
            log.warning("broker refused the connection: %s%s", reason, hint)
            return
        client.subscribe(self._address.topic("command", "#"), qos=1)
        client.publish(*self._status("online"), qos=1, retain=True)
        self._old_seq = self._outbox.last_seq
        self._newest = max(self._newest, self._old_seq)
        self._announced.clear()  # they are old news now
        self.is_connected = True
        log.info("connected to %s:%d", self._config.host, self._config.port)
        if self._certificate:
            now = dt.datetime.now(dt.UTC)
            if warning := expiry_warning(self._certificate, now, within_days=tls.WARN_DAYS):
                log.warning("%s", warning)

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        try:
            payload = bytes(message.payload)
            command = messages.decode(message.topic, payload, prefix=self._config.prefix)
        except MessageError as error:
            log.warning("command on %s passed over: %s", message.topic, error)
            return
        match command.body:
            case Command(name="ack", ids=ids):
                self._acknowledged += ids
            case Command(name="evidence", ids=ids):
                self._answers.ask(ids)
            case Command(name="review", reviews=reviews):
                for said in reviews:
                    self._review(said)

    def _on_publish(
        self,
        _client: paho.Client,
        _userdata: object,
        mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        message_id = self._id_of.pop(mid, "")
        if reason.is_failure:
            self.refused += 1
            log.warning("broker refuses messages: %s, such as %s", reason, message_id)
            self._in_flight.answered(message_id, f"refused by the broker: {reason}")
        else:
            self._in_flight.answered(message_id)
