"""A camera: an RTSP stream, motion JPEG over HTTP, or a device of this board; read in a child."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from edge import frames, mjpeg
from edge.capture import Out, hidden
from edge.errors import SourceError
from edge.frames import FrameSource, Pictures, Take

KEEP = 1  # only the newest frame waits


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


def open_source(config: Config, *, name: str, base: Path) -> FrameSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here.

    Raises:
        SourceError: what reads cameras is not installed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise SourceError("OpenCV is not installed; fix: pip install 'vedette[edge-camera]'")
    what = hidden(config.url)
    return FrameSource(__name__, config, name, what=what, stall_s=config.stall_s)


def capture(config: Config, out: Out) -> None:
    """Read the camera for ever; runs in the child."""
    import cv2  # noqa: F401 before `loaded`, for it takes a while

    out.loaded()
    read = _pictures_over_http if config.url.startswith("http") else _frames_of_opencv
    frames.hand_on(read(config), out, hop_s=config.hop_s)


def _pictures_over_http(config: Config) -> Iterator[Take]:
    for jpeg in mjpeg.parts(config.url):
        yield lambda jpeg=jpeg: _decoded(jpeg)  # type: ignore[misc]


def _decoded(jpeg: bytes) -> Pictures | None:
    picture = mjpeg.decode(jpeg)
    return None if picture is None else Pictures(picture)


def _frames_of_opencv(config: Config) -> Iterator[Take]:
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
    if not camera.isOpened():
        raise SourceError("does not open; fix: is it there, and may this user read it?")
    yield from frames.of_opencv(camera)
