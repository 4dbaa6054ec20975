"""Motion JPEG over HTTP, and RTSP of Debian's packages, each as it should be and misbehaving."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import webcam

from contract.spec import ImageSpec
from edge import mjpeg, sources
from edge.errors import SourceError
from edge.frames import FrameSource
from edge.sources import camera
from host import ports

TESTS = Path(__file__).resolve().parents[1]
SPEC = ImageSpec(min_height=32, min_width=32, example_height=64, example_width=64)
SYSTEM_PYTHON = "/usr/bin/python3"  # has the bindings of GStreamer that Debian packages


def config(url: str, **options) -> camera.Config:
    return msgspec.convert({"type": "camera", "url": url, "hop_s": 0.05, **options}, camera.Config)


def source(url: str, **options) -> FrameSource:
    return sources.open_source(config(url, **options), name="cam", base=Path())


@pytest.fixture
def cam():
    """Sends 20 pictures a second."""
    sending = webcam.Webcam()
    yield sending
    sending.stop()


def first(url: str, count: int, **options) -> list:
    windows = source(url, **options).windows()
    taken = list(itertools.islice(windows, count))
    windows.close()
    return taken


class Watched:
    """A camera as the watcher uses it: opened again a second after it failed."""

    def __init__(self, url: str) -> None:
        self.good_s: list[float] = []
        self.errors: list[str] = []
        self._url = url
        self._ended = False
        self._source: FrameSource | None = None
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        assert self._source
        self._source.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def wait_for_pictures(self, *, within_s: float) -> float:
        """Until two more are good; how long the newest of them took, seconds."""
        began_s, had = time.monotonic(), len(self.good_s)
        while len(self.good_s) < had + 2:
            assert time.monotonic() - began_s < within_s, self.errors
            time.sleep(0.02)
        return time.monotonic() - began_s

    def wait_for_error(self, *, within_s: float) -> str:
        began_s, had = time.monotonic(), len(self.errors)
        while len(self.errors) == had:
            assert time.monotonic() - began_s < within_s
            time.sleep(0.02)
        return self.errors[-1]

    def _watch(self) -> None:
        while not self._ended:
            self._source = source(self._url, stall_s=2.0)
            try:
                for window in self._source.windows():
                    if SPEC.refuse(window) is None:
                        self.good_s.append(time.monotonic())
            except SourceError as error:
                self.errors.append(str(error))
                time.sleep(1.0)


@pytest.fixture
def watched():
    """Watches an address; ended with the test."""
    watching: list[Watched] = []

    def watch(url: str) -> Watched:
        watching.append(Watched(url))
        return watching[-1]

    yield watch
    for each in watching:
        each.close()


class TestHttp:
    """What a good camera sends, as it was."""

    @pytest.mark.parametrize("mode", ["good", "unmeasured"])
    def test_pictures_arrive_in_order_and_in_rgb(self, cam, mode):
        """Whether the parts tell their length or not."""
        cam.mode = mode
        taken = first(cam.url, 5, hop_s=0.01)
        for window in taken:
            assert SPEC.refuse(window) is None
            assert window.data.dtype == np.uint8
            assert window.data.shape == (webcam.HEIGHT, webcam.WIDTH, 3)
            difference = np.abs(window.data.astype(int) - webcam.scene(window.seq).astype(int))
            assert difference.mean() < 8
        assert all(a.seq < b.seq and a.t_ns < b.t_ns for a, b in itertools.pairwise(taken))
        assert abs(taken[-1].wall_ns - time.time_ns()) < 5e9
        assert 0 < time.monotonic_ns() - taken[-1].t_ns < 5e9
        assert 5 < taken[-1].rate_hz < 30

    def test_looks_every_hop_and_knows_the_rate_of_the_camera(self, cam):
        """20 pictures a second, of which three are wanted."""
        taken = first(cam.url, 4, hop_s=0.3)
        steps_s = [(b.t_ns - a.t_ns) / 1e9 for a, b in itertools.pairwise(taken)]
        assert sum(steps_s) == pytest.approx(0.9, abs=0.25)
        assert min(steps_s) > 0.15

    @pytest.mark.slow
    def test_a_slow_reader_gets_the_newest_picture(self, cam):
        """And sees by the number that others were passed over."""
        windows = source(cam.url).windows()
        next(windows)
        time.sleep(2.0)
        seqs = [next(windows).seq for _ in range(3)]
        fresh = next(windows)
        windows.close()
        assert seqs[-1] > 10
        assert time.monotonic_ns() - fresh.t_ns < 1e9

    def test_user_and_password_are_sent_and_shown_to_nobody(self, cam):
        """As the camera asks for them."""
        url = cam.url.replace("//", "//me:p%40ss@")
        first(url, 1)
        assert cam.asked["path"] == "/stream?channel=1"
        assert cam.asked["Authorization"] == "Basic bWU6cEBzcw=="
        cam.status = 401
        with pytest.raises(SourceError, match=r"^http://\*\*\*@127.*: the camera answers 401"):
            first(url, 1)

    def test_a_page_is_no_stream(self, cam):
        """Say, of the camera's own settings."""
        cam.kind = "text/html"
        with pytest.raises(SourceError, match="not a stream of pictures, but text/html"):
            first(cam.url, 1)

    def test_nobody_there(self):
        """The address is wrong, or the camera has no power."""
        with pytest.raises(SourceError, match="Connection refused"):
            first(f"http://127.0.0.1:{ports.free_port()}/", 1)


