"""The messages for other languages: JSON Schema and AsyncAPI, written from the structs.

`python -m contract.schema` writes them into `docs/`; a test compares, so nobody edits them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from contract.messages import (
    KINDS,
    NAME,
    PIPELINE_KINDS,
    STORED_KINDS,
    Address,
    CloudEvent,
    Stamp,
)

DOCS = Path(__file__).parents[1] / "docs"
COMMAND = "python -m contract.schema"

_PROMISE = (
    "Kept on the device until the collector names its id in command/ack, and sent again until then."
)
_PARAMETERS = {
    "prefix": "First part of all topics of an installation, `mqtt.prefix` in the device's file.",
    "device": "Name of the device, `device.name` in its file. It writes below its own name only.",
    "pipeline": "Name of a pipeline, one source watched by one bundle; `pipeline.name`.",
    "name": "Name of the command; the body repeats it.",
    "sha256": "SHA-256 of the evidence that was asked for, 64 hex digits; the body repeats it.",
}
_LAST_PART = {"command": "{name}", "evidence": "{sha256}"}
_PLACES = Address("{prefix}", "{device}"), Address("{prefix}", "{device}", "{pipeline}")


def documents() -> dict[str, str]:
    """Text of every generated file by its path below `docs/`."""
    files = {f"schema/{kind}.schema.json": message_schema(kind) for kind in KINDS}
    return {name: _text(body) for name, body in {**files, "asyncapi.json": asyncapi()}.items()}


def message_schema(kind: str) -> dict[str, Any]:
    """JSON Schema 2020-12 of one kind of message, complete in itself.

    Args:
        kind: one of `KINDS`.
    """
    parts = _parts("#/$defs/", CloudEvent, Stamp, KINDS[kind])
    envelope = parts.pop("CloudEvent")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:vedette:message:{kind}:v1",
        **_message(envelope, kind, "#/$defs/"),
        "$defs": parts,
    }


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 description of everything on the broker."""
    where = "#/components/schemas/"
    schemas = _parts(where, CloudEvent, Stamp, *KINDS.values())
    envelope = schemas.pop("CloudEvent")
    schemas |= {f"{kind}Message": _message(envelope, kind, where) for kind in KINDS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Vedette",
            "version": "1.0.0",
            "description": "What devices, collector and broker say to each other.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": {kind: _channel(kind) for kind in KINDS},
        "operations": {
            name: operation for kind in KINDS for name, operation in _operations(kind).items()
        },
        "components": {
            "messages": {
                kind: {
                    "name": kind,
                    "title": body.__name__,
                    "summary": body.__doc__,
                    "contentType": "application/json",
                    "payload": {"$ref": f"{where}{kind}Message"},
                }
                for kind, body in KINDS.items()
            },
            "schemas": schemas,
        },
    }


def write(docs: Path) -> list[Path]:
    """Write every document below `docs`; what was written."""
    written = []
    for name, text in documents().items():
        file = docs / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written


def _parts(where: str, *structs: type) -> dict[str, Any]:
    """The schemas of structs and of all they are made of, by name, pointing to each other."""
    _, parts = msgspec.json.schema_components(structs, ref_template=where + "{name}")
    return parts


def _message(envelope: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    """The envelope with `data` of one kind inside."""
    body = KINDS[kind].__name__
    narrowed = {
        "type": {"const": f"vedette.{kind}.v1"},
        "data": {"allOf": [{"$ref": f"{where}Stamp"}, {"$ref": f"{where}{body}"}]},
    }
    if kind != "command":  # whose source is the one it is for, and is not checked
        parts = 3 if kind in PIPELINE_KINDS else 2
        narrowed["source"] = {
            **envelope["properties"]["source"],
            "pattern": f"^(/{NAME.pattern}){{{parts}}}$",
        }
    return {
        **envelope,
        "title": f"{body} message",
        "description": f"{KINDS[kind].__doc__} In a CloudEvents 1.0 envelope.",
        "properties": {**envelope["properties"], **narrowed},
    }


def _server() -> dict[str, Any]:
    return {
        "host": "localhost:1883",
        "protocol": "mqtt",
        "protocolVersion": "5.0",
        "description": "Any MQTT 5 broker; 3.1.1 where it knows no 5.",
        "bindings": {
            "mqtt": {
                "lastWill": {
                    "topic": _PLACES[0].topic("status"),
                    "qos": 1,
                    "message": "a status message that says offline",
                    "retain": True,
                },
                "bindingVersion": "0.2.0",
            }
        },
    }


def _channel(kind: str) -> dict[str, Any]:
    address = _PLACES[kind in PIPELINE_KINDS].topic(kind, _LAST_PART.get(kind, ""))
    return {
        "address": address,
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
        "parameters": {
            name: {"description": text}
            for name, text in _PARAMETERS.items()
            if f"{{{name}}}" in address
        },
    }


def _operations(kind: str) -> dict[str, Any]:
    """Who sends and who receives a kind, with the quality of service."""
    sender, receiver = ("collector", "device") if kind == "command" else ("device", "collector")
    common = {
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
        **({"description": _PROMISE} if kind in STORED_KINDS else {}),
    }
    qos = 0 if kind == "score" else 1
    publish = {"qos": qos, "retain": kind == "status", "bindingVersion": "0.2.0"}
    subscribe = {"qos": 1, "bindingVersion": "0.2.0"}
    return {
        f"{role}-{verb}-{kind}": {
            "action": action,
            "summary": f"The {role} {verb} {KINDS[kind].__name__}.",
            **common,
            "tags": [{"name": role}],
            "bindings": {"mqtt": binding},
        }
        for role, verb, action, binding in (
            (sender, "sends", "send", publish),
            (receiver, "receives", "receive", subscribe),
        )
    }


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in write(DOCS):
        print(path)  # noqa: T201
