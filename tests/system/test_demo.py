"""The main job as a stranger runs it, no root: with the data and the broker that are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from host import people
from host.phases import DemoError


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    """Run to its end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "vedette", "demo", *options, "--once", "--json"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.training
@pytest.mark.slow
def test_the_demo_loses_nothing_and_alarms_after_the_onset(tmp_path: Path):
    """Train, export, deploy, watch a machine fail, see the alert stored."""
    done = demo("--dir", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert summary["windows"] > 100
    assert summary["lost"] == 0
    assert summary["duplicates"] == 0
    assert summary["alerts_raised"] == summary["alerts_stored"] >= 1
    begins = summary["onset_fraction_of_life"] or 0.0  # known of a simulated machine alone
    assert begins <= summary["first_alert_fraction_of_life"] < 1.0
    assert summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert 0 < summary["model"]["int8_bytes"] < summary["model"]["float_bytes"]
    assert {"float", "tflite", "onnx"} <= set(summary["model"]["parity"])
    assert {"train", "export", "start", "watch"} <= set(summary["seconds"])
    assert (tmp_path / "demo" / "run" / "report.html").is_file()


@pytest.mark.slow
def test_the_demo_of_faces_names_the_enrolled_and_nobody_else(tmp_path: Path):
    """Enrol, film, watch people walk by, see each told once, with a picture."""
    try:
        people.choose(5)
    except DemoError as error:
        pytest.skip(str(error))
    done = demo("faces", "--dir", str(tmp_path), "--embedded")
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads(done.stdout)
    assert len(summary["visits"]) == 5
    for visit in summary["visits"]:
        assert visit["said"] == [visit["person"] if visit["is_enrolled"] else "stranger"]
    assert (summary["recognised"], summary["strangers"], summary["named_wrong"]) == (3, 2, 0)
    assert summary["alerts_raised"] == summary["alerts_stored"] == 10  # raised and cleared
    assert (summary["lost"], summary["duplicates"]) == (0, 0)
    assert summary["evidence"] == 5
    assert {"enrol", "film", "start", "watch"} <= set(summary["seconds"])


def test_the_demo_of_faces_says_which_data_it_needs(tmp_path: Path, monkeypatch):
    """With what to do about it, and before anything is started."""
    monkeypatch.setenv("VEDETTE_DATA", str(tmp_path / "nowhere"))
    done = demo("faces", "--dir", str(tmp_path / "demo"))
    assert done.returncode == 1
    assert "nowhere/faces_caltech_in_out: No such file or directory; fix: VEDETTE_DATA=DIR" in (
        done.stderr
    )


def test_there_are_no_simulated_people():
    """Wrong usage."""
    done = demo("faces", "--simulate")
    assert done.returncode == 2
    assert "no simulated people" in done.stderr
