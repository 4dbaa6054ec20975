"""An OpenCV with GStreamer and Argus, as far as `edge.sources.jetson` uses them.

What they do stands as JSON in FAKE_ARGUS. Elements and properties are those of JetPack's plugins;
another one makes the pipeline fail to open, as it would.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from types import SimpleNamespace

import numpy as np

__version__ = "4.8.0"
CAP_GSTREAMER, COLOR_BGR2RGB = 1800, 4
SCRIPT = {"daemon": True, "then": "stream", "frames": 5} | json.loads(
    os.environ.get("FAKE_ARGUS", "{}")
)
NO_DAEMON = "(Argus) Error FileOperationFailed: Connecting to nvargus-daemon failed"
PROPERTIES = {
    "nvarguscamerasrc": {"sensor-id", "sensor-mode"},
    "nvvidconv": {"flip-method"},
    "videoconvert": set(),
    "appsink": {"drop", "max-buffers", "sync"},
}
videoio_registry = SimpleNamespace(hasBackend=lambda api: api == CAP_GSTREAMER)


def cvtColor(picture: np.ndarray, code: int) -> np.ndarray:  # noqa: N802
    assert code == COLOR_BGR2RGB
    return picture[:, :, ::-1]


class VideoCapture:
    """One pipeline."""

    def __init__(self, pipeline: str, api: int) -> None:
        assert api == CAP_GSTREAMER
        self._caps: dict[str, str] = {}
        self._turned, self._keeps = 0, {}
        self._is_open = all(self._takes(part) for part in pipeline.split(" ! "))
        if not SCRIPT["daemon"]:
            sys.stderr.write(f"{NO_DAEMON}\n")
            self._is_open = False
        assert self._keeps.get("drop") == self._keeps.get("max-buffers") == "1"
        self._began_s, self._made = time.monotonic(), 0

    def isOpened(self) -> bool:  # noqa: N802
        return self._is_open

    def grab(self) -> bool:
        """The newest frame, or the next one."""
        if self._made == SCRIPT["frames"]:
            if SCRIPT["then"] == "hang":
                time.sleep(3600)
            if SCRIPT["then"] == "end":
                return False
        period_s = 1 / int(self._caps["framerate"].partition("/")[0])
        newest = int((time.monotonic() - self._began_s) / period_s)
        if newest <= self._made:
            time.sleep(max(self._began_s + (self._made + 1) * period_s - time.monotonic(), 0))
            newest = self._made + 1
        self._made = newest if SCRIPT["then"] == "stream" else self._made + 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        """Blue at the left, red at the right."""
        width, height = int(self._caps["width"]), int(self._caps["height"])
        bgr = np.zeros((height, width, 3), np.uint8)
        bgr[:, : width // 2, 0] = bgr[:, width // 2 :, 2] = 255
        return True, np.rot90(bgr, self._turned).copy() if self._turned < 4 else bgr[:, ::-1]

    def _takes(self, part: str) -> bool:
        if part.startswith("video/x-raw"):
            kind, _, caps = part.partition(",")
            self._caps |= dict(one.split("=") for one in caps.split(","))
            return re.fullmatch(r"video/x-raw(\(memory:NVMM\))?", kind) is not None
        element, *settings = part.split()
        got = dict(one.split("=") for one in settings)
        self._turned = int(got.get("flip-method", self._turned))
        self._keeps |= got
        return element in PROPERTIES and got.keys() <= PROPERTIES[element]
