"""`vedette check` says who is enrolled, or why the gallery is not taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import Bundle
from edge.check import _gallery
from edge.config import PipelineConfig
from edge.sources import camera

FACES = Path(__file__).resolve().parents[2] / "bundles" / "faces"


@pytest.fixture(scope="module")
def bundle():
    pytest.importorskip("cv2", reason="OpenCV is not installed; fix: make setup")
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed; fix: make setup")
    return Bundle.open(FACES, "tflite")


def look(bundle, base):
    source = camera.Config(url="http://127.0.0.1:1/")
    return _gallery(PipelineConfig("door", "faces", source, gallery="who.gallery"), bundle, base)


def test_nobody_enrolled_yet_is_told_with_the_verb_that_enrols(bundle, tmp_path):
    finding = look(bundle, tmp_path)
    assert "nobody is enrolled yet" in finding.text
    assert "vedette enrol NAME" in finding.fix


def test_a_gallery_that_is_none_is_refused(bundle, tmp_path):
    (tmp_path / "who.gallery").write_text("{}")
    finding = look(bundle, tmp_path)
    assert not finding.is_ok
    assert "who.gallery" in finding.text
    assert finding.fix
