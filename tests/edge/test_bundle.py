"""A bundle that does not prove itself is refused, with the reason; and the engines it runs on."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from fakes import tiny_bundle
from tamper import (
    MODEL,
    edit,
    flip,
    model_of,
    network,
    numbers,
    regolden,
    rehash_golden,
    remodel,
)

from contract.manifest import GOLDEN, MANIFEST
from edge import engines
from edge.bundle import Bundle
from edge.errors import BundleError, EngineError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "b", gain=0.5)


@pytest.fixture
def bundle(made, tmp_path):
    """A copy to tamper with."""
    return shutil.copytree(made, tmp_path / "b")


def outside(bundle) -> None:
    """The same model, one folder up, its hash right."""
    shutil.move(bundle / MODEL, bundle.parent / "evil.onnx")
    edit(bundle, lambda tree: model_of(tree).update(file="../evil.onnx"))


def absolute(bundle) -> None:
    edit(bundle, lambda tree: model_of(tree).update(file=str(bundle / MODEL)))


def other_model(bundle) -> None:
    """A model that computes something else, its hash right."""
    other = tiny_bundle(bundle.parent / "other", gain=0.75)
    remodel(bundle, (other / MODEL).read_bytes())


def bomb(bundle) -> None:
    """A quarter of a gigabyte of zeros in a quarter of a megabyte."""
    with (
        zipfile.ZipFile(bundle / GOLDEN, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("windows.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 26,)}
        )
        for _ in range(256):
            member.write(bytes(1 << 20))
    rehash_golden(bundle)


def liar(bundle) -> None:
    """The same, but the zip directory says that nothing much is in it."""
    bomb(bundle)
    raw = (bundle / GOLDEN).read_bytes()
    with zipfile.ZipFile(bundle / GOLDEN) as archive:
        (member,) = archive.infolist()
    size, small = (n.to_bytes(4, "little") for n in (member.file_size, 1000))
    assert raw.count(size) == 2  # once before the data, once in the directory
    (bundle / GOLDEN).write_bytes(raw.replace(size, small))
    rehash_golden(bundle)


def crowd(bundle) -> None:
    """Fifty thousand arrays of nothing."""
    with zipfile.ZipFile(bundle / GOLDEN, "w") as archive:
        for i in range(50_000):
            archive.writestr(f"{i}.npy", b"")
    rehash_golden(bundle)


def twins(bundle) -> None:
    """An array that is there twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own
        with zipfile.ZipFile(bundle / GOLDEN, "a") as archive:
            archive.writestr("windows.npy", archive.read("windows.npy"))
    rehash_golden(bundle)


def pickled(bundle) -> None:
    """An array of objects, which would run code."""
    np.savez(bundle / GOLDEN, windows=np.array([{}], dtype=object))
    rehash_golden(bundle)


def giant(bundle) -> None:
    """An array whose header asks for a terabyte."""
    with zipfile.ZipFile(bundle / GOLDEN, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 38,)}
        )
        archive.writestr("windows.npy", header.getvalue())
    rehash_golden(bundle)


def oversize(name):
    """A file far larger than is read; sparse, so that the test is not."""

    def grow(bundle) -> None:
        with (bundle / name).open("r+b") as file:
            file.truncate(1 << 33)

    return grow


def link(name):
    """A file that is a link to its true content."""

    def move(bundle) -> None:
        shutil.move(bundle / name, bundle.parent / name)
        (bundle / name).symlink_to(bundle.parent / name)

    return move


def pipe(name):
    """A pipe that nobody writes into: reading it would never end."""

    def put(bundle) -> None:
        (bundle / name).unlink()
        os.mkfifo(bundle / name)

    return put


def truncate(name):
    def cut(bundle) -> None:
        raw = (bundle / name).read_bytes()
        (bundle / name).write_bytes(raw[: len(raw) // 2])

    return cut


def folder(bundle) -> None:
    (bundle / MODEL).unlink()
    (bundle / MODEL).mkdir()


def case_clash(bundle) -> None:
    """Two names that are one file where case does not count."""
    shutil.copy(bundle / MODEL, bundle / MODEL.upper())
    edit(
        bundle,
        lambda tree: tree["stages"]["spectrum"].update(
            tflite={**model_of(tree), "file": MODEL.upper()}
        ),
    )


def point(**changes):
    return lambda bundle: edit(bundle, lambda tree: tree["operating_point"].update(changes))


def external(where):
    """The right numbers, but in a file elsewhere."""

    def write(bundle) -> None:
        weights = bundle.parent / "weights"
        weights.write_bytes(np.full(32, 0.5, np.float32).tobytes())
        network(
            bundle,
            ("Mul", ["x", "w"], ["y"]),
            initializers=[numbers("w", np.full((1, 32), 0.5, np.float32))],
            location=where(weights),
        )

    return write


def external_in_a_branch(bundle) -> None:
    """The same, hidden in one side of an `If`, as an attribute's tensor."""
    from onnx import AttributeProto, TensorProto, helper

    tensor = numbers("", np.full((1, 32), 0.5, np.float32))
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="weights")
    constant = helper.make_node("Constant", [], ["out"])
    constant.attribute.append(AttributeProto(name="value", type=AttributeProto.TENSOR, t=tensor))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 32])
    branch = helper.make_graph([constant], "branch", [], [out])
    network(bundle, ("Identity", ["x"], ["y"]))
    from onnx import load_model_from_string

    model = load_model_from_string((bundle / MODEL).read_bytes())
    model.graph.node.append(
        helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch)
    )
    remodel(bundle, model.SerializeToString())


