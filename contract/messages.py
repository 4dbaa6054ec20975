"""Messages, their topics and their bytes, the same for who sends and who stores.

A payload is a CloudEvents 1.0 event in structured JSON mode. Its `data` is flat: the stamp (when,
which boot, which place in the order) beside the body. `docs/mqtt.md` shows every field; the JSON
Schema and the AsyncAPI file are written from these structs by `contract.schema`.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_PAYLOAD_BYTES = 128 * 1024
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESERVED = ("result",)  # beside the kinds
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_NS = 2**63 - 1

Name = Annotated[str, Meta(pattern=f"^{NAME.pattern}$", max_length=63)]
Nanoseconds = Annotated[int, Meta(ge=0, le=_MAX_NS)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Text = Annotated[str, Meta(max_length=256)]
Digest = Annotated[str, Meta(pattern=f"^{_DIGEST.pattern}$")]
Verdict = Literal["good", "defect"]


class MessageError(ValueError):
    """A topic or payload that is not one of ours; the text says why."""


# Unknown fields are ignored in all of these, so that a newer sender is heard.


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """When a message was made and where it stands in the order of its boot."""

    ts_ns: Annotated[
        Nanoseconds,
        Meta(description="wall clock, ns since 1970; of a window: when it was complete"),
    ]
    mono_ns: Annotated[
        Nanoseconds, Meta(description="monotonic clock of this boot at the same moment, ns")
    ]
    boot_id: Annotated[Text, Meta(description="the kernel's boot id")]
    seq: Annotated[
        Count,
        Meta(description="rises by one with every stored message of a device, also over restarts"),
    ]
    clock_synced: Annotated[bool, Meta(description="whether the wall clock can be believed")]
    window: Annotated[
        Count | None, Meta(description="number of the window in its source; null: about the device")
    ] = None


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state: raised when a machine leaves its normal state, cleared when it is back."""

    workload: Annotated[Text, Meta(description="what was watching")]
    state: Literal["raised", "cleared"]
    label: Annotated[Text, Meta(description="what was noticed")]
    score: Annotated[float, Meta(description="score of the window that changed the state")]
    threshold: Annotated[float, Meta(description="the operating point it was judged against")]
    hits: Annotated[Count, Meta(description="windows over the threshold among the last `of`")]
    of: Annotated[Count, Meta(description="windows looked back on")]
    level: Annotated[
        Literal["notice", "alarm"], Meta(description="`notice`: look at it; `alarm`: act")
    ] = "alarm"
    text: Annotated[
        str, Meta(max_length=1000, description="what changed and by how much, in plain words")
    ] = ""
    severity: Annotated[
        Literal["A", "B", "C", "D"] | None,
        Meta(description="velocity zone of ISO 20816; null: the machine's class is not known"),
    ] = None
    evidence: Annotated[
        Digest | None, Meta(description="SHA-256 of the evidence kept on the device")
    ] = None
    visit: Annotated[
        Text | None,
        Meta(
            description="what belongs together, such as one person's stay: the same in all that is "
            "said of it; null: there is but one"
        ),
    ] = None
    who: Annotated[
        Text | None, Meta(description="name of the person who was recognised; null: nobody was")
    ] = None


