"""What one side writes the other reads; what is malformed is refused in one way only."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import messages
from contract.messages import (
    KINDS,
    MAX_PAYLOAD_BYTES,
    PIPELINE_KINDS,
    Address,
    Alert,
    Command,
    Evidence,
    Health,
    MessageError,
    OutboxHealth,
    PipelineHealth,
    Reading,
    Review,
    Score,
    Sensor,
    Shift,
    Stamp,
    Status,
)

NAMES = st.from_regex(messages.NAME, fullmatch=True).filter(
    lambda name: messages.check_name(name) is None
)
COUNTS = st.integers(0, 2**53)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=64)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
STAMPS = st.builds(
    Stamp,
    ts_ns=st.integers(0, 2**63 - 1),
    mono_ns=st.integers(0, 2**63 - 1),
    boot_id=TEXTS,
    seq=COUNTS,
    clock_synced=st.booleans(),
    window=st.none() | COUNTS,
)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
BY_TEXT = {"keys": TEXTS, "max_size": 3}
BODIES = {
    "alert": st.builds(
        Alert,
        workload=TEXTS,
        state=st.sampled_from(["raised", "cleared"]),
        label=TEXTS,
        score=FLOATS,
        threshold=FLOATS,
        hits=COUNTS,
        of=COUNTS,
        level=st.sampled_from(["notice", "alarm"]),
        text=TEXTS,
        severity=st.none() | st.sampled_from("ABCD"),
        evidence=st.none() | DIGESTS,
        visit=st.none() | TEXTS,
        who=st.none() | TEXTS,
    ),
    "reading": st.builds(
        Reading,
        workload=TEXTS,
        label=TEXTS,
        score=FLOATS,
        threshold=st.none() | FLOATS,
        part=st.none() | COUNTS,
        reason=TEXTS,
        sizes=st.dictionaries(values=FLOATS, **BY_TEXT),
        took_ms=st.none() | FLOATS,
        shift=st.none() | TEXTS,
        verdict=st.sampled_from([None, "good", "defect"]),
        evidence=st.none() | DIGESTS,
    ),
    "score": st.builds(Score, workload=TEXTS, label=TEXTS, score=FLOATS, threshold=FLOATS),
    "sensor": st.builds(
        Sensor,
        workload=TEXTS,
        state=st.sampled_from(["raised", "cleared"]),
        label=TEXTS,
        refused=COUNTS,
        lasted_s=FLOATS,
    ),
    "status": st.builds(Status, state=st.sampled_from(["online", "stopped", "offline"])),
    "command": st.builds(
        Command,
        name=NAMES,
        ids=st.lists(TEXTS, max_size=4),
        reviews=st.lists(
            st.builds(
                Review, pipeline=NAMES, part=COUNTS, verdict=st.sampled_from(["good", "defect"])
            ),
            max_size=2,
        ),
    ),
    "evidence": st.builds(
        Evidence,
        sha256=DIGESTS,
        part=COUNTS,
        parts=COUNTS,
        content=st.binary(max_size=40),
    ),
    "health": st.builds(
        Health,
        version=TEXTS,
        uptime_s=FLOATS,
        pipelines=st.dictionaries(
            values=st.builds(
                PipelineHealth,
                workload=TEXTS,
                model_id=TEXTS,
                engine=TEXTS,
                state=st.sampled_from(["starting", "learning", "watching", "waiting", "ended"]),
                learned_windows=COUNTS,
                learn_windows=COUNTS,
                windows=COUNTS,
                windows_per_s=FLOATS,
                dropped=st.dictionaries(values=COUNTS, **BY_TEXT),
                alerts=COUNTS,
                latency_ms=st.dictionaries(values=FLOATS, **BY_TEXT),
                sensor=st.none() | TEXTS,
                bundle_refused=st.none() | TEXTS,
                evidence_lost=COUNTS,
                shifts=st.lists(st.builds(Shift, began=TEXTS, passed=COUNTS), max_size=2),
            ),
            **BY_TEXT,
        ),
        outbox=st.builds(
            OutboxHealth,
            rows=COUNTS,
            bytes=COUNTS,
            max_bytes=COUNTS,
            oldest_s=FLOATS,
            sent=COUNTS,
            acknowledged=COUNTS,
            dropped=st.dictionaries(values=COUNTS, **BY_TEXT),
            refused=COUNTS,
            dead=COUNTS,
        ),
        cpu_temperature_c=st.none() | FLOATS,
        throttled=st.none() | st.lists(TEXTS, max_size=3),
        disk_free_bytes=COUNTS,
        memory_bytes=COUNTS,
    ),
}
STAMP = Stamp(ts_ns=1_800_000_000 * 10**9, mono_ns=5, boot_id="b", seq=7, clock_synced=True)
BODY = Alert(workload="w", state="raised", label="l", score=1.5, threshold=1.0, hits=3, of=4)
ADDRESS = Address("vedette", "pump-1", "bearing")
GOOD = messages.encode(BODY, ADDRESS, STAMP)


def test_every_kind_is_tried_here():
    """A new kind of message must be added to the table above."""
    assert BODIES.keys() == KINDS.keys()


@settings(max_examples=40)
@given(st.data(), st.sampled_from(sorted(BODIES)), NAMES, NAMES, NAMES, STAMPS)
def test_what_is_encoded_is_decoded_again(data, kind, prefix, device, pipeline, stamp):
    """Address, kind, id, stamp and body, for every kind."""
    body = data.draw(BODIES[kind])
    address = Address(prefix, device, pipeline if kind in PIPELINE_KINDS else None)
    sent = messages.encode(body, address, stamp)
    got = messages.decode(sent.topic, sent.payload, prefix=prefix)
    assert (got.address, got.kind, got.id, got.stamp, got.body) == (
        address,
        kind,
        sent.id,
        stamp,
        body,
    )
    assert (sent.seq, sent.kind) == (stamp.seq, kind)
    assert not got.replayed
    again = messages.decode(sent.topic, messages.replayed(sent.payload), prefix=prefix)
    assert again == dataclasses.replace(got, replayed=True)


def test_the_payload_is_a_cloud_event_with_flat_data():
    """As any CloudEvents library reads it."""
    event = json.loads(GOOD.payload)
    assert event["specversion"] == "1.0"
    assert event["source"] == "/vedette/pump-1/bearing"
    assert event["type"] == "vedette.alert.v1"
    assert event["time"] == "2027-01-15T08:00:00Z"
    assert event["data"]["seq"] == 7
    assert event["data"]["state"] == "raised"
    assert GOOD.topic == "vedette/pump-1/bearing/alert"


def test_every_message_has_an_id_of_its_own():
    """Also two with the same content."""
    ids = {messages.encode(BODY, ADDRESS, STAMP).id for _ in range(100)}
    assert len(ids) == 100


def changed(**fields) -> bytes:
    """The good payload with fields of the envelope replaced; None removes one."""
    event = {**json.loads(GOOD.payload), **fields}
    return json.dumps({key: value for key, value in event.items() if value is not None}).encode()


def with_data(**fields) -> bytes:
    """The good payload with fields of its data replaced; None removes one."""
    data = {**json.loads(GOOD.payload)["data"], **fields}
    return changed(data={key: value for key, value in data.items() if value is not None})


def test_the_helpers_change_nothing_by_themselves():
    """Or the table below would prove nothing."""
    assert messages.decode(GOOD.topic, with_data(), prefix="vedette").body == BODY


MALFORMED = {
    "empty": b"",
    "junk": b"\x00\x01junk",
    "not an object": b"[1, 2]",
    "bad UTF-8": GOOD.payload.replace(b"raised", b"rais\xff\xfe"),
    "bad UTF-8 in the envelope": GOOD.payload.replace(b"1.0", b"\xc3\x28", 1),
    "half a surrogate": GOOD.payload.replace(b"raised", b"\\ud800"),
    "truncated": GOOD.payload[:-20],
    "trailing": GOOD.payload + b"x",
    "NaN": GOOD.payload.replace(b"1.5", b"NaN"),
    "infinity": GOOD.payload.replace(b"1.5", b"1e999"),
    "deep nesting": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep nesting in the data": changed(data=None)[:-1] + b', "data": ' + b'{"a":' * 20_000 + b"}",
    "huge integer": with_data(seq=10**400),
    "integer beyond 64 bit": with_data(ts_ns=2**63),
    "negative time": with_data(ts_ns=-1),
    "fraction for an integer": with_data(seq=1.5),
    "text for a number": with_data(score="high"),
    "null for a number": GOOD.payload.replace(b"1.5", b"null"),
    "unknown state": with_data(state="exploded"),
    "field missing": with_data(label=None),
    "stamp missing": with_data(boot_id=None),
    "endless text": with_data(label="x" * 300),
    "no data": changed(data=None),
    "data is text": changed(data="x"),
    "no id": changed(id=None),
    "empty id": changed(id=""),
    "endless id": changed(id="x" * 65),
    "other version": changed(specversion="0.3"),
    "other type": changed(type="vedette.reading.v1"),
    "time without zone": changed(time="2027-01-15T08:00:00"),
    "no time at all": changed(time="yesterday"),
    "other source": changed(source="/vedette/pump-2/bearing"),
    "source of the device, not the pipeline": changed(source="/vedette/pump-1"),
    "oversize": with_data(extra="x" * MAX_PAYLOAD_BYTES),
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_payload_is_a_message_error_with_a_reason(payload):
    """Never another exception: it would end the collector."""
    with pytest.raises(MessageError) as error:
        messages.decode(GOOD.topic, payload, prefix="vedette")
    assert str(error.value)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vedette",
        "vedette/",
        "/vedette/pump-1/bearing/alert",
        "other/pump-1/bearing/alert",
        "vedettes/pump-1/bearing/alert",
        "vedette/pump-1/alert",
        "vedette/pump-1/bearing/health",
        "vedette/pump-1/bearing/nothing",
        "vedette/pump-1/bearing/deep/alert",
        "vedette/+/bearing/alert",
        "vedette/#",
        "vedette/pump-1/+/alert",
        "vedette/Pump/bearing/alert",
        "vedette/pump_1/bearing/alert",
        "vedette/-pump/bearing/alert",
        "vedette/pump 1/bearing/alert",
        "vedette/pump-1/bearing\n/alert",
        "vedette/püm/bearing/alert",
        "vedette/" + "x" * 64 + "/bearing/alert",
        "vedette/command/bearing/alert",
        "vedette/pump-1/health/alert",
    ],
)
def test_a_topic_that_is_not_ours_is_a_message_error(topic):
    """Wildcards, reserved words and upper case among the names too."""
    with pytest.raises(MessageError):
        messages.decode(topic, GOOD.payload, prefix="vedette")


@pytest.mark.parametrize("topic", ["vedette//status", "vedette/pump-1//alert"])
def test_an_empty_name_in_a_topic_is_a_message_error(topic):
    """A wildcard subscription matches it, so a collector does see it."""
    with pytest.raises(MessageError, match="name"):
        messages.parse_topic(topic, prefix="vedette")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.binary(max_size=200) | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_no_payload_gives_anything_but_a_message_or_a_message_error(payload):
    """Random bytes and random JSON."""
    with pytest.raises(MessageError):
        messages.decode(GOOD.topic, payload, prefix="vedette")


@given(
    st.sampled_from(sorted(json.loads(GOOD.payload)) + sorted(json.loads(GOOD.payload)["data"])),
    JSON,
)
def test_no_value_of_any_field_gives_anything_but_a_message_or_a_message_error(field, value):
    """The good message with one field made random."""
    event = json.loads(GOOD.payload)
    (event if field in event else event["data"])[field] = value
    with contextlib.suppress(MessageError):
        got = messages.decode(GOOD.topic, json.dumps(event).encode(), prefix="vedette")
        assert got.address == ADDRESS


@given(st.text(max_size=60))
def test_no_topic_gives_anything_but_an_address_or_a_message_error(text):
    """Random text below the prefix."""
    try:
        address, kind = messages.parse_topic("vedette/" + text, prefix="vedette")
    except MessageError:
        return
    assert kind in KINDS
    assert address.prefix == "vedette"


def test_a_field_of_the_future_is_passed_over():
    """A newer device is heard by an older collector."""
    payload = with_data(future={"a": [1, 2]})
    assert messages.decode(GOOD.topic, payload, prefix="vedette").body == BODY


def test_a_command_may_come_from_anybody():
    """Its topic names the device it is for."""
    sent = messages.encode(Command(name="ack", ids=["a"]), Address("vedette", "pump-1"), STAMP)
    event = json.loads(sent.payload) | {"source": "/vedette"}
    got = messages.decode(sent.topic, json.dumps(event).encode(), prefix="vedette")
    assert sent.topic == "vedette/pump-1/command/ack"
    assert got.body == Command(name="ack", ids=["a"])


def test_evidence_lies_under_its_own_hash():
    """A device cannot answer for other evidence than the one it names, nor under another's name."""
    body = Evidence(sha256="ab" * 32, part=0, parts=1, content=b"\x00\xff")
    sent = messages.encode(body, Address("vedette", "pump-1"), STAMP)
    assert sent.topic == "vedette/pump-1/evidence/" + "ab" * 32
    assert messages.decode(sent.topic, sent.payload, prefix="vedette").body == body
    for topic in (
        "vedette/pump-1/evidence/" + "cd" * 32,
        "vedette/pump-2/evidence/" + "ab" * 32,
        "vedette/pump-1/evidence/" + "AB" * 32,
        "vedette/pump-1/evidence/x",
        "vedette/pump-1/evidence",
    ):
        with pytest.raises(MessageError):
            messages.decode(topic, sent.payload, prefix="vedette")


