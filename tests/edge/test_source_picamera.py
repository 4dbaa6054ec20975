"""The ribbon camera of a Raspberry Pi, against a fake of picamera2 that behaves."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contract.visits import Visitor
from edge import sources
from edge.crops import Crops
from edge.errors import SourceError
from edge.sources import picamera

TESTS = Path(__file__).resolve().parents[1]
FAKES = TESTS / "fake_ribbon"
BARS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)])


def config(**options) -> picamera.Config:
    table = {"type": "picamera", "hop_s": 0.05, "fps": 30.0, **options}
    return msgspec.convert(table, picamera.Config)


@pytest.fixture
def camera(monkeypatch):
    """Opens one that does what it is told."""
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    monkeypatch.syspath_prepend(str(FAKES))

    def opened(script=None, **options):
        monkeypatch.setenv("FAKE_RIBBON", json.dumps(script or {}))
        return sources.open_source(config(**options), name="cam", base=Path())

    return opened


def first(source, count: int) -> list:
    windows = source.windows()
    taken = list(itertools.islice(windows, count))
    windows.close()
    return taken


def middles(picture: np.ndarray) -> np.ndarray:
    """The colour in the middle of each of the four bars."""
    height, width = picture.shape[:2]
    return picture[height // 3, [width * (2 * i + 1) // 8 for i in range(4)]].astype(int)


class TestPictures:
    """What the model sees, and what evidence is cut from."""

    @pytest.mark.parametrize(
        ("width", "lores_width", "align"),
        [(1280, 640, 64), (1280, 456, 64), (890, 410, 64), (1280, 456, 128), (640, 640, 32)],
    )
    def test_are_two_of_one_moment_in_rgb_without_the_padding(
        self, camera, width, lores_width, align
    ):
        """Rows of 456 bytes lie 512 apart, and half of it in the colour planes."""
        sizes = {"width": width, "height": width * 3 // 4 // 2 * 2, "lores_width": lores_width}
        sizes["lores_height"] = lores_width * 3 // 4 // 2 * 2
        for window in first(camera({"align": align, "frames": -1}, **sizes), 3):
            assert window.data.shape == (sizes["lores_height"], lores_width, 3)
            assert window.large.shape == (sizes["height"], width, 3)
            assert window.data.dtype == window.large.dtype == np.uint8
            assert np.abs(middles(window.data) - BARS).max() <= 4
            assert (middles(window.large) == BARS).all()
            for picture in (window.data, window.large):
                # no bar is where another should be, to the last column
                assert np.abs(picture[4, -2].astype(int) - BARS[3]).max() <= 4
            # the number of the frame, which BT.601 stretches from 16..235 to 0..255
            number = int(window.large[-1, -1, 0])
            assert number > 0
            assert abs(int(window.data[-1, -1, 0]) - number * 255 / 219) < 2

    @pytest.mark.parametrize(("hflip", "vflip"), [(True, False), (False, True), (True, True)])
    def test_are_turned_by_the_camera(self, camera, hflip, vflip):
        """A camera that hangs from the ceiling."""
        (window,) = first(camera(hflip=hflip, vflip=vflip), 1)
        assert (middles(window.large) == BARS[:: -1 if hflip else 1]).all()
        row, column = (0 if vflip else -1), (0 if hflip else -1)
        assert (window.large[row, column] < BARS[3]).all()

    def test_a_face_is_cut_from_the_larger_one(self, camera):
        """The box of a face in the model's picture, two and a half times as large."""
        sizes = {"width": 1600, "height": 1200, "lores_width": 640, "lores_height": 480}
        (window,) = first(camera(**sizes), 1)
        crops = Crops()
        # within the second bar, 160 to 320
        box = (220.0, 200.0, 260.0, 240.0)
        crops.see((Visitor("face", box=box, visit="v", quality=1.0),), window)
        import cv2

        got = cv2.imdecode(np.frombuffer(crops.jpeg("v"), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        assert got.shape[:2] == (181, 181)  # (1 + 2 * 0.4) * 40 * 2.5, and one
        assert np.abs(got.reshape(-1, 3).mean(axis=0) - BARS[1]).max() < 8

    def test_frames_are_given_back_and_only_those_due_are_taken(self, camera):
        """Four buffers, a hundred frames; three of them are wanted."""
        windows = first(camera({"frames": -1}, fps=60.0, hop_s=0.4), 4)
        steps_s = [(b.t_ns - a.t_ns) / 1e9 for a, b in itertools.pairwise(windows)]
        assert sum(steps_s) == pytest.approx(1.2, abs=0.3)
        assert [window.seq for window in windows] == [0, 1, 2, 3]
        assert 30 < windows[-1].rate_hz < 80
        assert abs(windows[-1].wall_ns - time.time_ns()) < 5e9

    @pytest.mark.slow
    def test_a_slow_reader_gets_the_newest(self, camera):
        """What waits is replaced."""
        windows = camera({"frames": -1}).windows()
        next(windows)
        time.sleep(2.0)
        seqs = [next(windows).seq for _ in range(3)]
        fresh = next(windows)
        windows.close()
        assert seqs[-1] > 10
        assert time.monotonic_ns() - fresh.t_ns < 1e9

    def test_another_size_in_the_middle_is_handed_on_as_it_is(self, camera):
        """The gate refuses it; here no row is torn."""
        windows = first(camera({"frames": 8, "then": "reconfigure"}), 12)
        assert {window.data.shape[:2] for window in windows} == {(480, 640), (240, 320)}
        assert np.abs(middles(windows[-1].data) - BARS).max() <= 4


class TestFailures:
    """One line each, with what to do."""

    @pytest.mark.parametrize(
        ("script", "options", "says"),
        [
            ({"cameras": 0}, {}, "picamera 0: not there: no camera at all; fix: its ribbon cable"),
            ({}, {"camera": 1}, "picamera 1: not there: 0 is imx708; fix: camera"),
            ({"opens": False}, {}, "picamera 0: is in use; fix: stop the program that reads it"),
            ({"frames": 2, "then": "fail"}, {}, "RuntimeError: Camera has been disconnected"),
            ({}, {"width": 8000, "height": 6000}, "Invalid camera configuration.*; fix: a size"),
            ({"gives": {"main": "MJPEG"}}, {}, "gives MJPEG and YUV420, not .*; fix: .*'camera'"),
            (
                {"import": "numpy.dtype size changed, may indicate binary incompatibility"},
                {},
                "picamera2 cannot be loaded: numpy.dtype size.*; fix: pip install 'numpy<2'",
            ),
        ],
    )
    def test_are_told(self, camera, script, options, says):
        """As picamera2 and libcamera fail."""
        with pytest.raises(SourceError, match=says):
            list(camera(script, **options).windows())

    def test_a_hang_is_ended_with_the_words_of_libcamera(self, camera):
        """Its sensor no longer sends: the request never completes."""
        source, got = camera({"frames": 3, "then": "hang"}, stall_s=2.0), []
        began_s = time.monotonic()
        with pytest.raises(SourceError) as failure:
            got.extend(source.windows())
        assert time.monotonic() - began_s < 10
        assert str(failure.value).startswith("picamera 0: has delivered nothing for 2 s; its last")
        assert "check that your camera sensor connector is attached securely" in str(failure.value)

    def test_without_picamera2_the_way_to_it_is_named(self):
        """It is no package of pip's that would work."""
        assert "picamera2" not in sys.modules
        with pytest.raises(
            SourceError, match=r"apt install python3-picamera2.*system-site-packages"
        ):
            sources.open_source(config(), name="cam", base=Path())

    def test_a_camera_works_again_after_it_hung(self, camera):
        """As the watcher opens it again."""
        with pytest.raises(SourceError, match="has delivered nothing"):
            list(camera({"frames": 1, "then": "hang"}, stall_s=2.0).windows())
        assert len(first(camera(), 2)) == 2


class TestConfig:
    """What could never work is refused at the start."""

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"camera": -1}, ">= 0"),
            ({"width": 1281}, "multiple of 2"),
            ({"lores_width": 63}, ">= 64"),
            ({"fps": 0.5}, ">= 1.0"),
            ({"lores_width": 1920, "lores_height": 1440}, "lores is larger than width x height"),
            (
                {"width": 1920, "height": 1080},
                "lores 640 x 480 is of another shape than 1920 x 1080; fix: lores_height = 360",
            ),
            ({"flip": "up"}, "unknown field `flip`"),
        ],
    )
    def test_is_refused(self, options, says):
        with pytest.raises(msgspec.ValidationError, match=says):
            config(**options)

    def test_neither_library_is_in_the_service(self):
        """Both are the child's."""
        assert not {"picamera2", "libcamera"} & set(sys.modules)
        assert os.environ.get("LIBCAMERA_LOG_LEVELS") is None
