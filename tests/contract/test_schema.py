"""The published schemas say what the code accepts, and are the ones the code writes."""

import copy
import json

import jsonschema
import pytest

from contract import messages, schema
from contract.messages import (
    KINDS,
    Address,
    Alert,
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

DEVICE = Address("vedette", "press-07")
PIPELINE = Address("vedette", "press-07", "spindle")
STAMP = Stamp(ts_ns=1_790_000_000 * 10**9, mono_ns=5, boot_id="boot", seq=7, clock_synced=True)
BODIES = {
    "alert": Alert(
        workload="machine_condition",
        state="raised",
        label="spectrum",
        score=1.5,
        threshold=1.25,
        hits=5,
        of=10,
    ),
    "sensor": Sensor(
        workload="machine_condition", state="raised", label="stuck", refused=9, lasted_s=30.0
    ),
    "reading": Reading(workload="tone", label="tone", score=0.9),
    "score": Score(workload="machine_condition", label="level", score=0.4, threshold=1.25),
    "health": Health(
        version="0.1.0",
        uptime_s=10.0,
        pipelines={
            "spindle": PipelineHealth(
                workload="machine_condition",
                model_id="0123456789ab",
                engine="LiteRT 2.1",
                state="watching",
                learned_windows=200,
                learn_windows=200,
                windows=300,
                windows_per_s=0.1,
                dropped={"stuck": 1},
                alerts=0,
                latency_ms={"levels": 0.3},
            )
        },
        outbox=OutboxHealth(
            rows=0, bytes=0, max_bytes=1, oldest_s=0.0, sent=3, acknowledged=3, dropped={}
        ),
        throttled=["under_voltage"],
    ),
    "status": Status(state="online"),
    "command": Command(name="ack", ids=["a" * 32]),
    "evidence": Evidence(sha256="ab" * 32, part=0, parts=2, content=b"PK"),
}


def encoded(kind):
    """Topic and parsed payload of a real message."""
    address = PIPELINE if kind in messages.PIPELINE_KINDS else DEVICE
    message = messages.encode(BODIES[kind], address, STAMP)
    return message.topic, json.loads(message.payload)


def validator(kind):
    """Of the published file, not of what the code would write."""
    text = (schema.DOCS / "schema" / f"{kind}.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def accepted(topic, event):
    """Whether the collector would take it."""
    try:
        messages.decode(topic, json.dumps(event).encode(), prefix="vedette")
    except MessageError:
        return False
    return True


def without(field):
    def change(event):
        del event["data"][field]

    return change


def put(field, value):
    def change(event):
        event["data"][field] = value

    return change


def envelope(field, value):
    def change(event):
        event[field] = value

    return change


def nested(event):
    """The body one level deeper, as other systems nest it."""
    event["data"] = {"body": event["data"]}


WRONG = [
    ("alert", without("state")),
    ("alert", without("seq")),
    ("alert", put("state", "cancelled")),
    ("alert", put("score", "high")),
    ("alert", put("score", None)),
    ("alert", put("hits", -1)),
    ("alert", put("ts_ns", 1.5)),
    ("alert", put("ts_ns", 2**63)),
    ("alert", put("clock_synced", "yes")),
    ("alert", put("label", "x" * 257)),
    ("alert", nested),
    ("alert", envelope("type", "vedette.reading.v1")),
    ("alert", envelope("specversion", "0.3")),
    ("alert", envelope("source", "/vedette/press-07")),
    ("alert", envelope("source", "/Vedette/press-07/spindle")),
    ("alert", envelope("id", "")),
    ("alert", envelope("datacontenttype", "text/plain")),
    ("reading", without("label")),
    ("score", put("window", -1)),
    ("health", put("pipelines", [])),
    ("health", without("outbox")),
    ("health", put("throttled", "under_voltage")),
    ("status", put("state", "fine")),
    ("command", put("name", "No Spaces")),
    ("command", put("ids", [1])),
]


def test_files_in_docs_are_the_ones_the_code_writes():
    """A struct that changes without its schema fails here."""
    wanted = schema.documents()
    found = {
        name: (schema.DOCS / name).read_text(encoding="utf-8")
        for name in wanted
        if (schema.DOCS / name).is_file()
    }
    stale = [name for name in wanted if found.get(name) != wanted[name]]
    assert not stale, f"docs/ is behind the structs in {stale}; fix: {schema.COMMAND}"


def test_no_schema_outlives_its_kind():
    """A file of a kind that is gone would still be believed."""
    files = {file.name for file in (schema.DOCS / "schema").iterdir()}
    assert files == {f"{kind}.schema.json" for kind in KINDS}


def test_writing_gives_the_documents(tmp_path):
    """The command writes every file, and nothing else."""
    schema.write(tmp_path)
    files = {
        str(f.relative_to(tmp_path)): f.read_text("utf-8")
        for f in tmp_path.rglob("*")
        if f.is_file()
    }
    assert files == schema.documents()


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_a_schema(kind):
    """Draft 2020-12, as the file claims."""
    jsonschema.Draft202012Validator.check_schema(schema.message_schema(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_real_message_satisfies_its_schema(kind):
    """What `encode` makes is what the schema describes."""
    topic, event = encoded(kind)
    validator(kind).validate(event)
    assert accepted(topic, event)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_are_allowed(kind):
    """A newer sender is heard, by the schema as by the code."""
    topic, event = encoded(kind)
    event["traceparent"] = "00-0-0-00"
    event["data"]["new_in_2"] = {"a": 1}
    validator(kind).validate(event)
    assert accepted(topic, event)


@pytest.mark.parametrize(("kind", "change"), WRONG)
def test_what_the_code_refuses_the_schema_refuses(kind, change):
    """Whoever validates before sending is told the same."""
    topic, right = encoded(kind)
    wrong = copy.deepcopy(right)
    change(wrong)
    assert not validator(kind).is_valid(wrong)
    assert not accepted(topic, wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_message_of_one_kind_is_none_of_another(kind):
    """The type in the envelope decides."""
    _, event = encoded(kind)
    assert [other for other in KINDS if validator(other).is_valid(event)] == [kind]


def references(node):
    """All `$ref` below a node."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from references(each)


def resolve(document, reference):
    """What a local reference points to."""
    node = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_every_reference_in_asyncapi_points_somewhere():
    """A reader of the file finds all of it in the file."""
    document = schema.asyncapi()
    found = list(references(document))
    assert len(found) > 3 * len(KINDS)
    for reference in found:
        assert resolve(document, reference)


@pytest.mark.parametrize("kind", KINDS)
def test_asyncapi_address_is_the_topic_of_the_code(kind):
    """Parameters filled in, the channel is the topic a message is sent under."""
    topic, _ = encoded(kind)
    names = {"prefix": "vedette", "device": "press-07", "pipeline": "spindle", "name": "ack"}
    names["sha256"] = "ab" * 32
    channel = schema.asyncapi()["channels"][kind]
    assert channel["address"].format(**names) == topic
    assert all("{" + name + "}" in channel["address"] for name in channel["parameters"])


def test_asyncapi_says_who_sends_how():
    """Scores may be lost, status is retained, commands go to the device."""
    operations = schema.asyncapi()["operations"]
    sends = {
        name: operation["bindings"]["mqtt"]
        for name, operation in operations.items()
        if operation["action"] == "send"
    }
    assert {n: (b["qos"], b["retain"]) for n, b in sends.items()} == {
        "device-sends-alert": (1, False),
        "device-sends-sensor": (1, False),
        "device-sends-reading": (1, False),
        "device-sends-score": (0, False),
        "device-sends-health": (1, False),
        "device-sends-status": (1, True),
        "device-sends-evidence": (1, False),
        "collector-sends-command": (1, False),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_asyncapi_payload_judges_like_the_schema_file(kind):
    """One shape in two files."""
    document = schema.asyncapi()
    where = document["components"]["messages"][kind]["payload"]["$ref"]
    payload = jsonschema.Draft202012Validator({**document, "$ref": where})
    _, event = encoded(kind)
    assert payload.is_valid(event)
    del event["data"]["seq"]
    assert not payload.is_valid(event)
