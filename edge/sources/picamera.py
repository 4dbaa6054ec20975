"""A camera on the ribbon cable of a Raspberry Pi, by picamera2 and libcamera; read in a child.

The camera's own hardware gives each frame twice. `lores`, YUV 4:2:0, becomes the picture the model
sees; `main`, RGB as the hardware converts it, goes along as the window's `large`, and evidence is
cut from it where a face is, enlarged by the ratio of the two. So both have to show the same view,
which libcamera gives where both have one shape. Handing `main` on with every window costs little
(5 ms of a PC's core for both, at the sizes below); asking the child for it later, when a crop is
due, would mean to keep the camera's few buffers from it until then.

Buffers are looked at where the camera wrote them: `lores` is converted, and `main` copied, from
there, and the buffer is given back before the next frame.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array
from edge import frames
from edge.capture import Out
from edge.errors import SourceError, one_line
from edge.frames import FrameSource, Pictures, Take

KEEP = 1  # only the newest frame waits
_MAIN, _LORES = "BGR888", "YUV420"  # libcamera names bytes from the last one: this is R, G, B
_SAME_SHAPE = 0.01  # of width over height; sizes are even numbers
_BUFFERS = 4  # one in hand, one being filled, two in between
INSTALL = (
    "sudo apt install python3-picamera2, and an environment that sees it: "
    "python3 -m venv --system-site-packages"
)

Side = Annotated[int, Meta(ge=64, le=8192, multiple_of=2)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="picamera"):
    """`type = "picamera"`: which camera, how large its two pictures, and how often."""

    camera: Annotated[int, Meta(ge=0, le=7)] = 0
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    width: Side = 1280
    height: Side = 960
    lores_width: Side = 640
    lores_height: Side = 480
    fps: Annotated[float, Meta(ge=1.0, le=240.0)] = 10.0
    hflip: bool = False
    vflip: bool = False
    stall_s: Annotated[float, Meta(ge=2.0, le=3600.0)] = 3.0

    def __post_init__(self) -> None:
        """Both pictures show the same view, and the model gets the smaller one."""
        if self.lores_width > self.width or self.lores_height > self.height:
            raise ValueError("lores is larger than width x height; fix: at most as large")
        ratio = self.lores_width * self.height / (self.lores_height * self.width)
        if abs(ratio - 1) > _SAME_SHAPE:
            height = round(self.lores_width * self.height / self.width / 2) * 2
            raise ValueError(
                f"lores {self.lores_width} x {self.lores_height} is of another shape than "
                f"{self.width} x {self.height}; fix: lores_height = {height}"
            )

    @property
    def window_s(self) -> float:
        """A picture takes no time."""
        return 0.0


def open_source(config: Config, *, name: str, base: Path) -> FrameSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here.

    Raises:
        SourceError: what reads cameras is not installed.
    """
    if importlib.util.find_spec("picamera2") is None:
        raise SourceError(f"picamera2 is not installed; fix: {INSTALL}")
    if importlib.util.find_spec("cv2") is None:
        raise SourceError("OpenCV is not installed; fix: pip install 'vedette[edge-camera]'")
    what = f"picamera {config.camera}"
    return FrameSource(__name__, config, name, what=what, stall_s=config.stall_s)


def capture(config: Config, out: Out) -> None:
    """Read the camera for ever; runs in the child."""
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")  # its last words are shown to people
    import cv2  # noqa: F401 before `loaded`, for it takes a while

    library, libcamera = _libraries()
    out.loaded()
    camera = _opened(library, libcamera, config)
    frames.hand_on(_frames(camera, library), out, hop_s=config.hop_s)


