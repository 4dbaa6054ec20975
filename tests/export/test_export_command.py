import json
import shutil
import subprocess

import numpy as np
import pytest

from edge.bundle import Bundle
from edge.errors import BundleError
from export import bundle
from export.__main__ import main
from export.convert import ConversionError
from training import recipes
from training.weights import EFFICIENTNET_LITE0

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


@pytest.mark.parametrize("engine", ["tflite", "onnx"])
def test_the_device_opens_the_bundle(exported, engine):
    bundle = Bundle.open(exported.bundle, engine)
    assert bundle.workload.name == "machine_condition"
    assert bundle.model_id == exported.said["model_id"][engine]
    model = bundle.manifest.stages["spectrum"][engine]
    assert model.input.shape == (1, 32)
    assert model.input.dtype == ("int8" if engine == "tflite" else "float32")


def test_it_says_sizes_and_parity(exported):
    said = exported.said
    assert said["bytes"]["tflite"] < said["bytes"]["float"]
    for engine in ("tflite", "onnx"):
        assert said["metrics"][engine]["sqnr_db"] > 20
        loss = said["metrics"][engine]["rebuild_rms"] - said["metrics"]["float"]["rebuild_rms"]
        assert loss <= said["tolerances"]["rebuild_rms"]


def test_the_terms_of_weights_that_it_began_with_are_told():
    said = bundle.licence({"parts": "MIT"}, (EFFICIENTNET_LITE0,))
    assert said.startswith("trained on: parts (MIT); from efficientnet-lite0-57934424.pth: Apache")
    for method in ("edge", "good-only", "padim", "memory", "student"):
        assert recipes.load("inspection", method).stages["look"].weights == (EFFICIENTNET_LITE0,)
    assert not recipes.load("inspection", "quarter").stages["look"].weights


def test_the_manifest_says_where_it_comes_from(exported):
    manifest = json.loads((exported.bundle / "manifest.json").read_text())
    assert (
        manifest["licence"] == "trained on: simulated (simulated by this project, free of rights)"
    )
    assert set(manifest["data"]) == {"simulated", "training", "validation", "test"}
    assert manifest["operating_point"]["threshold"] > manifest["operating_point"]["clear_threshold"]
    assert set(manifest["operating_point"]["scales"]) == set(manifest["labels"])
    assert len(manifest["labels"]) == 4


def test_the_report_now_has_its_parity_page(exported):
    html = (exported.run / "report.html").read_text()
    assert "Not exported yet" not in html
    assert "SQNR of the outputs" in html
    assert html.count("<!-- parity -->") == 1


def test_golden_vectors_hold_windows_inputs_and_all_outputs(exported):
    with np.load(exported.bundle / "golden.npz") as golden:
        assert golden["windows"].shape == (4, 2560, 2)
        rows = {name: golden[f"spectrum.{name}"].shape for name in ("input", "float", "tflite")}
    assert set(rows.values()) == {(8, 32)}


@pytest.mark.parametrize("name", ["SPECTRUM.tflite", "golden.npz"])
def test_a_changed_file_is_refused(copied, name):
    file = copied.bundle / name
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(BundleError, match="SHA-256"):
        Bundle.open(copied.bundle, "tflite")


@pytest.fixture
def _converted_before(copied, monkeypatch):
    """The converter's work done already: by the export that made the bundle."""
    from export import build

    def start(work):
        for file in copied.bundle.glob("SPECTRUM.*"):
            shutil.copyfile(file, work / file.name)
        (work / "SPECTRUM.float.tflite").write_bytes(b"not looked into")
        return subprocess.Popen(["true"], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(build.convert, "start", start)


@pytest.mark.usefixtures("_converted_before")
def test_a_broken_model_passes_no_gate_and_leaves_the_old_bundle(copied, monkeypatch, capsys):
    from training import backend

    # beside a float model that rebuilds everything, the int8 one is broken
    monkeypatch.setattr(backend, "as_model", lambda _model: lambda rows: rows)
    before = (copied.bundle / "manifest.json").read_bytes()
    assert main("export", [str(copied.run), "--out", str(copied.bundle)]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "rebuild_rms with tflite: float 0, int8 0." in said
    assert "tolerance 0.0" in said
    assert (copied.bundle / "manifest.json").read_bytes() == before
    assert "beyond" in (copied.run / "report.html").read_text()
    assert sorted(p.name for p in copied.bundle.parent.iterdir()) == ["bundle", "run"]


@pytest.mark.usefixtures("_converted_before")
def test_exporting_again_replaces_the_bundle(copied):
    old = json.loads((copied.bundle / "manifest.json").read_text())
    assert main("export", [str(copied.run), "--out", str(copied.bundle)]) == 0
    new = json.loads((copied.bundle / "manifest.json").read_text())
    assert new["stages"] == old["stages"]
    assert new["metrics"] == old["metrics"]
    assert new["operating_point"] == old["operating_point"]


def test_an_unfinished_run_is_refused_with_the_way_on(copied, capsys):
    file = copied.run / "run.json"
    file.write_text(file.read_text().replace('"is_finished": true', '"is_finished": false'))
    assert main("export", [str(copied.run)]) == 1
    assert f"--resume {copied.run}" in capsys.readouterr().err


def test_a_folder_of_something_else_is_never_replaced(copied, tmp_path, capsys):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "letter.txt").write_text("dear")
    assert main("export", [str(copied.run), "--out", str(precious)]) == 1
    assert "holds something else than a bundle" in capsys.readouterr().err
    assert (precious / "letter.txt").read_text() == "dear"


def test_not_a_run_is_one_line(tmp_path, capsys):
    assert main("export", [str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "fix:" in said
    assert said.count("\n") == 1


def test_files_without_their_weights_are_refused(exported):
    from export import onnx, tflite

    for check, file in ((tflite.check, "SPECTRUM.tflite"), (onnx.check, "SPECTRUM.onnx")):
        check(exported.bundle / file, weights=2 * 32 * 8)
        with pytest.raises(ConversionError, match=r"int8 weights of 1000000"):
            check(exported.bundle / file, weights=10**6)


def test_a_float_file_is_refused(tmp_path):
    import keras
    import tensorflow as tf

    from export import tflite

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    file = tmp_path / "FLOAT.tflite"
    file.write_bytes(converter.convert())
    with pytest.raises(ConversionError, match="0 int8 weights of 8"):
        tflite.check(file, weights=8)
    with pytest.raises(ConversionError, match="are floats"):
        tflite.check(file, weights=0)


def test_a_crash_of_the_converter_is_one_line(copied, tmp_path):
    from export import convert

    work = tmp_path / "work"
    work.mkdir()
    shutil.copyfile(copied.run / "spectrum.keras", work / "spectrum.keras")
    with convert.start(work) as child:
        child.kill()
        with pytest.raises(ConversionError, match="signal 9"):
            convert.finish(child)
