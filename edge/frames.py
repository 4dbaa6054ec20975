"""What all cameras share: the newest frame every hop, from the child that reads it to a window."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from contract.spec import Array, Window
from edge.capture import Capture, Out
from edge.errors import SourceError

_DAMAGED = np.zeros((0, 0, 3), dtype=np.uint8)  # stands for a frame that came damaged


@dataclass(frozen=True, eq=False)
class Pictures:
    """One frame.

    Attributes:
        data: (height, width, 3) uint8 RGB, what the model sees.
        large: the same moment and the same view, larger; None: there is no other.
    """

    data: Array
    large: Array | None = None


Take = Callable[[], Pictures | None]  # makes the pictures of a frame; None: it came damaged


class FrameSource:
    """The newest frame of a camera, every hop; a `Source`."""

    def __init__(
        self, module: str, config: msgspec.Struct, name: str, *, what: str, stall_s: float
    ) -> None:
        """Nothing is started yet; the arguments are those of `Capture`, and the pipeline's name."""
        self._name = name
        self._capture = Capture(module, config, what=what, stall_s=stall_s)

    def windows(self) -> Iterator[Window]:
        """Pictures as they come; one that came damaged is empty, and so refused as corrupt."""
        for item in self._capture.items():
            wall_ns = time.time_ns() - (time.monotonic_ns() - item.t_ns)
            yield Window(
                *(self._name, item.seq, item.t_ns, wall_ns, item.data, item.rate_hz), item.large
            )

    def close(self) -> None:
        """End `windows` at once."""
        self._capture.close()


def hand_on(frames: Iterable[Take], out: Out, *, hop_s: float) -> None:
    """Every hop the frame nearest to it; of the others only that they came.

    Args:
        frames: as the camera gives them; only those handed on are taken.
        out: takes them.
        hop_s: from picture to picture, seconds.
    """
    hop_ns, due_ns = round(hop_s * 1e9), 0
    times: list[int] = []
    for take in frames:
        now_ns = time.monotonic_ns()
        times = [*times[-31:], now_ns]
        # the median, for some send a handful at once to begin with
        period_ns = statistics.median(b - a for a, b in pairwise(times)) if times[1:] else 0
        if now_ns + period_ns / 2 < due_ns:  # a later one will be closer
            out.alive()
            continue
        due_ns = (due_ns if now_ns - due_ns < hop_ns else now_ns) + hop_ns
        pictures = take() or Pictures(_DAMAGED)
        out.put(
            pictures.data,
            large=pictures.large,
            t_ns=now_ns,
            rate_hz=round(1e9 / period_ns, 2) if period_ns else 0.0,
        )


def of_opencv(camera: Any) -> Iterator[Take]:
    """Frames of a `cv2.VideoCapture` that is open.

    Raises:
        SourceError: it gives no more.
    """
    import cv2

    def take() -> Pictures | None:
        is_there, bgr = camera.retrieve()
        return Pictures(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)) if is_there else None

    while camera.grab():
        yield take
    raise SourceError("the camera ended the stream")