class Sensor(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor that cannot be believed, or that can again; in between nothing is judged."""

    workload: Annotated[Text, Meta(description="what was watching")]
    state: Literal["raised", "cleared"]
    label: Annotated[Text, Meta(description="why it is not believed, such as `stuck`")]
    refused: Annotated[Count, Meta(description="windows refused since the trouble began")]
    lasted_s: Annotated[float, Meta(description="since the trouble began, seconds")]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measured result per input: a part, a page, a recording."""

    workload: Annotated[Text, Meta(description="what measured it")]
    label: Annotated[Text, Meta(description="what was found")]
    score: Annotated[float, Meta(description="its score")]
    threshold: Annotated[
        float | None, Meta(description="what the score was judged against; null: nothing")
    ] = None
    part: Annotated[
        Count | None,
        Meta(description="rises by one with every part of a pipeline, also over restarts"),
    ] = None
    reason: Annotated[Text, Meta(description="why it was decided so, in plain words")] = ""
    sizes: Annotated[
        dict[Text, float], Meta(description="what was measured, by name, the unit at its end")
    ] = {}
    took_ms: Annotated[
        float | None, Meta(description="from the trigger until it was decided; null: no trigger")
    ] = None
    shift: Annotated[
        Text | None, Meta(description="when the shift of the part began, local time, RFC 3339")
    ] = None
    verdict: Annotated[
        Verdict | None,
        Meta(description="of a person on a part that was told before; null: told for the first"),
    ] = None
    evidence: Annotated[
        Digest | None, Meta(description="SHA-256 of the evidence kept on the device")
    ] = None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one window, sent at QoS 0 and rate-limited: for plots, never for decisions."""

    workload: Annotated[Text, Meta(description="what was watching")]
    label: Annotated[Text, Meta(description="what is scored")]
    score: Annotated[float, Meta(description="how far from normal")]
    threshold: Annotated[float, Meta(description="the operating point")]


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of one shift, by what became of them, and what people said of them since."""

    began: Annotated[Text, Meta(description="local time, RFC 3339")]
    passed: Count = 0
    rejected: Count = 0
    review: Annotated[Count, Meta(description="parts sent to a person")] = 0
    reviewed: Annotated[Count, Meta(description="rejected parts a person has looked at")] = 0
    false_rejects: Annotated[Count, Meta(description="of these, how many are good")] = 0


class PipelineHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one pipeline is doing."""

    workload: Text
    model_id: Annotated[Text, Meta(description="hash of the model in use, 12 hex digits")]
    engine: Annotated[Text, Meta(description="runtime and its version")]
    state: Annotated[
        Literal["starting", "learning", "watching", "waiting", "ended"],
        Meta(description="`waiting`: for a sensor that failed; `ended`: the recording is over"),
    ]
    learned_windows: Annotated[Count, Meta(description="healthy windows learned from so far")]
    learn_windows: Annotated[Count, Meta(description="healthy windows it learns from")]
    windows: Annotated[Count, Meta(description="windows judged or learned from since the start")]
    windows_per_s: Annotated[float, Meta(description="since the last health message")]
    dropped: Annotated[dict[Text, Count], Meta(description="windows not judged, by reason")]
    alerts: Annotated[
        Count, Meta(description="alert messages written to the outbox since the start")
    ]
    latency_ms: Annotated[
        dict[Text, float], Meta(description="median per stage over the last windows, milliseconds")
    ]
    sensor: Annotated[
        Text | None, Meta(description="why the sensor is not believed; null: it is")
    ] = None
    bundle_refused: Annotated[
        Text | None, Meta(description="why the newest bundle was refused; the one before it serves")
    ] = None
    evidence_lost: Annotated[
        Count, Meta(description="alerts raised without words or evidence, though they could have")
    ] = 0
    shifts: Annotated[
        list[Shift], Meta(description="this shift and the one before; empty: no parts are counted")
    ] = []


class OutboxHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What waits on the device to be acknowledged by the collector."""

    rows: Annotated[Count, Meta(description="messages waiting to be acknowledged")]
    bytes: Annotated[Count, Meta(description="their payloads")]
    max_bytes: Annotated[Count, Meta(description="most the file may take")]
    oldest_s: Annotated[float, Meta(description="age of the oldest waiting message, seconds")]
    sent: Annotated[Count, Meta(description="publishes since the start, resent ones included")]
    acknowledged: Annotated[
        Count, Meta(description="rows the collector has stored since the start")
    ]
    dropped: Annotated[dict[Text, Count], Meta(description="messages given up for space, by kind")]
    refused: Annotated[Count, Meta(description="publishes the broker refused (MQTT 5)")] = 0
    dead: Annotated[
        Count,
        Meta(description="refused again and again while others passed; tried anew at each start"),
    ] = 0
    held: Annotated[
        Count, Meta(description="alerts in memory only, because the disk takes nothing")
    ] = 0
    scores_dropped: Annotated[Count, Meta(description="scores not sent: the broker was away")] = 0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Every ten seconds: how the device is doing. Silence means it is not."""

    version: Annotated[Text, Meta(description="of vedette")]
    uptime_s: Annotated[float, Meta(description="since the service started, seconds")]
    pipelines: dict[Text, PipelineHealth]
    outbox: OutboxHealth
    cpu_temperature_c: Annotated[
        float | None, Meta(description="hottest zone, degrees Celsius; null: not readable here")
    ] = None
    throttled: Annotated[
        list[Text] | None, Meta(description="active throttling causes; null: not readable here")
    ] = None
    disk_free_bytes: Annotated[Count, Meta(description="where the outbox lies")] = 0
    memory_bytes: Annotated[Count, Meta(description="resident memory of the service")] = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Retained. The last will says `offline`; a clean stop says `stopped`."""

    state: Literal["online", "stopped", "offline"]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a part that was rejected or sent to them."""

    pipeline: Name
    part: Annotated[Count, Meta(description="its number, `part` of its reading")]
    verdict: Verdict


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """To a device. `ack`: stored messages; `evidence`: what is wanted; `review`: verdicts."""

    name: Name
    ids: Annotated[
        list[Text], Meta(description="for `ack`: message ids; for `evidence`: SHA-256 of each")
    ] = []
    reviews: Annotated[list[Review], Meta(description="for `review`: what people say")] = []


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """On request: a part of what an alert was raised on, small enough for any broker."""

    sha256: Annotated[Digest, Meta(description="of all parts joined: `evidence` of the alert")]
    part: Annotated[Count, Meta(description="number of this part, from 0")]
    parts: Annotated[
        Count, Meta(description="how many there are; 0: the device has it no longer, or never had")
    ]
    content: Annotated[bytes, Meta(description="of this part")]


Body = Alert | Sensor | Reading | Score | Health | Status | Command | Evidence

KINDS: dict[str, type[Body]] = {
    "alert": Alert,
    "sensor": Sensor,
    "reading": Reading,
    "score": Score,
    "health": Health,
    "status": Status,
    "command": Command,
    "evidence": Evidence,
}
PIPELINE_KINDS = ("alert", "sensor", "reading", "score")
# through the outbox, QoS 1, acknowledged by id
STORED_KINDS = ("alert", "sensor", "reading", "health")
PRECIOUS_KINDS = ("alert", "sensor")  # never given up for space
_KIND_OF = {body: kind for kind, body in KINDS.items()}
_LAST_PART = {"command": "name", "evidence": "sha256"}  # of the topic, after the kind


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope: CloudEvents 1.0, structured mode, JSON."""

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    source: Annotated[str, Meta(min_length=1, max_length=256)]
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    time: Annotated[dt.datetime, Meta(tz=True)]
    datacontenttype: Literal["application/json"]
    data: msgspec.Raw
    replayed: Annotated[
        bool, Meta(description="sent later than it could have been: old news, or a repeat")
    ] = False  # an extension attribute of ours; absent: false


_REPLAYED = b'{"replayed":true,'


@dataclass(frozen=True)
class Address:
    """Who speaks: a device, or one of its pipelines."""

    prefix: str
    device: str
    pipeline: str | None = None

    @property
    def source(self) -> str:
        """The CloudEvents source: `/PREFIX/DEVICE` or `/PREFIX/DEVICE/PIPELINE`."""
        return "/" + "/".join(filter(None, (self.prefix, self.device, self.pipeline)))

    def topic(self, kind: str, name: str = "") -> str:
        """The MQTT topic of a message of this kind; `name` of a command, SHA-256 of evidence."""
        return "/".join(filter(None, (self.source[1:], kind, name)))


@dataclass(frozen=True)
class Encoded:
    """A message ready for the wire."""

    topic: str
    payload: bytes
    id: str
    seq: int
    kind: str


@dataclass(frozen=True)
class Message:
    """A message read from the wire."""

    address: Address
    kind: str
    id: str
    stamp: Stamp
    body: Body
    replayed: bool = False


def check_name(name: str) -> str | None:
    """Why `name` cannot be a device or pipeline name, or None if it can."""
    if not NAME.fullmatch(name):
        return "use lower-case letters, digits and inner hyphens, at most 63"
    if name in _RESERVED or name in KINDS:
        return "this word is part of the topics; choose another"
    return None


def subscriptions(prefix: str) -> tuple[str, ...]:
    """Topic filters that together carry everything a collector stores or asks for."""
    pipeline = tuple(f"{prefix}/+/+/{kind}" for kind in PIPELINE_KINDS)
    return (*pipeline, f"{prefix}/+/health", f"{prefix}/+/status", f"{prefix}/+/evidence/+")


def encode(body: Body, address: Address, stamp: Stamp) -> Encoded:
    """Topic and bytes of one message, under a fresh id."""
    kind = _KIND_OF[type(body)]
    name = getattr(body, _LAST_PART[kind]) if kind in _LAST_PART else ""
    data = {**msgspec.to_builtins(stamp), **msgspec.to_builtins(body)}
    event = CloudEvent(
        specversion="1.0",
        id=uuid.uuid4().hex,
        source=address.source,
        type=f"vedette.{kind}.v1",
        time=dt.datetime.fromtimestamp(stamp.ts_ns / 1e9, tz=dt.UTC),
        datacontenttype="application/json",
        data=msgspec.Raw(msgspec.json.encode(data)),
    )
    return Encoded(address.topic(kind, name), msgspec.json.encode(event), event.id, stamp.seq, kind)


def replayed(payload: bytes) -> bytes:
    """An encoded message, marked as sent later than it could have been: old news, or a repeat."""
    return _REPLAYED + payload[1:]


def parse_topic(topic: str, *, prefix: str) -> tuple[Address, str]:
    """Address and kind of a topic.

    Raises:
        MessageError: not one of ours.
    """
    head, *parts = topic.removeprefix(prefix).split("/")
    if not topic.startswith(prefix) or head or not parts:
        raise MessageError(f"topic is not below {prefix!r}")
    match parts:
        case [device, "command", _]:
            address, kind = Address(prefix, device), "command"
        case [device, "evidence", sha256] if _DIGEST.fullmatch(sha256):
            address, kind = Address(prefix, device), "evidence"
        case [device, kind] if kind in KINDS and kind not in (*PIPELINE_KINDS, *_LAST_PART):
            address = Address(prefix, device)
        case [device, pipeline, kind] if kind in PIPELINE_KINDS:
            address = Address(prefix, device, pipeline)
        case _:
            raise MessageError("topic has no known kind")
    for name in (address.device, *([] if address.pipeline is None else [address.pipeline])):
        if why := check_name(name):
            raise MessageError(f"bad name in topic: {why}")
    return address, kind


def decode(topic: str, payload: bytes, *, prefix: str) -> Message:
    """Read one message; the topic is believed, the payload must agree with it.

    Raises:
        MessageError: oversize, not JSON, not a CloudEvent, fields missing or of the wrong type, or
            sent under somebody else's topic.
    """
    address, kind = parse_topic(topic, prefix=prefix)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(f"payload of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES}")
    try:
        event = msgspec.json.decode(payload, type=CloudEvent)
        stamp = msgspec.json.decode(event.data, type=Stamp)
        body = msgspec.json.decode(event.data, type=KINDS[kind])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(str(error)) from None
    if event.type != f"vedette.{kind}.v1":
        raise MessageError(f"type {event.type!r} under a topic of kind {kind!r}")
    if kind != "command" and event.source != address.source:
        raise MessageError(f"source {event.source!r} under the topic of {address.source!r}")
    if isinstance(body, Evidence) and not topic.endswith(f"/{body.sha256}"):
        raise MessageError(f"evidence {body.sha256} under the topic of another")
    return Message(address, kind, event.id, stamp, body, event.replayed)