def not_a_number(bundle) -> None:
    """0 / 0 for every input, and golden outputs that agree."""
    network(bundle, ("Sub", ["x", "x"], ["zero"]), ("Div", ["zero", "zero"], ["y"]))
    regolden(bundle, lambda a: a.update({"spectrum.onnx": a["spectrum.onnx"] * np.nan}))


def infinite(bundle) -> None:
    network(
        bundle,
        ("Mul", ["x", "big"], ["bigger"]),
        ("Mul", ["bigger", "big"], ["y"]),
        initializers=[numbers("big", np.float32(1e38))],
    )
    regolden(bundle, lambda a: a.update({"spectrum.onnx": a["spectrum.onnx"] * np.inf}))


def other_rank(bundle) -> None:
    """Declares (1, 32) and gives (32,)."""
    network(
        bundle,
        ("Squeeze", ["x", "axes"], ["y"]),
        initializers=[numbers("axes", np.array([0], np.int64))],
    )


def another_stage(bundle) -> None:
    shutil.copy(bundle / MODEL, bundle / "more.onnx")
    more = {"file": "more.onnx"}
    edit(bundle, lambda t: t["stages"].update(more={"onnx": model_of(t) | more}))


def no_models(bundle) -> None:
    (bundle / MODEL).unlink()
    edit(bundle, lambda tree: tree.update(stages={}))


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
    "no model for the stage": (no_models, "no onnx model"),
    "a stage that is none": (another_stage, "more"),
    "another model": (other_model, "golden vectors.*not reproduced"),
    "not a model": (lambda b: remodel(b, b"junk" * 100), "not an ONNX file"),
    "empty model": (lambda b: remodel(b, b""), "not an ONNX file"),
    "model truncated": (
        lambda b: remodel(b, (b / MODEL).read_bytes()[:-20]),
        "not an ONNX file|will not load",
    ),
    "not a model that it says it is": (
        lambda b: remodel(b, (b / MODEL).read_bytes().replace(b"Mul", b"Mux")),
        "will not load",
    ),
    "weights beside the bundle": (external(lambda w: f"../{w.name}"), "external data"),
    "weights by an absolute path": (external(str), "external data"),
    "weights in the working directory": (
        external(os.path.relpath),
        "external data",
    ),
    "weights of a branch elsewhere": (external_in_a_branch, "external data"),
    "output is not a number": (not_a_number, "NaN"),
    "output is infinite": (infinite, "NaN"),
    "output of another rank": (other_rank, "output tensor|gives|will not load"),
    "manifest is a link": (link(MANIFEST), "is a link"),
    "model is a link": (link(MODEL), "is a link"),
    "manifest is a pipe": (pipe(MANIFEST), "no plain file"),
    "model is a pipe": (pipe(MODEL), "no plain file"),
    "golden vectors are a pipe": (pipe(GOLDEN), "no plain file"),
    "model is a directory": (folder, "directory|no plain file"),
    "model truncated on the way": (truncate(MODEL), "SHA-256"),
    "golden vectors truncated": (truncate(GOLDEN), "SHA-256"),
    "manifest too large": (oversize(MANIFEST), "8589934592 bytes, at most 1048576"),
    "golden vectors too large": (oversize(GOLDEN), "8589934592 bytes, at most"),
    "model too large": (oversize(MODEL), "8589934592 bytes, at most"),
    "unknown file": (lambda b: (b / "run.sh").touch(), r"run\.sh"),
    "hidden file": (lambda b: (b / ".hidden").touch(), r"\.hidden"),
    "unknown directory": (lambda b: (b / "more").mkdir(), "more"),
    "names that differ in case only": (case_clash, "two files of one name"),
    "model called like the manifest": (
        lambda b: edit(b, lambda t: model_of(t).update(file=MANIFEST)),
        "two files of one name",
    ),
    "golden vectors that unpack to a quarter of a gigabyte": (bomb, "unpacks to 268435"),
    "golden vectors that lie about it": (liar, "CRC|says"),
    "golden vectors in too many pieces": (crowd, "more than 256 arrays"),
    "an array twice": (twins, "twice"),
    "an array of objects": (pickled, "objects"),
    "an array larger than the file": (giant, "says"),
    "fewer labels": (lambda b: edit(b, lambda t: t["labels"].pop()), "3 labels.*4 of machine_con"),
    "other labels": (
        lambda b: edit(b, lambda t: t["labels"].reverse()),
        "labels.*not the 4 of machine_condition",
    ),
    "clears above its threshold": (point(clear_threshold=1.1), "clears below 1.1, raises at 1.0"),
    "no scales": (point(scales={}), "operating point.*spectrum"),
    "a scale of zero": (
        point(scales={"spectrum": 0.0, "impulses": 1.0, "level": 1.0, "novelty": 1.0}),
        "above 0.*spectrum",
    ),
    "batches of two": (
        lambda b: edit(b, lambda t: model_of(t)["input"].update(shape=[2, 32])),
        "takes",
    ),
    "quantized otherwise": (
        lambda b: edit(b, lambda t: model_of(t)["output"].update(scale=0.1, zero_point=0)),
        "output tensor",
    ),
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
    "golden outputs of NaN": (
        lambda b: regolden(b, lambda a: a.update({"spectrum.onnx": a["spectrum.onnx"] * np.nan})),
        "golden vectors.*not reproduced",
    ),
    "golden outputs left out": (
        lambda b: regolden(b, lambda a: a.pop("spectrum.onnx")),
        "spectrum.onnx",
    ),
    "golden windows left out": (lambda b: regolden(b, lambda a: a.pop("windows")), "windows"),
    "golden rate left out": (lambda b: regolden(b, lambda a: a.pop("rate_hz")), "rate_hz"),
    "golden windows too short": (
        lambda b: regolden(b, lambda a: a.update(windows=a["windows"][:, :10])),
        "golden window 0 cannot be judged: too_short",
    ),
    "golden windows of NaN": (
        lambda b: regolden(b, lambda a: a.update(windows=a["windows"] * np.nan)),
        "golden window 0 cannot be judged: not_finite",
    ),
    "no golden windows": (
        lambda b: regolden(b, lambda a: a.update(windows=a["windows"][:0])),
        "not golden vectors",
    ),
    "golden windows of text": (
        lambda b: regolden(b, lambda a: a.update(windows=a["windows"].astype("U8"))),
        "not golden vectors",
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


def test_any_flipped_bit_is_refused(bundle):
    """Two hundred of them, anywhere in any file; each bit is mended before the next is flipped."""
    chance = random.Random(4)
    files = sorted(bundle.iterdir())
    assert len(files) == 3
    for _ in range(200):
        file = chance.choice(files)
        at, bit = chance.randrange(file.stat().st_size), chance.randrange(8)
        flip(file, at, bit)
        with pytest.raises(BundleError, match=file.name):
            Bundle.open(bundle, "onnx")
        flip(file, at, bit)
    Bundle.open(bundle, "onnx")


@pytest.mark.parametrize("tamper", [bomb, liar, crowd, giant, oversize(MODEL)])
def test_what_would_fill_the_memory_is_refused_before_it_does(bundle, tamper):
    """Measured: Python and NumPy never hold more than a few megabytes, nor take long over it."""
    tamper(bundle)
    tracemalloc.start()
    begun_s = time.monotonic()
    try:
        with pytest.raises(BundleError):
            Bundle.open(bundle, "onnx")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32 << 20
    assert time.monotonic() - begun_s < 5


def test_the_runtime_itself_would_have_read_files_elsewhere(bundle, monkeypatch):
    """Why an ONNX file is looked through before it is loaded."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    external(lambda weights: weights.name)(bundle)
    monkeypatch.chdir(bundle.parent)
    raw = (bundle / MODEL).read_bytes()
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.ones((1, 32), np.float32)})
    np.testing.assert_array_equal(y, np.full((1, 32), 0.5, np.float32))
    with pytest.raises(BundleError, match="external data"):
        Bundle.open(bundle, "onnx")


def test_a_link_is_followed_once(bundle, tmp_path):
    """It may be swapped for another bundle at any time."""
    (tmp_path / "current").symlink_to(bundle)
    assert Bundle.open(tmp_path / "current", "onnx").path == bundle
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BundleError, match="no bundle here"):
        Bundle.open(tmp_path / "loop", "onnx")


def test_it_knows_how_long_a_window_takes_here(bundle):
    """The fastest of the golden windows, so that a busy moment does not count."""
    assert 0 < Bundle.open(bundle, "onnx").window_s < 1


def test_an_engine_that_the_bundle_has_no_model_for_is_refused(bundle):
    """Asked for by the config."""
    with pytest.raises(BundleError, match="no tflite model for stage 'spectrum'"):
        Bundle.open(bundle, "tflite")


def test_an_unknown_engine_is_refused_with_the_known_ones(bundle):
    """The folder is the registry."""
    opened = Bundle.open(bundle)
    model = opened.manifest.stages["spectrum"]["onnx"]
    with pytest.raises(BundleError, match="no engine 'abacus'; known: onnx, tflite"):
        engines.open_engine("abacus", b"", model)


def test_a_failing_runtime_is_an_engine_error(bundle):
    """An input of the wrong length."""
    engine = Bundle.open(bundle).engines["spectrum"]
    with pytest.raises(EngineError, match=r"spectrum\.onnx"):
        engine.run(np.zeros(31, np.float32))


def test_a_version_names_runtime_and_number():
    """As health reports it."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert (engines.version("onnx") or "").startswith("onnxruntime 1.")
