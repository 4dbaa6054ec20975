"""A part seen by the camera itself: something is in a region that is not there otherwise."""

from __future__ import annotations

import math

import numpy as np

from contract.spec import Array, Floats
from edge.trigger import ImageTrigger

_SIDE = 64  # the region is looked at in about so many points along each side
_LEARN, _LEARN_COVERED = 0.05, 0.002  # of a picture, into the background
_GONE = 0.5  # of the difference: below it the part has left
_MIDDLE = 0.1  # of the region: so near to its middle is in it
_REST = 0.25  # of the difference, from picture to picture: less is no movement


class PartSeen:
    """Once for each part: when it is in the middle of the region, has passed it, or rests in it.

    The background is a slow mean of what the region shows, slower still while something covers it:
    daylight is followed, and what stands there for some hundred pictures becomes background.
    """

    def __init__(self, config: ImageTrigger) -> None:
        self._region = config.region
        self._difference = config.difference
        self._background: Floats | None = None
        self._last: Floats | None = None
        self._is_armed = True
        self._far = np.inf  # from the middle, in the picture before

    def see(self, picture: Array) -> bool:
        """Whether a part is there, and was not told of before.

        Args:
            picture: (height, width, 3) uint8; one that came damaged is passed over.
        """
        if picture.size == 0:
            return False
        seen = self._cut(picture)
        last, self._last = self._last, seen
        if self._background is None or last is None or last.shape != seen.shape:
            self._background = seen.copy()
            return False
        off = np.abs(seen - self._background)
        moved = float(np.abs(seen - last).mean())
        covered = float(off.mean())
        is_there = covered >= self._difference
        rate = np.float32(_LEARN_COVERED if is_there else _LEARN)
        self._background += rate * (seen - self._background)
        if covered < _GONE * self._difference:
            self._is_armed, self._far = True, np.inf
        if not (is_there and self._is_armed):
            return False
        far, before = _from_middle(off), self._far
        self._far = far
        has_passed = far > before
        if far <= _MIDDLE or has_passed or moved < _REST * self._difference:
            self._is_armed = False
            return True
        return False

    def _cut(self, picture: Array) -> Floats:
        """(about 64, about 64) float32: the region's green, which is nearest to brightness."""
        height, width = picture.shape[:2]
        left, top, wide, high = self._region
        rows = slice(round(top * height), max(round((top + high) * height), 1))
        columns = slice(round(left * width), max(round((left + wide) * width), 1))
        region = picture[rows, columns, 1]
        down, across = (max(side // _SIDE, 1) for side in region.shape)
        return region[::down, ::across].astype(np.float32)


def _from_middle(off: Floats) -> float:
    """How far the middle of what is there lies from the region's, in shares of its sides."""
    total = float(off.sum()) or 1.0
    places = [
        float(off.sum(axis=1 - axis) @ np.linspace(-0.5, 0.5, off.shape[axis])) / total
        for axis in (0, 1)
    ]
    return math.hypot(*places)
