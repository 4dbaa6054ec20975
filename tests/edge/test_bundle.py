"""A bundle that does not prove itself is refused, with the reason; and the engines it runs on."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from fakes import tiny_bundle

from contract.manifest import GOLDEN, MANIFEST
from edge import engines
from edge.bundle import Bundle
from edge.errors import BundleError, EngineError

MODEL = "spectrum.onnx"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "b", gain=0.5)


@pytest.fixture
def bundle(made, tmp_path):
    """A copy to tamper with."""
    return shutil.copytree(made, tmp_path / "b")


def edit(bundle, change) -> None:
    """Change the manifest's JSON."""
    tree = json.loads((bundle / MANIFEST).read_bytes())
    change(tree)
    (bundle / MANIFEST).write_text(json.dumps(tree))


def flip(file) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0x04
    file.write_bytes(raw)


def sha(file) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def regolden(bundle, change) -> None:
    """Change the golden arrays and make the hash right again."""
    with np.load(bundle / GOLDEN) as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(bundle / GOLDEN, **arrays)
    edit(bundle, lambda tree: tree.update(golden_sha256=sha(bundle / GOLDEN)))


def model_of(tree) -> dict:
    return tree["stages"]["spectrum"]["onnx"]


def outside(bundle) -> None:
    """The same model, one folder up, its hash right."""
    shutil.move(bundle / MODEL, bundle.parent / "evil.onnx")
    edit(bundle, lambda tree: model_of(tree).update(file="../evil.onnx"))


def absolute(bundle) -> None:
    edit(bundle, lambda tree: model_of(tree).update(file=str(bundle / MODEL)))


def other_model(bundle) -> None:
    """A model that computes something else, its hash right."""
    other = tiny_bundle(bundle.parent / "other", gain=0.75)
    shutil.copy(other / MODEL, bundle / MODEL)
    edit(bundle, lambda tree: model_of(tree).update(sha256=sha(bundle / MODEL)))


def not_a_model(bundle) -> None:
    (bundle / MODEL).write_bytes(b"junk" * 100)
    edit(bundle, lambda tree: model_of(tree).update(sha256=sha(bundle / MODEL)))


def two_files(bundle) -> None:
    edit(bundle, lambda tree: tree["stages"].update(more={"tflite": model_of(tree)}))


TAMPERED = {
    "no bundle": (shutil.rmtree, "no bundle here"),
    "bit of the model": (lambda b: flip(b / MODEL), "SHA-256"),
    "bit of the golden vectors": (lambda b: flip(b / GOLDEN), "SHA-256"),
    "model missing": (lambda b: (b / MODEL).unlink(), "No such file"),
    "golden vectors missing": (lambda b: (b / GOLDEN).unlink(), "No such file"),
    "manifest missing": (lambda b: (b / MANIFEST).unlink(), "no bundle here"),
    "manifest truncated": (
        lambda b: (b / MANIFEST).write_bytes((b / MANIFEST).read_bytes()[:-40]),
        MANIFEST,
    ),
    "manifest not UTF-8": (
        lambda b: (b / MANIFEST).write_bytes(
            (b / MANIFEST).read_bytes().replace(b"unknown", b"\xff\xfe")
        ),
        MANIFEST,
    ),
    "manifest nested without end": (
        lambda b: (b / MANIFEST).write_bytes(b'{"labels":' + b"[" * 100_000),
        MANIFEST,
    ),
    "unknown field": (lambda b: edit(b, lambda t: t.update(surprise=1)), "surprise"),
    "other format": (lambda b: edit(b, lambda t: t.update(format_version=99)), "format 99"),
    "other revision": (lambda b: edit(b, lambda t: t.update(revision=99)), "revision 99"),
    "unknown workload": (lambda b: edit(b, lambda t: t.update(workload="mind")), "'mind'"),
    "path out of the bundle": (outside, "bad file name"),
    "absolute path": (absolute, "bad file name"),
    "other input shape": (
        lambda b: edit(b, lambda t: model_of(t)["input"].update(shape=[1, 16])),
        "takes",
    ),
    "other output shape": (
        lambda b: edit(b, lambda t: model_of(t)["output"].update(shape=[1, 16])),
        "output tensor",
    ),
    "other type": (
        lambda b: edit(b, lambda t: model_of(t)["input"].update(dtype="int8")),
        "input tensor",
    ),
    "no model for the stage": (lambda b: edit(b, lambda t: t.update(stages={})), "no onnx model"),
    "a stage that is none": (two_files, "more"),
    "another model": (other_model, "golden vectors.*not reproduced"),
    "not a model": (not_a_model, "will not load"),
    "other golden outputs": (
        lambda b: regolden(b, lambda a: a.update({"spectrum.onnx": a["spectrum.onnx"] + 0.01})),
        "golden vectors.*not reproduced",
    ),
    "golden outputs of another shape": (
        lambda b: regolden(b, lambda a: a.update({"spectrum.onnx": a["spectrum.onnx"][:1]})),
        "gives",
    ),
    "other golden inputs": (
        lambda b: regolden(b, lambda a: a.update({"spectrum.input": a["spectrum.input"] + 0.1})),
        "preprocess",
    ),
    "golden outputs left out": (
        lambda b: regolden(b, lambda a: a.pop("spectrum.onnx")),
        "spectrum.onnx",
    ),
    "golden windows left out": (lambda b: regolden(b, lambda a: a.pop("windows")), "windows"),
    "golden rate left out": (lambda b: regolden(b, lambda a: a.pop("rate_hz")), "rate_hz"),
    "golden windows too short": (
        lambda b: regolden(b, lambda a: a.update(windows=a["windows"][:, :10])),
        "golden",
    ),
}


def test_a_whole_bundle_opens_and_names_its_model(bundle):
    """The reference for the table below."""
    opened = Bundle.open(bundle, "onnx")
    assert opened.engine == "onnx"
    assert opened.model_id == opened.manifest.model_id("onnx")
    x = np.arange(32, dtype=np.float32)
    np.testing.assert_array_equal(opened.engines["spectrum"].run(x), x / 2)


@pytest.mark.parametrize(("tamper", "reason"), TAMPERED.values(), ids=TAMPERED.keys())
def test_a_tampered_bundle_is_refused_with_its_reason(bundle, tamper, reason):
    """A BundleError in one line that names the bundle or the file in it."""
    tamper(bundle)
    with pytest.raises(BundleError, match=reason) as error:
        Bundle.open(bundle, "onnx")
    assert "\n" not in str(error.value)


def test_an_engine_that_the_bundle_has_no_model_for_is_refused(bundle):
    """Asked for by the config."""
    with pytest.raises(BundleError, match="no tflite model for stage 'spectrum'"):
        Bundle.open(bundle, "tflite")


def test_an_unknown_engine_is_refused_with_the_known_ones(bundle):
    """The folder is the registry."""
    opened = Bundle.open(bundle)
    model = opened.manifest.stages["spectrum"]["onnx"]
    with pytest.raises(BundleError, match="no engine 'abacus'; known: onnx, tflite"):
        engines.open_engine("abacus", bundle / MODEL, model)


def test_a_failing_runtime_is_an_engine_error(bundle):
    """An input of the wrong length."""
    engine = Bundle.open(bundle).engines["spectrum"]
    with pytest.raises(EngineError, match=r"spectrum\.onnx"):
        engine.run(np.zeros(31, np.float32))


def test_a_version_names_runtime_and_number():
    """As health reports it."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert (engines.version("onnx") or "").startswith("onnxruntime 1.")
