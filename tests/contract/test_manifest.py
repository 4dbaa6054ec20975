"""The manifest: what is written is read, what is unknown is refused."""

from __future__ import annotations

import json

import msgspec
import pytest
from fakes import POINT

from contract import manifest
from contract.manifest import Manifest, ModelFile, Tensor


@pytest.fixture
def made():
    tensor = Tensor((1, 32), "int8", 0.1, -3)
    models = {
        engine: ModelFile(f"m.{engine}", digest * 64, 10, tensor, tensor)
        for engine, digest in (("tflite", "a"), ("onnx", "b"))
    }
    return Manifest(
        format_version=1,
        workload="machine_condition",
        revision=1,
        created="2026-01-01T00:00:00Z",
        stages={"spectrum": models},
        golden_sha256="c" * 64,
        operating_point=POINT,
        labels=[],
        metrics={"float": {"auroc": 0.9}},
        tolerances={"auroc": 0.01},
        float_bytes={"spectrum": 100},
        data={"name": "none"},
        commit="unknown",
        licence="Apache-2.0",
        versions={},
    )


def test_a_manifest_is_read_as_it_was_written(made):
    """Every field, through readable JSON."""
    raw = manifest.encode(made)
    read = manifest.decode(raw)
    assert msgspec.structs.replace(read, manifest_sha256=made.manifest_sha256) == made
    assert manifest.encode(read) == raw
    assert raw.count(b"\n") > 20


@pytest.mark.parametrize(
    "where",
    [
        (),
        ("operating_point",),
        ("stages", "spectrum", "onnx"),
        ("stages", "spectrum", "onnx", "input"),
    ],
)
def test_an_unknown_field_is_refused_wherever_it_stands(made, where):
    """A device does not believe what it does not understand."""
    tree = json.loads(manifest.encode(made))
    table = tree
    for step in where:
        table = table[step]
    table["surprise"] = 1
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        manifest.decode(json.dumps(tree).encode())


def test_every_field_without_a_default_is_needed(made):
    """None is guessed."""
    tree = json.loads(manifest.encode(made))
    for name in tree:
        short = {key: value for key, value in tree.items() if key != name}
        # what has a default is missed by the seal
        why = "changed since" if name == "learned_sha256" else name
        with pytest.raises(msgspec.ValidationError, match=why):
            manifest.decode(json.dumps(short).encode())


def test_any_byte_changed_since_it_was_written_is_refused(made):
    """Also in words that nothing else checks, and in white space."""
    raw = manifest.encode(made)
    for at in range(len(raw)):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            manifest.decode(raw[:at] + bytes([raw[at] ^ 0x01]) + raw[at + 1 :])


def test_a_key_that_stands_twice_is_refused(made):
    """Two readers would take two thresholds from it; sealed anew, so that only this is wrong."""
    unsealed = manifest.encode(made).replace(
        manifest.decode(manifest.encode(made)).manifest_sha256.encode(), b"0" * 64
    )
    twice = unsealed.replace(b'"threshold": 1.0,', b'"threshold": 1.0, "threshold": 9.0,')
    assert manifest.decode(manifest.seal(unsealed)).operating_point.threshold == 1.0
    with pytest.raises(msgspec.ValidationError, match=r"twice.*threshold"):
        manifest.decode(manifest.seal(twice))


def test_numbers_that_are_none_are_refused(made):
    """JSON has no NaN; what overflows to infinity is out of range."""
    raw = manifest.encode(made)
    for number in (b"NaN", b"Infinity", b"1e999"):
        with pytest.raises(msgspec.DecodeError, match=r"invalid character|out of range"):
            manifest.decode(raw.replace(b'"threshold": 1.0', b'"threshold": ' + number))


def test_the_model_id_names_the_models_of_one_engine(made):
    """Twelve hex digits; another model, engine, workload or revision gives another."""
    other = msgspec.structs.replace(made, revision=2)
    ids = [made.model_id("tflite"), made.model_id("onnx"), other.model_id("onnx")]
    assert len(set(ids)) == 3
    assert all(len(i) == 12 and int(i, 16) >= 0 for i in ids)
    assert manifest.decode(manifest.encode(made)).model_id("onnx") == ids[1]
