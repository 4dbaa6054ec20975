"""The main job as a stranger runs it: simulator and embedded broker, no data, no root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.training
@pytest.mark.slow
def test_the_demo_loses_nothing_and_alarms_after_the_onset(tmp_path: Path):
    """Train, export, deploy, watch a simulated machine fail, see the alert stored."""
    options = ["--once", "--json", "--simulate", "--embedded", "--dir", str(tmp_path / "demo")]
    done = subprocess.run(
        [sys.executable, "-m", "vedette", "demo", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert summary["windows"] == 240
    assert summary["lost"] == 0
    assert summary["duplicates"] == 0
    assert summary["alerts_raised"] == summary["alerts_stored"] >= 1
    assert summary["onset_fraction_of_life"] <= summary["first_alert_fraction_of_life"] < 1.0
    assert summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert 0 < summary["model"]["int8_bytes"] < summary["model"]["float_bytes"]
    assert {"float", "tflite", "onnx"} <= set(summary["model"]["parity"])
    assert {"train", "export", "start", "watch"} <= set(summary["seconds"])
    assert (tmp_path / "demo" / "run" / "report.html").is_file()
