"""A camera: an RTSP stream, motion JPEG over HTTP, or a device of this board; read in a child."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array, Window
from edge import mjpeg
from edge.capture import Capture, Out, hidden
from edge.errors import SourceError

KEEP = 1  # only the newest frame waits
_NO_PICTURE = np.zeros((0, 0, 3), dtype=np.uint8)  # of a frame that came damaged


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="camera"):
    """`type = "camera"`: where it is and how often a picture is looked at."""

    url: Annotated[str, Meta(pattern=r"^(rtsps?://|https?://|/dev/video\d)")]
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    stall_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 3.0
    width: Annotated[int, Meta(ge=1, le=65535)] | None = None
    height: Annotated[int, Meta(ge=1, le=65535)] | None = None

    def __post_init__(self) -> None:
        """A stream has the size the camera sends."""
        if (self.width or self.height) and not self.url.startswith("/dev/"):
            raise ValueError("width and height are asked of /dev/videoN only; set a stream's there")

    @property
    def window_s(self) -> float:
        """A picture takes no time."""
        return 0.0


def open_source(config: Config, *, name: str, base: Path) -> CameraSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here.

    Raises:
        SourceError: what reads cameras is not installed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise SourceError("OpenCV is not installed; fix: pip install 'vedette[edge-camera]'")
    return CameraSource(config, name)


class CameraSource:
    """The newest picture, every `hop_s`."""

    def __init__(self, config: Config, name: str) -> None:
        self._name = name
        self._capture = Capture(__name__, config, what=hidden(config.url), stall_s=config.stall_s)

    def windows(self) -> Iterator[Window]:
        """Pictures as they come; one that came damaged is empty, and so refused as corrupt."""
        for item in self._capture.items():
            wall_ns = time.time_ns() - (time.monotonic_ns() - item.t_ns)
            yield Window(self._name, item.seq, item.t_ns, wall_ns, item.data, item.rate_hz)

    def close(self) -> None:
        """End `windows` at once."""
        self._capture.close()


def capture(config: Config, out: Out) -> None:
    """Read the camera for ever; runs in the child."""
    import cv2  # noqa: F401 before `loaded`, for it takes a while

    out.loaded()
    frames = _pictures_over_http if config.url.startswith("http") else _frames_of_opencv
    hop_ns, due_ns = round(config.hop_s * 1e9), 0
    times: list[int] = []
    for take in frames(config):
        now_ns = time.monotonic_ns()
        times = [*times[-31:], now_ns]
        # the median, for some send a handful at once to begin with
        period_ns = statistics.median(b - a for a, b in pairwise(times)) if times[1:] else 0
        if now_ns + period_ns / 2 < due_ns:  # a later one will be closer
            out.alive()
            continue
        due_ns = (due_ns if now_ns - due_ns < hop_ns else now_ns) + hop_ns
        picture = take()
        out.put(
            _NO_PICTURE if picture is None else picture,
            t_ns=now_ns,
            rate_hz=round(1e9 / period_ns, 2) if period_ns else 0.0,
        )


def _pictures_over_http(config: Config) -> Iterator[Callable[[], Array | None]]:
    for jpeg in mjpeg.parts(config.url):
        yield lambda jpeg=jpeg: mjpeg.decode(jpeg)  # type: ignore[misc]


def _frames_of_opencv(config: Config) -> Iterator[Callable[[], Array | None]]:
    import cv2

    camera = cv2.VideoCapture()
    if config.url.startswith("/dev/"):
        camera.open(config.url, cv2.CAP_V4L2)
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        for key, asked in (
            (cv2.CAP_PROP_FRAME_WIDTH, config.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, config.height),
        ):
            if asked:
                camera.set(key, asked)
    else:
        camera.open(config.url, cv2.CAP_FFMPEG)

    def picture() -> Array | None:
        is_there, bgr = camera.retrieve()
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) if is_there else None

    if not camera.isOpened():
        raise SourceError("does not open; fix: is it there, and may this user read it?")
    while camera.grab():
        yield picture
    raise SourceError("the camera ended the stream")
