"""From the broker into the store, and only then the acknowledgements: to device and broker.

Two threads meet at one bounded queue. paho's network thread runs the `on_...` callbacks, which do
nothing but note and enqueue; the writer thread runs `run`, which stores and acknowledges.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from collector import dating
from collector.store import REJECTED_PAYLOAD_BYTES, Received, Rejected, StoreError
from contract import messages
from contract.messages import Address, Command, Evidence, Message, MessageError, Stamp

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from collector.store import Added, Store

_LOG = logging.getLogger("vedette.collect")

# What may wait for the writer, and what of it may be scores (QoS 0). What is left is as many as the
# broker may have under way (`broker.RECEIVE_MAXIMUM`), so a flood of scores never makes alerts wait
# or blocks the network thread. Times the largest payload, it is the most memory a flood can take.
QUEUE_MESSAGES = 1_000
QUEUE_SCORES = 500
# At most this many rows share a commit; a batch is what has arrived, nothing is waited for.
BATCH_MESSAGES = 500
BATCH_BYTES = 4 * 1024 * 1024  # decoded, a payload takes several times its size
# Ids in one acknowledgement: keeps it far below the payload limit, however long the ids are.
ACK_IDS = 200
_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0
_POLL_S = 0.2


class Client(Protocol):
    """What is asked of `paho.mqtt.client.Client`."""

    def subscribe(self, topic: list[tuple[str, int]]) -> Any: ...  # noqa: D102
    def publish(self, topic: str, payload: bytes, qos: int) -> Any: ...  # noqa: D102
    def ack(self, mid: int, qos: int) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class _Arrival:
    """One MQTT message as it came, with the connection it came over."""

    topic: str
    payload: bytes  # of one that is too large: its beginning
    size_bytes: int
    received_ns: int
    mid: int
    qos: int
    connection: int


class Ingest:
    """Stores what the broker delivers and acknowledges it.

    Args:
        client: connected by the caller; its callbacks are to be set to the `on_...` methods.
        store: written to by `run` alone.
        prefix: first part of all topics.
        share: name of the group of collectors among which the broker divides the messages.
        observe: called after each commit with its duration in seconds and what has become of it.
        take_evidence: called with each part of evidence; those are not stored with the rest.
        refusal: why TLS with the broker did not come about, or None.
        now_ns: the wall clock, nanoseconds since 1970.

    Attributes:
        broker_trouble: why nothing can arrive at present, or None.
        store_trouble: why nothing can be stored at present, or None.
        scores_dropped: scores that found too many waiting.
    """

    def __init__(
        self,
        client: Client,
        store: Store,
        *,
        prefix: str,
        share: str | None = None,
        observe: Callable[[float, Added], None],
        take_evidence: Callable[[Message], None] = lambda _: None,
        refusal: Callable[[], str | None] = lambda: None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.broker_trouble: str | None = (
            "not connected yet; a broker that knows no MQTT 5 never answers: --mqtt-version 3.1.1"
        )
        self.store_trouble: str | None = None
        self.scores_dropped = 0
        self._client = client
        self._store = store
        self._prefix = prefix
        self._observe = observe
        self._take_evidence = take_evidence
        self._refusal = refusal
        self._now_ns = now_ns
        self._queue: queue.Queue[_Arrival] = queue.Queue(QUEUE_MESSAGES)
        self._connection = 0
        self._stopping = False
        self._filters = _filters(prefix, share)
        self._seq = itertools.count()

    @property
    def queued(self) -> int:
        """Messages waiting for the writer."""
        return self._queue.qsize()

    # -- paho's network thread ---------------------------------------------------------------------

    def on_connect(self, client: Client, _: object, __: object, reason: Any, ___: object) -> None:
        """Subscribe, on every connect: the broker may have lost the session."""
        if reason.is_failure:
            self._trouble(f"the broker refused the connection: {reason}")
            return
        client.subscribe([(topic, 1) for topic in self._filters])

    def on_subscribe(self, _: Client, __: object, ___: int, reasons: Any, ____: object) -> None:
        """Note whether everything asked for was granted."""
        refused = [
            f"{topic} ({reason})"
            for topic, reason in zip(self._filters, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._trouble(f"the broker refused to deliver {', '.join(refused)}")
        else:
            self.broker_trouble = None
            _LOG.info("connected to the broker, subscribed below %s/", self._prefix)

    def on_disconnect(self, _: Client, __: object, ___: object, reason: Any, ____: object) -> None:
        """Forget the connection: what came over it can no longer be acknowledged to the broker."""
        self._connection += 1
        self._trouble(f"connection to the broker lost: {self._refusal() or reason}")

    def on_connect_fail(self, _: Client, __: object) -> None:
        """Note that no broker answered."""
        self._trouble(self._refusal() or "no broker answers at the address; trying again")

    def on_message(self, _: Client, __: object, message: Any) -> None:
        """Enqueue one message; when the queue is full a score is dropped, anything else waits."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        payload, size_bytes = message.payload, len(message.payload)
        if size_bytes > messages.MAX_PAYLOAD_BYTES:  # no more of it than will be kept
            payload = payload[:REJECTED_PAYLOAD_BYTES]
        arrival = _Arrival(
            *(topic, payload, size_bytes, self._now_ns()),
            *(message.mid, message.qos, self._connection),
        )
        if message.qos == 0 and self.queued >= QUEUE_SCORES:
            self.scores_dropped += 1
            return
        while not self._stopping:
            with contextlib.suppress(queue.Full):
                self._queue.put(arrival, timeout=_POLL_S)
                return

    def _trouble(self, why: str) -> None:
        if not self._stopping:
            _LOG.warning("%s", why)
        self.broker_trouble = why

    # -- the writer thread -------------------------------------------------------------------------

    def run(self, stopping: threading.Event) -> None:
        """Store and acknowledge until `stopping`; what is left over is delivered again."""
        while not stopping.is_set():
            if batch := self._next_batch():
                self._settle(batch, stopping)
        self._stopping = True

    def _next_batch(self) -> list[_Arrival]:
        batch: list[_Arrival] = []
        try:
            batch.append(self._queue.get(timeout=_POLL_S))
            size_bytes = len(batch[0].payload)
            while len(batch) < BATCH_MESSAGES and size_bytes < BATCH_BYTES:
                batch.append(self._queue.get_nowait())
                size_bytes += len(batch[-1].payload)
        except queue.Empty:
            pass
        return batch

    def _settle(self, batch: list[_Arrival], stopping: threading.Event) -> None:
        """Commit a batch, however often the store fails; then acknowledge it."""
        read = [self._read(arrival) for arrival in batch]
        received = []
        for each in read:
            if isinstance(each, Received) and isinstance(each.message.body, Evidence):
                self._take_evidence(each.message)
            elif isinstance(each, Received):
                received.append(each)
        rejected = [each for each in read if isinstance(each, Rejected)]
        wait_s = _RETRY_FIRST_S
        while True:
            began_s = time.perf_counter()
            try:
                added = self._store.add(received, rejected)
            except StoreError as error:
                self.store_trouble = str(error)
                _LOG.error("nothing is stored or acknowledged: %s", error)
                if stopping.wait(wait_s):
                    return
                wait_s = min(2 * wait_s, _RETRY_MOST_S)
            else:
                commit_s = time.perf_counter() - began_s
                break
        self.store_trouble = None
        self._acknowledge(zip(batch, read, strict=True), {id(each) for each in added.refused})
        self._observe(commit_s, added)

    def _read(self, arrival: _Arrival) -> Received | Rejected:
        why = "a command is for a device"
        try:
            if arrival.size_bytes > messages.MAX_PAYLOAD_BYTES:
                most = messages.MAX_PAYLOAD_BYTES
                raise MessageError(f"payload of {arrival.size_bytes} bytes; at most {most}")
            message = messages.decode(arrival.topic, arrival.payload, prefix=self._prefix)
            # PREFIX/DEVICE/command/alert matches the filter for alerts of a pipeline `command`.
            if not isinstance(message.body, Command):
                return Received(message, arrival.received_ns)
        except MessageError as error:
            why = str(error)
        return Rejected(
            arrival.topic, why, arrival.payload, arrival.size_bytes, arrival.received_ns
        )

    def _acknowledge(
        self, settled: Iterable[tuple[_Arrival, Received | Rejected]], refused: set[int]
    ) -> None:
        """To the devices what they keep until they hear of it, then to the broker everything.

        A device is told only of what is stored: what was refused it keeps, gives up and reports.

        In this order: killed in between, we get the messages again from the broker and tell again.
        Only over the connection they came by: packet numbers belong to it, and over a later one the
        same number may name a message that is not stored. The broker redelivers what it misses.
        """
        current = [(each, read) for each, read in settled if each.connection == self._connection]
        by_device: defaultdict[str, list[str]] = defaultdict(list)
        for _, read in current:
            if (
                isinstance(read, Received)
                and read.message.kind in messages.STORED_KINDS
                and id(read) not in refused
            ):
                by_device[read.message.address.device].append(read.message.id)
        for device, ids in by_device.items():
            for start in range(0, len(ids), ACK_IDS):
                self.tell(device, Command(name="ack", ids=ids[start : start + ACK_IDS]))
        for arrival, _ in current:
            if arrival.qos:
                self._client.ack(arrival.mid, arrival.qos)

    def tell(self, device: str, command: Command) -> None:
        """Send a device a command. Called from any thread."""
        stamp = Stamp(
            ts_ns=self._now_ns(),
            mono_ns=time.monotonic_ns(),
            boot_id=dating.our_boot_id(),
            seq=next(self._seq),
            clock_synced=True,  # the clock the others are compared with
        )
        address = Address(self._prefix, device)
        encoded = messages.encode(command, address, stamp)
        self._client.publish(encoded.topic, encoded.payload, 1)


def _filters(prefix: str, share: str | None) -> tuple[str, ...]:
    """What to subscribe to.

    A status is for each of a group, because nothing shared is retained; so is evidence, because it
    must reach the one that has asked.
    """
    every = messages.subscriptions(prefix)
    if share is None:
        return every
    return tuple(
        topic if topic.endswith(("/status", "/evidence/+")) else f"$share/{share}/{topic}"
        for topic in every
    )
