"""The whole way: a simulated bearing fails, and a reader far away sees why the alert was raised."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import msgspec
import pytest
from fakes import tiny_bundle
from real_broker import until
from system_site import Site

from contract import evidence, manifest
from contract.manifest import MANIFEST, Manifest

CONFIG = """
[device]
name = "press-1"
state_dir = "state"
health_interval_s = 0.5

[mqtt]
port = {port}

[[pipeline]]
name = "spindle"
bundle = "bundle"
engine = "onnx"
learn_windows = 60

[pipeline.machine]
iso_class = "2-rigid"
unit = "g"

[pipeline.source]
type = "simulate"
windows = 240
window_s = 0.5
speed = 200.0
"""


def eager_bundle(path: Path) -> Path:
    """Raises at a tenth of what the tiny one does: the detector itself is tried elsewhere."""
    tiny_bundle(path)
    file = path / MANIFEST
    made = msgspec.json.decode(file.read_bytes(), type=Manifest)
    point = msgspec.structs.replace(made.operating_point, threshold=0.1, clear_threshold=0.08)
    file.write_bytes(manifest.encode(msgspec.structs.replace(made, operating_point=point)))
    return path


def raised(site: Site) -> list[dict]:
    rows = site.get("api/alerts?kind=alert")["alerts"]
    return [row for row in rows if row["state"] == "raised"]


@pytest.mark.broker
@pytest.mark.slow
def test_an_alert_of_the_service_explains_itself_to_a_reader(site: Site):
    """Words, severity, and the window with its spectra, of then and now, by hash."""
    eager_bundle(site.folder / "bundle")
    (site.folder / "edge.toml").write_text(CONFIG.format(port=site.broker.port))
    device = site.spawn("-m", "vedette", "run", "--config", str(site.folder / "edge.toml"))
    try:
        until(lambda: raised(site), within_s=60)
        alert = raised(site)[-1]
        assert "healthy" in alert["text"]
        assert "mm/s RMS" in alert["text"]
        assert alert["severity"] in set("ABCD")
        url = f"{site.page}api/evidence/{alert['evidence']}"
        with urllib.request.urlopen(url, timeout=15) as answer:
            read = evidence.decode(answer.read())
        assert read.window.shape == (12_800, 2)
        assert read.seq == alert["window"]
        assert read.spectra["healthy"].shape == read.spectra["present"].shape
        with urllib.request.urlopen(f"{url}/spectra", timeout=15) as answer:
            drawn = json.load(answer)
        assert set(drawn["spectra"]) == set(read.spectra)
        (pipeline,) = site.get("api/devices")["devices"][0]["pipelines"]
        assert pipeline["evidence_lost"] == 0
        assert pipeline[alert["level"]]["state"] == "raised"
    finally:
        device.terminate()
        device.wait(10)
    files = {path.name for path in (site.folder / "state" / "evidence").iterdir()}
    assert f"{alert['evidence']}.npz" in files
