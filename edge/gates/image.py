"""A picture: none, corrupt, of another size, black, saturated, torn or frozen."""

from __future__ import annotations

import numpy as np

from contract.spec import Array, ImageSpec, Window
from edge.gates import Limits

_EVERY = 4  # rows and columns; what is looked for covers areas
_BLACK = 12  # of 255; a dark room through a real lens still has its noise above it
_WHITE = 243
_BLIND_SHARE = 0.98  # of the picture
_FLAT_ROWS = 0.15  # of the height, at the bottom: what a decoder makes of missing data


class ImageGate:
    """Refuses pictures that show nothing, or not what is in front of the camera now.

    A night scene has lights and noise, an overexposed one has shadows: only a picture that is black
    or white nearly everywhere is refused. A real sensor never gives the same picture twice, so one
    that has not changed by a bit for `frozen_s` is an old one. Two whole halves of different frames
    cannot be told from a moving scene; a half that the decoder has filled in can.
    """

    def __init__(self, spec: ImageSpec, limits: Limits) -> None:
        self._spec = spec
        self._frozen_ns = round(limits.frozen_s * 1e9)
        self._shape: tuple[int, ...] | None = None
        self._last: Array | None = None
        self._changed_ns = 0

    def refuse(self, window: Window) -> str | None:
        """Why not; None if it may be judged."""
        x = window.data
        if x.size == 0:
            return "corrupt"
        if reason := self._spec.refuse(window):
            return reason
        self._shape = self._shape or x.shape
        if x.shape != self._shape:
            return "wrong_size"
        if self._last is None or not np.array_equal(x, self._last):
            self._last, self._changed_ns = x, window.t_ns
        elif window.t_ns - self._changed_ns >= self._frozen_ns:
            return "frozen"
        return _shows_nothing(np.ascontiguousarray(x[::_EVERY, ::_EVERY]))


def _shows_nothing(x: Array) -> str | None:
    # channel by channel: NumPy is slow along an axis of three
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    if np.mean(np.maximum(np.maximum(red, green), blue) <= _BLACK) >= _BLIND_SHARE:
        return "black"
    if np.mean(np.minimum(np.minimum(red, green), blue) >= _WHITE) >= _BLIND_SHARE:
        return "saturated"
    return "torn" if _is_torn(x) else None


def _is_torn(x: Array) -> bool:
    """Whether the lower rows are all of one colour and the upper ones are not."""
    if not (x[-1] == x[-1, -1]).all():
        return False
    is_last = (x == x[-1, -1]).all(axis=(1, 2))
    flat = len(x) if is_last.all() else int(np.argmin(is_last[::-1]))
    return _FLAT_ROWS * len(x) <= flat < len(x) and bool(x[: len(x) - flat].std() > 4.0)