@pytest.mark.parametrize("name", [*KINDS, "result"])
def test_words_of_the_topics_are_reserved(name):
    """A device called `health` would be a message."""
    assert "topics" in (messages.check_name(name) or "")


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a_b", "a/b", "a+", "#", "a.b", "a b", "x" * 64, "a\n"]
)
def test_names_that_break_topics_are_refused(name):
    """Wildcards, separators, upper case, too long."""
    assert messages.check_name(name)


@pytest.mark.parametrize("name", ["a", "0", "pump-1", "x" * 63])
def test_plain_names_are_taken(name):
    """Letters, digits, inner hyphens."""
    assert messages.check_name(name) is None


def test_subscriptions_carry_every_kind_a_collector_wants():
    """Matched level by level, as a broker does."""

    def matches(pattern: str, topic: str) -> bool:
        want, have = pattern.split("/"), topic.split("/")
        return len(want) == len(have) and all(
            w in {"+", h} for w, h in zip(want, have, strict=True)
        )

    for kind in KINDS.keys() - {"command"}:
        address = Address("vedette", "pump-1", "bearing" if kind in PIPELINE_KINDS else None)
        topic = address.topic(kind, "ab" * 32 if kind == "evidence" else "")
        assert sum(matches(p, topic) for p in messages.subscriptions("vedette")) == 1
    assert not any(
        matches(p, "vedette/pump-1/command/ack") for p in messages.subscriptions("vedette")
    )


def test_a_body_of_the_right_shape_has_no_positional_fields():
    """Two numbers cannot change places unseen."""
    with pytest.raises(TypeError):
        Score("w", "l", 1.0, 2.0)
    assert all(msgspec.structs.fields(body) for body in KINDS.values())
