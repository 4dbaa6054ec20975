"""Inspection from a folder of pictures to a bundle that decides, as a person would do it."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from contract.inspection import OUTCOMES
from contract.manifest import LEARNED
from edge.bundle import Bundle
from edge.errors import BundleError

pytestmark = [
    pytest.mark.training,
    # Keras, TensorFlow and tf2onnx are behind NumPy
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def line(folder, *, seed, items=12):
    """Items with two pictures each, 200 x 260 pixels: a bright bar on a grey ground, every third
    item with a dark spot on one of them, drawn in a mask."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    rows = ["file,label,mask,item"]
    for item in range(items):
        for view in range(2):
            picture = rng.normal(90, 3, (200, 260))
            picture[70:130] += 60
            name, mask = f"{item}-{view}", ""
            if item % 3 == 0 and view == 0:
                row, column = rng.integers(80, 110), rng.integers(20, 220)
                picture[row : row + 14, column : column + 14] -= 90
                drawn = np.zeros((200, 260), np.uint8)
                drawn[row : row + 14, column : column + 14] = 255
                mask = f"{name}-mask.png"
                cv2.imwrite(str(folder / mask), drawn)
            cv2.imwrite(str(folder / f"{name}.png"), picture.clip(0, 255).astype(np.uint8))
            rows.append(f"{name}.png,{'defect' if mask else 'good'},{mask},k{item}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("inspection")
    from export.__main__ import main as export
    from training.__main__ import main as train
    from training.recipes.inspection import memory
    from training.report import Section

    def explain(model, recordings):
        return [Section("told", "Told", f"{model.name} of {len(recordings)} items")]

    data = line(base / "shown", seed=1)
    run, bundle = base / "run", base / "bundle"
    asked = ["inspection", "--data", str(data), "--method", "padim", "--out", str(run)]
    stages = {"look": replace(memory.METHODS["padim"]["look"], explain=explain)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(memory.METHODS, "padim", stages)
        assert train("train", asked) == 0
    assert export("export", [str(run), "--out", str(bundle)]) == 0
    return base


def test_the_report_shows_decision_and_pictures(made):
    html = (made / "run" / "report.html").read_text()
    for section in ("decision", "missed", "rejected", "found"):
        assert f'id="{section}"' in html
    assert 'src="http' not in html


def test_the_report_shows_what_a_stage_explains(made):
    report = (made / "run" / "report.html").read_text()
    assert "features of 2 items" in report


def test_pictures_never_seen_are_decided(made, capsys):
    from export.evaluate import main as evaluate

    data = line(made / "other", seed=2)
    asked = ["inspection", "--bundle", str(made / "bundle"), "--data", str(data), "--json"]
    assert evaluate("evaluate", asked) == 0
    said = json.loads(capsys.readouterr().out)
    metrics = said["metrics"]
    assert metrics["files"] == 24
    assert metrics["auroc"] == 1.0
    assert metrics["recall"] == 1.0
    assert metrics["pointing"] == 1.0
    assert metrics["aupro"] > 0.8
    assert 0.0 <= metrics["false_reject_rate"] <= 1.0
    assert {row["name"] for row in said["recordings"]} == {"good", "defect"}


def test_the_bundle_brings_what_good_parts_are_like(made):
    bundle = Bundle.open(made / "bundle", "tflite")
    assert bundle.manifest.labels == list(OUTCOMES)
    assert bundle.manifest.operating_point.clear_threshold <= (
        bundle.manifest.operating_point.threshold
    )
    assert {"good.mean", "good.whiten", "drift.view", "drift.limits"} <= set(bundle.learned)


def test_what_it_brings_is_hashed_as_the_rest(made, tmp_path):
    import shutil

    shutil.copytree(made / "bundle", tmp_path / "bundle")
    file = tmp_path / "bundle" / LEARNED
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(BundleError, match=r"learned.npz: SHA-256 is"):
        Bundle.open(tmp_path / "bundle", "tflite")
    file.unlink()
    with pytest.raises(BundleError, match=r"learned.npz"):
        Bundle.open(tmp_path / "bundle", "tflite")


def test_wrong_data_are_refused_in_words(made, tmp_path, capsys):
    from export.evaluate import main as evaluate
    from training.__main__ import main as train

    tiny = line(tmp_path / "tiny", seed=3, items=2)
    asked = ["inspection", "--data", str(tiny), "--method", "edge", "--out", str(tmp_path / "r")]
    assert train("train", asked) == 1
    assert "2 items, at least 3 are needed" in capsys.readouterr().err
    few = line(tmp_path / "few", seed=3, items=6)
    asked = ["inspection", "--data", str(few), "--method", "edge", "--out", str(tmp_path / "f")]
    assert train("train", asked) == 1
    assert "at least 4 and 4 are needed" in capsys.readouterr().err
    assert evaluate("evaluate", ["inspection", "--data", str(few)]) == 1
    assert "--method" in capsys.readouterr().err
