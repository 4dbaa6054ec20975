import json

import numpy as np
import pytest
from tamper import edit

from export.evaluate import main
from training import protocols
from training.trade_off import MARGINS

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]
KEYS = {
    "bearings",
    "found",
    "median_first_alarm_fraction",
    "false_alarm_share_15_30",
    "bearings_with_false_alarm",
}


@pytest.fixture(autouse=True)
def _few_surrogates(monkeypatch):
    monkeypatch.setattr(protocols, "SURROGATE_HOURS", 20.0)  # 2,000 take two minutes


@pytest.fixture
def unseen(tmp_path):
    """Two lives in the layout of pronostia: one that ends in a roar, one that never changes."""
    from contract.ops.simulate import RunToFailure

    folder = tmp_path / "pronostia"
    folder.mkdir()
    for number, roar in enumerate((12.0, 1.0)):
        machine = RunToFailure(seed=77, windows=100, onset=1.0)
        acc = np.stack([machine.window(3) for _ in range(100)])
        rng = np.random.default_rng(number)
        acc += rng.normal(0, 0.1, acc.shape)
        acc[70:] *= roar
        np.savez(
            folder / f"bearing8_{number}.npz",
            acc=np.clip(acc / 0.002, -32_000, 32_000).astype(np.int16),
            scale=np.float32(0.002),
            fs=np.int64(25_600),
            index=np.arange(1, 401, 4, dtype=np.int32),
            n_total=np.int64(400),
            interval_s=np.int64(10),
        )
    return folder


@pytest.mark.parametrize("engine", ["tflite", "onnx"])
def test_unseen_bearings_through_the_devices_own_code(exported, unseen, capsys, engine):
    arguments = ["machine_condition", "--data", str(unseen), "--bundle", str(exported.bundle)]
    assert main("evaluate", [*arguments, "--engine", engine, "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert {"dataset", "metrics", "bundle", "seconds"} <= set(said)
    assert (said["dataset"], said["engine"]) == ("pronostia", engine)
    assert set(said["metrics"]) >= KEYS
    assert all(isinstance(value, int | float) for value in said["metrics"].values())
    assert said["metrics"]["bearings"] == 2
    assert said["metrics"]["found"] == 1
    assert said["metrics"]["bearings_with_false_alarm"] == 0
    loud, calm = said["recordings"]
    assert 0.70 < loud["first_alarm_fraction"] < 0.85
    assert calm["first_alarm_fraction"] is None
    assert loud["split"] == "unseen"
    assert "bearing8_0" in captured.err


def test_a_bundle_of_another_revision_is_refused(copied, unseen, capsys):
    edit(copied.bundle, lambda manifest: manifest.update(revision=99))
    arguments = ["machine_condition", "--data", str(unseen), "--bundle", str(copied.bundle)]
    assert main("evaluate", arguments) == 1
    said = capsys.readouterr().err
    assert "revision" in said
    assert said.count("\n") == 1


def test_an_unknown_data_set_is_one_line(tmp_path, capsys):
    assert main("evaluate", ["machine_condition", "--data", str(tmp_path / "attic")]) == 1
    assert "no reader for a data set called 'attic', nor" in capsys.readouterr().err


def test_an_unknown_workload_is_wrong_usage(tmp_path):
    with pytest.raises(SystemExit) as left:
        main("evaluate", ["no_such", "--data", str(tmp_path)])
    assert left.value.code == 2


def test_the_default_bundle_is_made_when_it_is_missing(
    exported, unseen, tmp_path, monkeypatch, capfd
):
    import shutil

    from export import evaluate

    started = []

    def pretend(command, check):
        started.append(command[3:])
        if "export" in command:
            shutil.copytree(exported.bundle, tmp_path / "bundles" / "machine_condition")
        return type("Done", (), {"returncode": 0})()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(evaluate.subprocess, "run", pretend)
    assert main("evaluate", ["machine_condition", "--data", str(unseen), "--json"]) == 0
    said = capfd.readouterr()
    assert [command[0] for command in started] == ["train", "export"]
    assert "no bundle in bundles/machine_condition yet" in said.err
    assert json.loads(said.out)["bundle"] == "bundles/machine_condition"


def test_the_shipped_bundle_is_found_from_anywhere(unseen, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main("evaluate", ["machine_condition", "--data", str(unseen), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["bundle"].endswith("bundles/machine_condition")


def test_what_other_thresholds_give_is_drawn(exported, unseen, tmp_path, capsys):
    page = tmp_path / "trade.html"
    arguments = ["machine_condition", "--data", str(unseen), "--bundle", str(exported.bundle)]
    assert main("evaluate", [*arguments, "--out", str(page), "--json"]) == 0
    captured = capsys.readouterr()
    trades = json.loads(captured.out)["trade_off"]
    assert {one["margin"] for one in trades} == set(MARGINS)
    assert next(one for one in trades if one["margin"] == 1.0)["found"] == 1
    assert str(page) in captured.err
    assert "False alarms against lead time" in page.read_text()


def test_where_nothing_runs_to_failure_there_is_no_page(tmp_path, capsys):
    np.savez(tmp_path / "9cm_h_normal_hall_1.npz", spectra=np.full((60, 512), 0.3))
    np.savez(tmp_path / "9cm_h_normal_hall_2.npz", spectra=np.full((60, 512), 0.3))
    page = tmp_path / "trade.html"
    arguments = ["machine_condition", "--data", str(tmp_path), "--out", str(page)]
    assert main("evaluate", arguments) == 1
    assert "no runs to failure to draw; fix: without --out" in capsys.readouterr().err
    assert not page.exists()


def test_a_data_set_that_needs_no_bundle_is_measured_without_one(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for repeat in (1, 2):
        spectra = 0.3 * np.exp(rng.normal(0, 0.2, (60, 512)))
        np.savez(tmp_path / f"9cm_h_normal_hall_{repeat}.npz", spectra=spectra.clip(0, 1))
    assert main("evaluate", ["machine_condition", "--data", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["dataset"] == "cooling_fan"
    assert said["metrics"]["fpr_max"] == 0.0
    assert "bundle" not in said
    assert [row["name"] for row in said["recordings"]] == ["9cm hall (healthy)"]
    assert "fpr_max 0" in captured.err
