"""The documents name everything there is, and their examples are real."""

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

import contract
import vedette
from contract import messages
from contract.messages import (
    KINDS,
    MAX_PAYLOAD_BYTES,
    PIPELINE_KINDS,
    Address,
    CloudEvent,
    OutboxHealth,
    PipelineHealth,
    Stamp,
)
from edge.config import Mqtt, PipelineConfig

ROOT = Path(contract.__file__).parents[1]
DOCS = ROOT / "docs"
MQTT = (DOCS / "mqtt.md").read_text(encoding="utf-8")
ALL = "".join(
    page.read_text(encoding="utf-8") for page in [*DOCS.glob("*.md"), *ROOT.glob("README.md")]
)
EXAMPLES = re.findall(r"^On `(\S+)`:\n\n```json\n(.*?)^```$", MQTT, re.MULTILINE | re.DOTALL)


def section(title):
    """Text below a heading of docs/mqtt.md, up to the next heading."""
    (text,) = re.findall(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", MQTT, re.MULTILINE | re.DOTALL)
    return text


def rows(text):
    """First cells of the tables in a text, without their backquotes."""
    return re.findall(r"^\| `([^`|]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_topic_of_every_kind_is_in_the_table(kind):
    """With the places written as the table writes them."""
    address = Address("PREFIX", "DEVICE", "PIPELINE" if kind in PIPELINE_KINDS else None)
    last = {"command": "NAME", "evidence": "SHA256"}.get(kind, "")
    assert address.topic(kind, last) in rows(section("Topics"))


def test_table_has_no_topic_that_is_gone():
    """One row per kind."""
    assert len(rows(section("Topics"))) == len(KINDS)


@pytest.mark.parametrize(
    ("title", "structs"),
    [
        ("The envelope", [CloudEvent]),
        ("The stamp", [Stamp]),
        *((kind, [body]) for kind, body in KINDS.items() if kind != "health"),
        ("health", [KINDS["health"], PipelineHealth, OutboxHealth]),
    ],
)
def test_every_field_is_explained_in_its_own_section(title, structs):
    """Neither a field without a row nor a row without a field, in the order of the struct."""
    fields = [field for struct in structs for field in struct.__struct_fields__]
    assert rows(section(title)) == fields


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_of_a_field_is_named(kind):
    """Whoever compares with a word must find the word."""
    schema = msgspec.json.schema_components([KINDS[kind], PipelineHealth])[1]
    names = [KINDS[kind].__name__, *(["PipelineHealth"] if kind == "health" else [])]
    for name in names:
        for field in schema[name]["properties"].values():
            for word in field.get("enum", []):
                assert f"`{word}`" in section(kind) or f'"{word}"' in section(kind)


@pytest.mark.parametrize(("topic", "text"), EXAMPLES, ids=[topic for topic, _ in EXAMPLES])
def test_example_is_a_message_under_its_topic(topic, text):
    """As the collector would read it."""
    message = messages.decode(topic, text.encode(), prefix="vedette")
    raw = json.loads(text)
    assert set(raw) | {"replayed"} == set(CloudEvent.__struct_fields__)
    fields = {*Stamp.__struct_fields__, *KINDS[message.kind].__struct_fields__}
    assert set(raw["data"]) == fields


def test_every_kind_has_an_example():
    """Captured from a real run, each one."""
    kinds = [messages.parse_topic(topic, prefix="vedette")[1] for topic, _ in EXAMPLES]
    assert sorted(kinds) == sorted(KINDS)


def test_limit_of_a_payload_is_the_one_of_the_code():
    """A number that is written twice drifts."""
    assert f"at most {MAX_PAYLOAD_BYTES} bytes" in MQTT


def test_names_in_yaml_and_flow_are_fields():
    """The snippets for Home Assistant and Node-RED read what is there."""
    used = {*re.findall(r"value_json\.data\.(\w+)", MQTT), *re.findall(r"\.data\.(\w+)", MQTT)}
    known = {field for body in (Stamp, *KINDS.values()) for field in body.__struct_fields__}
    assert {"state", "score", "level", "text"} <= used
    assert used <= known


def test_flow_can_be_imported():
    """JSON whose wires lead to nodes that exist."""
    (flow,) = (
        json.loads(text)
        for text in re.findall(r"^```json\n(\[.*?)^```$", MQTT, re.MULTILINE | re.DOTALL)
    )
    ids = {node["id"] for node in flow}
    wires = {to for node in flow for output in node.get("wires", []) for to in output}
    assert wires <= ids
    assert {node["broker"] for node in flow if "broker" in node and "topic" in node} <= ids


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    """A file that was renamed leaves no dead link behind."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("verb", vedette.VERBS)
def test_every_verb_is_shown(verb):
    """As it would be typed."""
    assert re.search(rf"vedette {verb}\b", ALL)


@pytest.mark.parametrize("verb", vedette.VERBS)
def test_every_long_option_is_shown(verb, capsys):
    """What `--help` lists, a page explains."""
    module = pytest.importorskip(vedette.VERBS[verb][0], reason=f"the role of {verb} is missing")
    with pytest.raises(SystemExit) as stopped:
        module.main(verb, ["--help"])
    assert stopped.value.code == 0
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", capsys.readouterr().out))
    assert "--help" in options
    missing = [option for option in options - {"--help"} if option not in ALL]
    assert not missing


def test_every_key_of_the_broker_table_is_explained():
    """In the order of the struct."""
    assert rows(section("Connecting a device")) == list(Mqtt.__struct_fields__)


def test_pipeline_in_the_walk_is_a_valid_one():
    """The device's file at the end of docs/adding-a-workload.md."""
    walk = (DOCS / "adding-a-workload.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```$", walk, re.MULTILINE | re.DOTALL)
    (pipeline,) = msgspec.convert(tomllib.loads(text)["pipeline"], list[PipelineConfig])
    assert pipeline.bundle == "bundles/tone"


def test_places_named_in_the_walk_exist():
    """Whoever looks where the table points must find something."""
    walk = (DOCS / "adding-a-workload.md").read_text(encoding="utf-8")
    table = walk.split("## A workload in three files")[0]
    named = re.findall(r"`((?:contract|edge|training)/[\w/.]+)`", table)
    assert len(named) > 10
    for path in named:
        where = ROOT / path
        assert (where.parent if "NAME" in path else where).exists(), path
