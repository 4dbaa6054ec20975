"""`vedette evaluate --compare`: the shipped detector among published methods."""

from __future__ import annotations

import json

import numpy as np
import pytest

from export import evaluate
from export.evaluate import main

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


@pytest.fixture
def loud_and_calm(tmp_path):
    """Two lives in the layout of pronostia: one that ends in a roar, one that never changes."""
    folder = tmp_path / "pronostia"
    folder.mkdir()
    for number, roar in enumerate((8.0, 1.0)):
        acc = np.random.default_rng(number).normal(0, 200, (100, 1024, 2))
        acc[70:] *= roar
        np.savez(
            folder / f"bearing8_{number}.npz",
            acc=acc.astype(np.int16),
            scale=np.float32(0.002),
            fs=np.int64(25_600),
            index=np.arange(1, 401, 4, dtype=np.int32),
            n_total=np.int64(400),
            interval_s=np.int64(10),
        )
    return folder


def asked(exported, data, compare):
    given = ["--data", str(data), "--bundle", str(exported.bundle), "--compare", compare]
    return ["machine_condition", *given]


def test_one_table_one_json_one_page(exported, loud_and_calm, tmp_path, capsys):
    page = tmp_path / "compared.html"
    arguments = asked(exported, loud_and_calm, "pca_auto,gmm")
    assert main("evaluate", [*arguments, "--out", str(page), "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["dataset"] == "pronostia"
    rows = {(row["method"], row["features"]): row for row in said["compare"]}
    assert set(rows) == {
        ("shipped", "own"), ("shipped_alarm", "own"),
        ("pca_auto", "published"), ("gmm", "published"), ("pca_auto", "ours"), ("gmm", "ours"),
    }  # fmt: skip
    for row in rows.values():
        assert row["recordings"] == 2
        assert row["found"] >= (0 if row["features"] == "own" else 1)
        assert row["auc"] is None  # nobody knows these bearings' onset
        assert row["window_us"] > (row["detector_us"] or 0.0) > -1.0
    calm = rows["pca_auto", "published"]
    assert calm["found"] == 1
    assert calm["false_recordings"] == 0
    assert calm["first_alarm"] == pytest.approx((0.725 + 1.0) / 2, abs=0.02)
    assert calm["contrast"] > 1.0
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 2
    assert "pca_auto" in html
    assert "7 of 50 components, from 15 rows of 200 features" in html
    assert not any(outside in html for outside in ("<script", "<link", 'src="http', "url(http"))
    assert "pca_auto" in captured.err


def test_simulated_machines_have_a_known_onset(exported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "_SIMULATED", 1)
    assert main("evaluate", [*asked(exported, "simulated", "pca_auto"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["compare"]
    assert {row["method"] for row in rows} == {"shipped", "shipped_alarm", "pca_auto"}
    assert all(0.5 < row["auc"] <= 1.0 for row in rows if row["method"] != "shipped_alarm")


def test_an_unknown_method_is_one_line_that_names_the_known(exported, loud_and_calm, capsys):
    assert main("evaluate", asked(exported, loud_and_calm, "pca_auto,oracle")) == 1
    said = capsys.readouterr().err
    assert "no method 'oracle'; fix: all, or some of denoising_ae, dense_ae" in said
    assert said.count("\n") == 1


def test_windows_too_short_for_the_features_are_told(exported, loud_and_calm, capsys):
    for file in loud_and_calm.iterdir():
        with np.load(file) as archive:
            life = dict(archive)
        life["acc"] = life["acc"][:, :150]
        np.savez(file, **life)
    assert main("evaluate", asked(exported, loud_and_calm, "lof")) == 1
    said = capsys.readouterr().err
    assert "bearing8_0: " in said.splitlines()[-1]
    assert "fix: compare on longer windows" in said.splitlines()[-1]
