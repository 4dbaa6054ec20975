"""Whatever arrives on a topic is a message or a MessageError, and a message can be said again."""

from __future__ import annotations

from random import Random

from fuzz import tree

from contract import messages
from contract.messages import (
    Address,
    Alert,
    Body,
    Command,
    Evidence,
    Health,
    MessageError,
    OutboxHealth,
    PipelineHealth,
    Reading,
    Score,
    Sensor,
    Stamp,
    Status,
)

PREFIX = "vedette"
SHA256 = "ab" * 32
STAMP = Stamp(
    ts_ns=1_800_000_000 * 10**9, mono_ns=1, boot_id="b", seq=7, clock_synced=True, window=3
)
_OUTBOX = OutboxHealth(
    rows=1, bytes=2, max_bytes=3, oldest_s=0.5, sent=4, acknowledged=5, dropped={"health": 1}
)
_PIPELINE = PipelineHealth(
    workload="w",
    model_id="0123456789ab",
    engine="onnxruntime 1.23",
    state="watching",
    learned_windows=1,
    learn_windows=1,
    windows=9,
    windows_per_s=0.1,
    dropped={"stuck": 1},
    alerts=1,
    latency_ms={"stage": 0.5},
)
BODIES: tuple[Body, ...] = (
    Alert(
        workload="w",
        state="raised",
        label="x",
        score=2.0,
        threshold=1.0,
        hits=3,
        of=4,
        level="notice",
        text="New tone",
        severity="C",
        evidence=SHA256,
        visit="0123456789ab",
        who="Zoë",
    ),
    Sensor(workload="w", state="cleared", label="stuck", refused=3, lasted_s=1.5),
    Reading(workload="w", label="x", score=0.25),
    Score(workload="w", label="x", score=0.25, threshold=1.0),
    Health(version="1", uptime_s=1.0, pipelines={"p": _PIPELINE}, outbox=_OUTBOX),
    Status(state="online"),
    Command(name="ack", ids=["a" * 32, "b" * 32]),
    Evidence(sha256=SHA256, part=1, parts=3, content=b"PK\x03\x04"),
)
TOPICS = ("vedette/d1/p/alert", "vedette/command/p/alert", "vedette/d1/command/alert", "vedettex/d")


def seeds() -> list[bytes]:
    """One of each kind: the topic, a line break, the payload."""
    encoded = []
    for body in BODIES:
        pipeline = "p" if isinstance(body, Alert | Sensor | Reading | Score) else None
        encoded.append(messages.encode(body, Address(PREFIX, "d1", pipeline), STAMP))
    said = [(one.topic, one.payload) for one in encoded]
    said += [(one.topic, messages.replayed(one.payload)) for one in encoded[:1]]
    return [topic.encode() + b"\n" + payload for topic, payload in said]


def mutate(data: bytes, rng: Random) -> bytes | None:
    """Mostly the payload, sometimes the topic; None: leave it to others."""
    topic, _, payload = data.partition(b"\n")
    if rng.random() < 0.1:
        topic = rng.choice((topic, *(name.encode() for name in TOPICS)))
        return topic + rng.choice((b"", b"/", b"\0", b"+", b"\xff")) + b"\n" + payload
    payload_now = tree.changed(payload, rng)
    return None if payload_now is None else topic + b"\n" + payload_now


def one(data: bytes) -> None:
    """A message means the same when it is marked as a repeat, and when it is encoded again."""
    raw_topic, _, payload = data.partition(b"\n")
    topic = raw_topic.decode("utf-8", "replace")
    try:
        message = messages.decode(topic, payload, prefix=PREFIX)
    except MessageError:
        return
    again = messages.encode(message.body, message.address, message.stamp)
    assert again.topic.rpartition("/")[0] == topic.rpartition("/")[0], again.topic
    made = messages.decode(again.topic, again.payload, prefix=PREFIX)
    assert (made.body, made.stamp) == (message.body, message.stamp)
    marked = messages.decode(again.topic, messages.replayed(again.payload), prefix=PREFIX)
    assert marked.replayed
    assert (marked.body, marked.stamp, marked.id) == (made.body, made.stamp, made.id)
