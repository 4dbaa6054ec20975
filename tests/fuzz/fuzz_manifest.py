"""Whatever lies in `manifest.json` is a sealed manifest or refused."""

from __future__ import annotations

from random import Random

import msgspec
from fuzz import tree

from contract import manifest
from contract.manifest import Manifest, ModelFile, Tensor
from contract.spec import OperatingPoint

_TENSOR = Tensor((1, 32), "int8", 0.5, -3)
MANIFEST = Manifest(
    format_version=manifest.FORMAT_VERSION,
    workload="machine_condition",
    revision=1,
    created="2026-01-01T00:00:00Z",
    stages={"spectrum": {"onnx": ModelFile("s.onnx", "0" * 64, 9, _TENSOR, _TENSOR)}},
    golden_sha256="1" * 64,
    operating_point=OperatingPoint(1.0, 0.5, "nothing", {"recall": 1.0}, {"level": 0.5}),
    labels=["a"],
    metrics={"float": {"recall": 1.0}},
    tolerances={"recall": 0.01},
    float_bytes={"spectrum": 10},
    data={"name": "none"},
    commit="unknown",
    licence="Apache-2.0",
    versions={"numpy": "2"},
)


def seeds() -> list[bytes]:
    """One that is whole."""
    return [manifest.encode(MANIFEST)]


def mutate(data: bytes, rng: Random) -> bytes | None:
    """Changed and mostly sealed again, as somebody would who means harm."""
    now = tree.changed(data, rng)
    return now if now is None or rng.random() < 0.2 else sealed(now)


def sealed(raw: bytes) -> bytes:
    """The same manifest with the seal that fits it, where it has one."""
    try:
        seal = msgspec.json.decode(raw)["manifest_sha256"].encode()
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return raw
    return manifest.seal(raw.replace(seal, b"0" * 64)) if len(seal) == 64 else raw


def one(data: bytes) -> None:
    """What is believed says the same when it is written again."""
    try:
        made = manifest.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    for engine in {engine for stage in made.stages.values() for engine in stage}:
        if all(engine in stage for stage in made.stages.values()):
            assert len(made.model_id(engine)) == 12
    again = manifest.decode(manifest.encode(made))
    assert msgspec.structs.replace(again, manifest_sha256=made.manifest_sha256) == made
