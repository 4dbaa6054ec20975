"""A bundle that kills, hangs or bloats whoever opens it is refused, and nothing else happens."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import tiny_bundle
from tamper import network, numbers, remodel

from edge import engines, proof
from edge.errors import BundleError

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"


@pytest.fixture
def bundle(tmp_path):
    return tiny_bundle(tmp_path / "b", gain=0.5)


def test_a_whole_bundle_proves_itself(bundle):
    """And says which models it tried, and how long a window takes."""
    proven = proof.prove(bundle, "onnx", within_s=1.0)
    assert len(proven.model_id) == 12
    assert 0 < proven.window_s < 1


def test_what_open_refuses_is_refused_in_its_words(tmp_path):
    """The other process only carries the reason."""
    with pytest.raises(BundleError, match=r"no bundle here.*fix: vedette export"):
        proof.prove(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("at", "bit"),
    [(1616, 2), (1864, 7), (2039, 5)],
    ids=["ends in a signal", "ends in another", "asks for memory without end"],
)
def test_a_model_that_its_runtime_does_not_survive_is_refused(tmp_path, at, bit):
    """Single bits of the shipped model, hashed anew: found by trying all (LiteRT 2.3.0)."""
    if not engines.version("tflite"):
        pytest.skip("LiteRT is not installed")
    copy = shutil.copytree(SHIPPED, tmp_path / "b")
    raw = bytearray((copy / "SPECTRUM.tflite").read_bytes())
    raw[at] ^= 1 << bit
    remodel(copy, bytes(raw), engine="tflite")
    begun_s = time.monotonic()
    with pytest.raises(BundleError) as error:
        proof.prove(copy, "tflite", time_s=5.0)
    assert time.monotonic() - begun_s < 15
    assert "\n" not in str(error.value)


def endless(bundle) -> None:
    """A loop of 2**63 rounds."""
    from onnx import TensorProto, helper

    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Neg", ["state"], ["next"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("state", TensorProto.FLOAT, [1, 32]),
        ],
        [value("go_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, [1, 32])],
    )
    network(
        bundle,
        ("Loop", ["rounds", "go", "x"], ["y"], {"body": body}),
        initializers=[
            numbers("rounds", np.int64(2**63 - 1)),
            numbers("go", np.bool_(True)),
        ],
    )


def test_a_model_without_end_is_refused_when_its_time_is_over(bundle):
    """Thirty seconds where it matters, two here."""
    endless(bundle)
    begun_s = time.monotonic()
    with pytest.raises(BundleError, match="not through its golden vectors after 2 s"):
        proof.prove(bundle, "onnx", time_s=2.0)
    assert time.monotonic() - begun_s < 10


def test_a_model_that_allocates_gigabytes_is_refused(bundle):
    """It gets no further than its limit, so nobody's memory runs out."""
    network(
        bundle,
        ("Expand", ["x", "shape"], ["vast"]),
        ("ReduceMax", ["vast"], ["y"], {"axes": [0], "keepdims": 1}),
        initializers=[numbers("shape", np.array([1 << 26, 32], np.int64))],
    )
    with pytest.raises(BundleError, match=r"(?i)alloc"):
        proof.prove(bundle, "onnx")


def test_a_slow_model_is_refused_with_both_numbers(bundle):
    """How long it takes and how long it may take; here nothing is fast enough."""
    with pytest.raises(
        BundleError, match=r"too slow.*takes [\d.]+ ms, 0\.001 ms are allowed.*hop_s"
    ):
        proof.prove(bundle, "onnx", within_s=1e-6)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("kill -SEGV $$", r"kills the runtime \(Segmentation fault\)"),
        ("kill -KILL $$", r"kills the runtime \(Killed\)"),
        ("echo no such module >&2; exit 3", "exit 3: no such module"),
        ("echo chatter", "exit 0: "),
        ("exec sleep 60", "not through its golden vectors after 0.1 s"),
    ],
)
def test_whatever_becomes_of_the_other_process_is_told(bundle, tmp_path, does, reason):
    """In one line, by one that does nothing else."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    with pytest.raises(BundleError, match=reason) as error:
        proof.prove(bundle, time_s=0.1, python=str(python))
    assert "\n" not in str(error.value)


def test_without_a_python_it_is_refused_too(bundle):
    """Such as one that an update has just removed."""
    with pytest.raises(BundleError, match="/no/python: No such file"):
        proof.prove(bundle, python="/no/python")


def test_the_other_process_ends_by_itself_when_nobody_waits_for_it(bundle):
    """Its own clock ends it, so that a killed service leaves nothing behind."""
    endless(bundle)
    arguments = [sys.executable, "-m", "edge.proof", str(bundle), "onnx", "1"]
    child = os.posix_spawn(sys.executable, arguments, {**os.environ, "PYTHONPATH": str(Path.cwd())})
    begun_s = time.monotonic()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) < 0
    assert time.monotonic() - begun_s < 8
