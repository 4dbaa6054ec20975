"""A video or a folder of pictures, shown as a camera would have: at real time, or at once."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Window
from edge.errors import SourceError
from edge.reels import Frame, Reel, open_reel
from edge.sources import Pace

_DAMAGED = np.zeros((0, 0, 3), dtype=np.uint8)
_EARLY_NS = 1_000_000  # a frame may be, for its time is rounded


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pictures"):
    """`type = "pictures"`: which video or folder, how often it is looked at, how fast it passes."""

    path: str
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    speed: Annotated[float, Meta(ge=0.0)] = 1.0

    @property
    def window_s(self) -> float:
        """A picture takes no time."""
        return 0.0


def open_source(config: Config, *, name: str, base: Path) -> PicturesSource:
    """Look at the first picture.

    Raises:
        SourceError: no such file or folder, nothing in it can be read, or OpenCV is missing.
    """
    if importlib.util.find_spec("cv2") is None:
        raise SourceError("OpenCV is not installed; fix: pip install 'vedette[edge-camera]'")
    return PicturesSource(config, name, open_reel(base / config.path, hop_s=config.hop_s))


class PicturesSource:
    """One recording, from its first picture to its last.

    Frames never queue: who asks too late for one gets the newest that is due. At speed 0 nobody
    is late. `Window.seq` counts what was due.

    Attributes:
        about: what is shown, for people.
    """

    def __init__(self, config: Config, name: str, reel: Reel) -> None:
        self.about = reel.about
        self._hop_ns = round(config.hop_s * 1e9)
        self._name = name
        self._reel = reel
        self._pace = Pace(config.speed)

    def windows(self) -> Iterator[Window]:
        """A picture every hop; one that is damaged is empty, and so refused as corrupt."""
        now_ns = 0  # settled when one is asked for, or a slow decoder would never catch up
        for seq, frame in enumerate(self._due()):
            if frame.t_ns + self._hop_ns <= now_ns:
                continue
            if not self._pace.wait_for(frame.t_ns):
                return
            taken = frame.take()
            data = _DAMAGED if taken is None else taken
            wall_ns = time.time_ns()
            yield Window(self._name, seq, frame.t_ns, wall_ns, data, self._reel.rate_hz)
            now_ns = self._pace.now_ns()

    def close(self) -> None:
        """End `windows` soon."""
        self._pace.close()

    def _due(self) -> Iterator[Frame]:
        due_ns = 0
        for frame in self._reel.frames():
            if self._pace.is_closed:
                return
            if frame.t_ns < due_ns - _EARLY_NS:
                continue
            yield frame
            is_in_step = frame.t_ns - due_ns < self._hop_ns
            due_ns = (due_ns if is_in_step else frame.t_ns) + self._hop_ns
