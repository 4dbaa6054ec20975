"""`vedette check` takes a window of a live sensor: only that shows that it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from webcam import Webcam

from edge.check import _source
from edge.config import PipelineConfig
from edge.sources import camera, simulate


@pytest.fixture
def cam():
    webcam = Webcam()
    yield webcam
    webcam.stop()


def look(source):
    return _source(PipelineConfig("door", "bundle", source), Path())


def test_what_a_camera_gives_is_told(cam):
    """Its size and the range of its values."""
    finding = look(camera.Config(url=f"http://127.0.0.1:{cam.port}/"))
    assert finding.is_ok
    assert finding.text.startswith("gives 120 x 160 x 3, from 0 to 255")


def test_a_camera_that_gives_nothing_readable_is_told(cam):
    """With something to look at."""
    cam.mode = "truncated"
    finding = look(camera.Config(url=f"http://127.0.0.1:{cam.port}/"))
    assert "nothing that can be read" in finding.text
    assert finding.fix


def test_a_camera_that_is_not_there_fails(free_port):
    """With the address."""
    finding = look(camera.Config(url=f"http://127.0.0.1:{free_port}/"))
    assert not finding.is_ok
    assert str(free_port) in finding.text


def test_a_recording_is_only_opened():
    """It would take as long as its first window."""
    assert look(simulate.Config(window_s=0.1)).text == "opens"