class TestDamage:
    """OpenCV calls every one of these pictures good."""

    @pytest.mark.parametrize("mode", ["damaged", "truncated"])
    def test_pictures_are_refused_as_corrupt(self, cam, mode):
        """All of them; when the camera is well again, so are they."""
        cam.mode = mode
        windows = source(cam.url).windows()
        assert {SPEC.refuse(next(windows)) for _ in range(20)} == {"corrupt"}
        cam.mode = "good"
        began_s = time.monotonic()
        while SPEC.refuse(next(windows)):
            assert time.monotonic() - began_s < 2
        windows.close()

    def test_bytes_that_went_missing_cost_no_other_picture(self, cam):
        """Parts are found by their boundary, not by the length they claim."""
        cam.mode = "swallowed"
        windows = source(cam.url).windows()
        assert SPEC.refuse(next(windows)) == "corrupt"
        cam.mode = "good"
        time.sleep(0.3)
        later = [SPEC.refuse(next(windows)) for _ in range(6)]
        windows.close()
        assert later[-3:] == [None] * 3

    def test_twenty_bytes_are_seen_in_each_of_sixty_pictures(self, capfd):
        """And in none by OpenCV alone."""
        spoilt = [webcam.damaged(webcam.jpeg(n % 16), n) for n in range(60)]
        assert [mjpeg.decode(data) for data in spoilt] == [None] * 60
        alone = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in spoilt]
        assert all(picture is not None for picture in alone)
        capfd.readouterr()  # libjpeg's complaints about the second

    def test_a_whole_picture_is_decoded(self):
        """Baseline, progressive, grey, with restarts, with bytes behind it."""
        rgb = webcam.scene(3)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        for options in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]):
            data = cv2.imencode(".jpg", bgr, options)[1].tobytes()
            assert np.abs(mjpeg.decode(data + b"\r\n\0\0").astype(int) - rgb).mean() < 8
        grey = cv2.imencode(".jpg", bgr[:, :, 0])[1].tobytes()
        assert mjpeg.decode(grey).shape == rgb.shape

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda j: b"", "no beginning"),
            (lambda j: j[1:], "no beginning"),
            (lambda j: j[:-2], "no end"),
            (lambda j: j[:-2] + b"\xff\xd8" + j[-2:], "damaged segment"),
            (lambda j: j[:2] + b"\0" + j[3:], "no marker where"),
            (lambda j: j[:4] + b"\xff\xff" + j[6:], "damaged segment"),
            (lambda j: j + j, "damaged segment"),
            (lambda j: j[:2] + j[-2:], "no picture"),
            (lambda j: resized(j, 65_500, 65_500), "beyond all measure"),
            (lambda j: resized(j, 0, 160), "beyond all measure"),
        ],
    )
    def test_a_structure_that_does_not_fit_is_named(self, spoil, says):
        """Before any decoder sees it: one of 65500 x 65500 would take 12 GB."""
        spoilt = spoil(webcam.jpeg(0))
        flaw = mjpeg.flaw(spoilt)
        assert flaw
        assert says in flaw
        assert mjpeg.decode(spoilt) is None

    def test_noise_is_refused_without_an_exception(self):
        """Whatever comes over the wire."""
        rng = np.random.default_rng(0)
        for size in rng.integers(0, 400, 300):
            noise = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
            assert mjpeg.decode(b"\xff\xd8" + noise + b"\xff\xd9") is None


