"""A camera on the ribbon cable of a Jetson, by Argus through GStreamer in OpenCV; read in a child.

The camera's hardware converts and turns the picture; appsink keeps one frame and drops the older.
Argus is a daemon of its own, `nvargus-daemon`: one that has lost its camera opens and delivers
nothing, or fails with every client, until it is started anew.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge import frames
from edge.capture import Out
from edge.errors import SourceError
from edge.frames import FrameSource, Take

KEEP = 1  # only the newest frame waits
INSTALL = (
    "pip uninstall opencv-python-headless, sudo apt install nvidia-opencv, and an environment that "
    "sees it: python3 -m venv --system-site-packages"
)
_DAEMON = "sudo systemctl restart nvargus-daemon; sensor_id and sensor_mode; its ribbon cable"
Flip = Literal["none", "left", "180", "right", "horizontal", "vertical"]
_FLIPS = {"none": 0, "left": 1, "180": 2, "right": 3, "horizontal": 4, "vertical": 6}  # nvvidconv's


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="jetson"):
    """`type = "jetson"`: which camera, in which mode, and how often a picture is looked at."""

    sensor_id: Annotated[int, Meta(ge=0, le=15)] = 0
    sensor_mode: Annotated[int, Meta(ge=0, le=31)] | None = None
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    width: Annotated[int, Meta(ge=64, le=8192, multiple_of=2)] = 1280
    height: Annotated[int, Meta(ge=64, le=8192, multiple_of=2)] = 720
    fps: Annotated[int, Meta(ge=1, le=240)] = 30
    flip: Flip = "none"
    stall_s: Annotated[float, Meta(ge=2.0, le=3600.0)] = 3.0

    @property
    def window_s(self) -> float:
        """A picture takes no time."""
        return 0.0


def open_source(config: Config, *, name: str, base: Path) -> FrameSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here.

    Raises:
        SourceError: OpenCV is not installed.
    """
    if importlib.util.find_spec("cv2") is None:
        raise SourceError(f"OpenCV is not installed; fix: {INSTALL}")
    what = f"jetson camera {config.sensor_id}"
    return FrameSource(__name__, config, name, what=what, stall_s=config.stall_s)


def capture(config: Config, out: Out) -> None:
    """Read the camera for ever; runs in the child."""
    import cv2  # noqa: F401 before `loaded`, for it takes a while

    out.loaded()
    frames.hand_on(_frames(config), out, hop_s=config.hop_s)


def pipeline(config: Config) -> str:
    """What GStreamer is to do, as `gst-launch-1.0` would take it."""
    mode = "" if config.sensor_mode is None else f" sensor-mode={config.sensor_mode}"
    size = f"width={config.width},height={config.height},framerate={config.fps}/1"
    return " ! ".join(
        (
            f"nvarguscamerasrc sensor-id={config.sensor_id}{mode}",
            f"video/x-raw(memory:NVMM),format=NV12,{size}",
            f"nvvidconv flip-method={_FLIPS[config.flip]}",
            "video/x-raw,format=BGRx",
            "videoconvert",
            "video/x-raw,format=BGR",
            "appsink drop=1 max-buffers=1 sync=0",
        )
    )


def _frames(config: Config) -> Iterator[Take]:
    import cv2

    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        text = f"OpenCV {cv2.__version__} has no GStreamer, as those of pip"
        raise SourceError(f"{text}; fix: {INSTALL}")
    camera = cv2.VideoCapture(pipeline(config), cv2.CAP_GSTREAMER)
    if not camera.isOpened():
        raise SourceError(f"does not open; fix: {_DAEMON}")
    yield from frames.of_opencv(camera)
