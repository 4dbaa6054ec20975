"""The bundle in the repository: what a device gets that has nobody to train for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.bundle import Bundle
from export.evaluate import evaluate
from training import datasets, protocols

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"


@pytest.mark.parametrize("engine", ["tflite", "onnx"])
def test_the_shipped_bundle_proves_itself_here_to_the_last_bit(engine: str):
    """It fails when the workload's features or revision move: `make bundle` makes it anew."""
    bundle = Bundle.open(SHIPPED, engine)
    assert bundle.workload.name == "machine_condition"
    assert bundle.manifest.labels == list(bundle.workload.labels)
    assert bundle.manifest.tolerances == bundle.workload.tolerances


def test_the_shipped_bundle_finds_real_bearings_and_is_silent_before(monkeypatch):
    """Through the device's own pipeline; a guard against getting worse, not a measurement."""
    real = Path(os.environ.get("VEDETTE_DATA", "data"), "pronostia")
    if not real.is_dir():
        pytest.skip(f"{real}: no such folder; set VEDETTE_DATA")
    monkeypatch.setattr(protocols, "SURROGATE_HOURS", 100.0)  # 2,000 take two minutes
    metrics = evaluate(Bundle.open(SHIPPED, "tflite"), datasets.open_folder(real)).metrics
    assert metrics["found"] >= 0.9 * metrics["bearings"]
    assert metrics["false_alarm_share_15_30"] <= 0.03
    assert metrics["median_first_alarm_fraction"] <= 0.6
    assert metrics["alarm_level_false_bearings"] == 0
    assert metrics["surrogate_episodes_per_100h"] <= 3.0  # of so few hours