def rgb(buffer: Array, *, width: int, height: int, stride: int) -> Array:
    """(height, width, 3) uint8 RGB of a buffer of YUV 4:2:0, planes Y, U, V; BT.601, 16 to 235.

    Rows are padded: libcamera aligns `stride`, mostly to 64 bytes; U and V have half of it. Only
    after the conversion the padding can be cut off. The buffer may be longer than the picture.

    Args:
        buffer: (n,) uint8.
        width: of the picture, pixels.
        height: even.
        stride: bytes from row to row of Y.

    Raises:
        SourceError: the buffer is shorter.
    """
    import cv2

    rows = _rows(buffer, height * 3 // 2, stride)
    # I420 has U first; what OpenCV calls YUV420p is YV12, and makes red faces blue
    padded: Array = cv2.cvtColor(rows, cv2.COLOR_YUV2RGB_I420)
    return padded[:, :width]


def _rows(buffer: Array, rows: int, stride: int) -> Array:
    if len(buffer) < rows * stride:
        raise SourceError(f"gives {len(buffer)} bytes where {rows} rows of {stride} are due")
    return buffer[: rows * stride].reshape(rows, stride)


def _libraries() -> tuple[Any, Any]:
    """picamera2 and libcamera; a mismatch with NumPy shows as a ValueError."""
    try:
        return importlib.import_module("picamera2"), importlib.import_module("libcamera")
    except (ImportError, ValueError) as error:
        fix = INSTALL
        if "numpy" in str(error):
            # what Bookworm packages was built for NumPy 1, and newer OpenCVs ask for 2
            fix = "pip install 'numpy<2' 'opencv-python-headless<4.12'"
        raise SourceError(f"picamera2 cannot be loaded: {one_line(error)}; fix: {fix}") from None


def _opened(library: Any, libcamera: Any, config: Config) -> Any:
    """The camera, streaming."""
    known = library.Picamera2.global_camera_info()
    if config.camera >= len(known):
        names = ", ".join(f"{i} is {one.get('Model', '?')}" for i, one in enumerate(known))
        fix = "camera" if known else "its ribbon cable, and group video; rpicam-hello shows it too"
        raise SourceError(f"not there: {names or 'no camera at all'}; fix: {fix}")
    try:
        camera = library.Picamera2(config.camera)
    except RuntimeError as error:
        why = one_line(error.__cause__ or error.__context__ or error)
        if "busy" in why.lower():
            fix = "stop the program that reads it: the service, or rpicam-*"
            raise SourceError(f"is in use; fix: {fix}") from None
        raise SourceError(f"does not open: {why}; fix: group video, its ribbon cable") from None
    frame_us = round(1e6 / config.fps)
    wanted = camera.create_video_configuration(
        main={"size": (config.width, config.height), "format": _MAIN},
        lores={"size": (config.lores_width, config.lores_height), "format": _LORES},
        transform=libcamera.Transform(hflip=config.hflip, vflip=config.vflip),
        colour_space=libcamera.ColorSpace.Smpte170m(),  # BT.601 as OpenCV converts it
        buffer_count=_BUFFERS,
        controls={"FrameDurationLimits": (frame_us, frame_us)},
        display=None,
        encode=None,
        queue=False,  # asked for a frame it waits for the next one, and has no older one in store
    )
    try:
        camera.configure(wanted)
        camera.start()
    except RuntimeError as error:
        raise SourceError(f"{one_line(error)}; fix: a size and fps that this camera has") from None
    return camera


def _frames(camera: Any, library: Any) -> Iterator[Take]:
    while True:
        request = camera.capture_request()
        try:
            yield partial(_taken, request, library)
        finally:  # or it runs out of buffers, and stops without a word
            request.release()


def _taken(request: Any, library: Any) -> Pictures:
    """Both pictures of a frame, in memory of their own: the camera will write into its buffers."""
    main, lores = request.config["main"], request.config["lores"]
    if (main["format"], lores["format"]) != (_MAIN, _LORES):
        found = f"{main['format']} and {lores['format']}, not {_MAIN} and {_LORES}"
        raise SourceError(f"gives {found}; fix: a camera of USB is type = 'camera'")
    with contextlib.ExitStack() as mapped:
        small, large = (
            mapped.enter_context(library.MappedArray(request, name, reshape=False)).array
            for name in ("lores", "main")
        )
        data = rgb(small, **_shape(lores))
        width, height = main["size"]
        copy = _rows(large, height, main["stride"])[:, : 3 * width].copy()
        del small, large  # before they are unmapped
    return Pictures(np.ascontiguousarray(data), copy.reshape(height, width, 3))


def _shape(stream: Mapping[str, Any]) -> dict[str, int]:
    width, height = stream["size"]
    return {"width": width, "height": height, "stride": stream["stride"]}