def resized(data: bytes, height: int, width: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


@pytest.mark.slow
class TestRecovery:
    """Opened again a second after each failure; good pictures within ten seconds."""

    def test_of_an_http_camera_that_hangs(self, cam, watched):
        """Nothing comes, the connection stays."""
        watching = watched(cam.url)
        watching.wait_for_pictures(within_s=15)
        cam.mode = "hang"
        hung_s = time.monotonic()
        assert "has delivered nothing for 2 s" in watching.wait_for_error(within_s=5)
        cam.mode = "good"
        watching.wait_for_pictures(within_s=10)
        assert time.monotonic() - hung_s < 10

    def test_of_an_http_camera_that_dies_and_comes_back(self, cam, watched):
        """As after a power cut."""
        watching = watched(cam.url)
        watching.wait_for_pictures(within_s=15)
        cam.stop()
        assert watching.wait_for_error(within_s=5)
        assert "Connection refused" in watching.wait_for_error(within_s=10)
        cam.mode = "good"
        cam.start()
        assert watching.wait_for_pictures(within_s=10) < 10


@pytest.fixture
def rtsp():
    """Starts a camera at a port, as often as asked."""
    running: list[subprocess.Popen[str]] = []

    def start(port: int) -> subprocess.Popen[str]:
        command = [SYSTEM_PYTHON, str(TESTS / "rtsp_camera.py"), str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        assert process.stdout.readline().startswith("rtsp://")
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def _has_rtsp_server() -> bool:
    look = "import gi; gi.require_version('GstRtspServer', '1.0')"
    with contextlib.suppress(OSError):
        done = subprocess.run([SYSTEM_PYTHON, "-c", look], capture_output=True, check=False)
        return done.returncode == 0
    return False


# `hardware`, for its packages are 176 MB to download: too many for every run of CI
@pytest.mark.hardware
@pytest.mark.slow
@pytest.mark.skipif(
    not _has_rtsp_server(),
    reason="needs python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-good",
)
class TestRtsp:
    """A real server, streaming through the real FFmpeg inside OpenCV."""

    def test_pictures_arrive(self, rtsp):
        """Colour bars: grey, yellow, cyan, green, magenta, red, blue."""
        port = ports.free_port()
        rtsp(port)
        taken = first(f"rtsp://127.0.0.1:{port}/live", 10, hop_s=0.2)
        bars = taken[-1].data[50, 20:320:46].astype(int)
        expected = [[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1]]
        np.testing.assert_array_equal(bars > 128, np.array(expected) == 1)
        assert taken[-1].data.shape == (240, 320, 3)
        steps_s = [(b.t_ns - a.t_ns) / 1e9 for a, b in itertools.pairwise(taken)]
        assert sum(steps_s[-5:]) == pytest.approx(1.0, abs=0.3)

    def test_of_a_camera_that_is_not_there(self):
        """Nobody listens."""
        with pytest.raises(SourceError, match="does not open"):
            first(f"rtsp://127.0.0.1:{ports.free_port()}/live", 1)

    def test_killed_and_started_again(self, rtsp, watched):
        """Pictures again within ten seconds of its return."""
        port = ports.free_port()
        server = rtsp(port)
        watching = watched(f"rtsp://127.0.0.1:{port}/live")
        watching.wait_for_pictures(within_s=20)
        server.kill()
        assert watching.wait_for_error(within_s=5)
        rtsp(port)
        assert watching.wait_for_pictures(within_s=10) < 10

    def test_frozen_and_thawed(self, rtsp, watched):
        """OpenCV alone takes 9 s to notice, and then is dead."""
        port = ports.free_port()
        server = rtsp(port)
        watching = watched(f"rtsp://127.0.0.1:{port}/live")
        watching.wait_for_pictures(within_s=20)
        os.kill(server.pid, signal.SIGSTOP)
        frozen_s = time.monotonic()
        assert "has delivered nothing for 2 s" in watching.wait_for_error(within_s=4)
        os.kill(server.pid, signal.SIGCONT)
        watching.wait_for_pictures(within_s=10)
        assert time.monotonic() - frozen_s < 10


class TestConfig:
    """What could never work is refused at the start."""

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"url": "ftp://10.0.0.1/"}, "matching regex"),
            ({"url": "/etc/passwd"}, "matching regex"),
            ({"url": "http://10.0.0.1/", "width": 640}, "asked of /dev/videoN only"),
            ({"url": "/dev/video0", "height": 0}, ">= 1"),
            ({"url": "/dev/video0", "stall_s": 0.1}, ">= 0.5"),
        ],
    )
    def test_is_refused(self, options, says):
        with pytest.raises(msgspec.ValidationError, match=says):
            config(**options)

    def test_a_device_of_the_board_that_is_not_there(self):
        """Not plugged in, or not allowed."""
        with pytest.raises(SourceError, match="/dev/video9: does not open; fix: is it there"):
            list(source("/dev/video9", width=640, height=480).windows())

    def test_a_missing_library_is_named_with_the_command_that_brings_it(self, monkeypatch):
        """The extra was not installed."""
        monkeypatch.setattr(camera.importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(SourceError, match=r"pip install 'vedette\[edge-camera\]'"):
            source("/dev/video0")

    def test_opencv_stays_out_of_the_service(self):
        """It takes tens of megabytes, and can crash."""
        code = "import sys; from edge.sources import camera; print('cv2' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "False"
