"""The ribbon camera of a Jetson, against a fake of OpenCV with GStreamer and Argus."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import msgspec
import pytest

from edge import sources
from edge.errors import SourceError
from edge.sources import jetson

FAKES = Path(__file__).resolve().parents[1] / "fake_gstreamer"
RED, BLUE = (255, 0, 0), (0, 0, 255)


def config(**options) -> jetson.Config:
    return msgspec.convert({"type": "jetson", "hop_s": 0.05, **options}, jetson.Config)


def opened(**options):
    return sources.open_source(config(**options), name="cam", base=Path())


@pytest.fixture
def camera(monkeypatch):
    """Opens one that does what it is told."""
    monkeypatch.setenv("PYTHONPATH", str(FAKES))

    def made(script=None, **options):
        monkeypatch.setenv("FAKE_ARGUS", json.dumps(script or {}))
        return opened(**options)

    return made


def first(source, count: int) -> list:
    windows = source.windows()
    taken = list(itertools.islice(windows, count))
    windows.close()
    return taken


def test_pictures_arrive_in_rgb_and_only_those_due(camera):
    """60 a second, of which three are wanted."""
    windows = first(camera(fps=60, width=640, height=360, hop_s=0.4), 4)
    for window in windows:
        assert window.data.shape == (360, 640, 3)
        assert tuple(window.data[9, 9]) == BLUE
        assert tuple(window.data[9, -9]) == RED
        assert window.large is None
    steps_s = [(b.t_ns - a.t_ns) / 1e9 for a, b in itertools.pairwise(windows)]
    assert sum(steps_s) == pytest.approx(1.2, abs=0.3)
    assert 30 < windows[-1].rate_hz < 80


@pytest.mark.parametrize(
    ("flip", "shape", "top_left"),
    [("left", (640, 360), RED), ("180", (360, 640), RED), ("right", (640, 360), BLUE)],
)
def test_pictures_are_turned_by_the_camera(camera, flip, shape, top_left):
    (window,) = first(camera(width=640, height=360, flip=flip), 1)
    assert window.data.shape[:2] == shape
    assert tuple(window.data[9, 9]) == top_left


def test_the_pipeline_keeps_one_frame_and_drops_the_older():
    """In the order of NVIDIA's own examples; the mode only where one is asked for."""
    assert jetson.pipeline(config(sensor_id=1, sensor_mode=2, width=1920, height=1080)) == (
        "nvarguscamerasrc sensor-id=1 sensor-mode=2 ! "
        "video/x-raw(memory:NVMM),format=NV12,width=1920,height=1080,framerate=30/1 ! "
        "nvvidconv flip-method=0 ! video/x-raw,format=BGRx ! videoconvert ! "
        "video/x-raw,format=BGR ! appsink drop=1 max-buffers=1 sync=0"
    )
    assert "sensor-mode" not in jetson.pipeline(config())


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ({"daemon": False}, "jetson camera 0: does not open; fix: sudo systemctl restart nvargus"),
        ({"then": "end", "frames": 2}, "jetson camera 0: the camera ended the stream"),
    ],
)
def test_failures_are_told(camera, script, says):
    with pytest.raises(SourceError, match=says):
        list(camera(script).windows())


def test_a_hang_is_ended_and_the_next_one_delivers(camera):
    """A daemon that has lost its camera: nothing comes, and no error."""
    began_s = time.monotonic()
    with pytest.raises(SourceError, match=r"jetson camera 0: has delivered nothing for 2 s"):
        list(camera({"then": "hang", "frames": 3}, stall_s=2.0).windows())
    assert time.monotonic() - began_s < 10
    assert len(first(camera(), 2)) == 2


def test_opencv_of_pip_has_no_gstreamer_and_is_told_with_the_way_to_one_that_has():
    """The real one, as it is installed here."""
    with pytest.raises(
        SourceError, match=r"has no GStreamer.*; fix: pip uninstall .*nvidia-opencv"
    ):
        list(opened().windows())


def test_without_opencv_the_way_to_the_right_one_is_named(monkeypatch):
    """Not to that of pip."""
    monkeypatch.setattr(jetson.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SourceError, match="sudo apt install nvidia-opencv"):
        opened()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sensor_id": 99}, "<= 15"),
        ({"sensor_mode": -2}, ">= 0"),
        ({"width": 641}, "multiple of 2"),
        ({"fps": 29.97}, "Expected `int`"),
        ({"flip": "upside-down"}, "Invalid enum value 'upside-down'"),
        ({"stall_s": 0.5}, ">= 2.0"),
    ],
)
def test_what_could_never_work_is_refused_at_the_start(options, says):
    with pytest.raises(msgspec.ValidationError, match=says):
        config(**options)
