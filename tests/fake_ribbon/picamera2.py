"""A ribbon camera as picamera2 0.3 gives it: buffers that are used again, rows that are padded.

What it does stands as JSON in FAKE_RIBBON. A buffer not given back is missing; a mapping that has
ended holds nothing any more.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, Self

import numpy as np

SCRIPT = {
    "cameras": 1,  # connected
    "opens": True,
    "then": "stream",  # after `frames` of them
    "frames": 5,
    "align": 64,  # bytes, of rows
    "gives": {},  # formats by stream, where not as asked for
    "import": "",
} | json.loads(os.environ.get("FAKE_RIBBON", "{}"))
TIMED_OUT = (
    "[0:02:03.4] [77] ERROR RPI pipeline_base.cpp:1346 Camera frontend has timed out!\n"
    "[0:02:03.4] [77] ERROR RPI Please check that your camera sensor connector is attached securely"
)
# R, G, B of four bars from left to right, and their Y, U, V of BT.601, 16 to 235
BARS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)], np.uint8)
_YUV = np.array([(81, 90, 240), (145, 54, 34), (41, 240, 110), (126, 128, 128)], np.uint8)
_GARBAGE = 0xAA

if SCRIPT["import"]:
    raise ValueError(SCRIPT["import"])


def scene(width: int, height: int, values: np.ndarray) -> np.ndarray:
    """(height, width, 3) bars."""
    bars = np.minimum(np.arange(width) * len(values) // width, len(values) - 1)
    return np.tile(values[bars], (height, 1, 1))


def _padded(rows: np.ndarray, stride: int) -> np.ndarray:
    out = np.full((len(rows), stride), _GARBAGE, np.uint8)
    out[:, : rows.shape[1]] = rows
    return out.ravel()


def _buffer(stream: dict[str, Any], number: int, turned: Any) -> np.ndarray:
    """A frame as the camera writes it; the last pixel of its last row tells its number."""
    (width, height), stride = stream["size"], stream["stride"]
    values = BARS if stream["format"] != "YUV420" else _YUV
    picture = scene(width, height, values)
    picture[-2:, -2:, 0] = number % 200 + (0 if values is BARS else 16)
    if values is BARS:
        picture[-2:, -2:] = number % 200
    picture = picture[:: -1 if turned.vflip else 1, :: -1 if turned.hflip else 1]
    if values is BARS:
        flat = _padded(picture.reshape(height, 3 * width), stride)
    else:
        halves = [_padded(picture[::2, ::2, i], stride // 2) for i in (1, 2)]
        flat = np.concatenate([_padded(picture[..., 0], stride), *halves])
    return np.concatenate([flat, np.full(4096, _GARBAGE, np.uint8)])  # whole pages


class CompletedRequest:
    """One frame, to be given back."""

    def __init__(self, camera: Picamera2, number: int) -> None:
        self.config = {name: dict(stream) for name, stream in camera.streams.items()}
        self.buffers = {
            name: _buffer(one, number, camera.turned) for name, one in self.config.items()
        }
        self._camera, self._held = camera, True

    def release(self) -> None:
        if not self._held:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        self._held = False
        for buffer in self.buffers.values():
            buffer[:] = _GARBAGE  # the next frame is written there
        self._camera.free += 1


class MappedArray:
    """A buffer where the camera wrote it."""

    def __init__(
        self, request: CompletedRequest, stream: str, reshape: bool = True, write: bool = True
    ) -> None:
        assert not reshape, "rows that are padded to no whole number of pixels cannot be reshaped"
        self._buffer, self.array = request.buffers[stream], None

    def __enter__(self) -> Self:
        self._mapped = self._buffer.copy()
        self.array = self._mapped.view()
        return self

    def __exit__(self, *_: object) -> None:
        del self.array
        self._mapped[:] = 0


class Picamera2:
    """One camera."""

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [{"Model": "imx708", "Id": f"/base/{i}", "Num": i} for i in range(SCRIPT["cameras"])]

    def __init__(self, camera_num: int = 0) -> None:
        sys.stderr.write("[0:01:00.0] [77] INFO Camera libcamera v0.5\n")
        try:
            if not SCRIPT["opens"]:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            self.number = range(SCRIPT["cameras"])[camera_num]
        except Exception:  # noqa: BLE001 as the real one
            raise RuntimeError("Camera __init__ sequence did not complete.")  # noqa: B904
        self.streams: dict[str, dict[str, Any]] = {}
        self.free = 0
        self._made = 0
        self._next_s = 0.0

    def create_video_configuration(
        self,
        *,
        main: dict[str, Any],
        lores: dict[str, Any],
        transform: Any,
        colour_space: Any,
        buffer_count: int,
        controls: dict[str, Any],
        display: str | None,
        encode: str | None,
        queue: bool,
    ) -> dict[str, Any]:
        return dict(locals())

    def configure(self, wanted: dict[str, Any]) -> None:
        for name in ("main", "lores"):
            self.streams[name] = self._stream(name, **wanted[name])
        if wanted["main"]["size"] > (4608, 2592):
            raise RuntimeError(f"Invalid camera configuration: {wanted['main']}")
        self.free = wanted["buffer_count"]
        assert not wanted["queue"], "a frame in store is an old one"
        self._period_s = wanted["controls"]["FrameDurationLimits"][0] / 1e6
        assert wanted["colour_space"] == "SMPTE170M"
        self.turned = wanted["transform"]

    def start(self) -> None:
        self._next_s = time.monotonic() + self._period_s

    def capture_request(self) -> CompletedRequest:
        """The next frame; those that nobody waits for are written over."""
        if self._made == SCRIPT["frames"]:
            self._end(SCRIPT["then"])
        while not self.free:  # nothing to write into: the real one waits for ever, too
            time.sleep(3600)
        late = max(time.monotonic() - self._next_s, 0.0)
        skipped = int(late / self._period_s)
        self._next_s += (skipped + 1) * self._period_s
        self._made += 1
        time.sleep(max(self._next_s - self._period_s - time.monotonic(), 0.0))
        self.free -= 1
        return CompletedRequest(self, self._made)

    def _stream(self, name: str, size: tuple[int, int], format: str) -> dict[str, Any]:  # noqa: A002
        assert size[0] % 2 == size[1] % 2 == 0
        kind = SCRIPT["gives"].get(name, format)
        row, align = size[0] * (1 if kind == "YUV420" else 3), SCRIPT["align"]
        return {"size": size, "format": kind, "stride": -(-row // align) * align}

    def _end(self, then: str) -> None:
        if then == "hang":
            sys.stderr.write(f"{TIMED_OUT}\n")
            time.sleep(3600)
        if then == "fail":
            raise RuntimeError("Camera has been disconnected")
        if then == "reconfigure":
            self.streams["lores"] = self._stream("lores", (320, 240), "YUV420")
