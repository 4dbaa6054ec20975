"""Scores over a long time in few points: since when it is not normal, and how it came to that."""

from __future__ import annotations

import statistics
from collections import deque

import numpy as np

from contract.spec import Floats

_MOST_POINTS = 512
_SMOOTH = 5  # windows; a single loud or quiet one neither begins nor ends anything
_UNITS = (("s", 1.0, 120.0), ("min", 60.0, 7_200.0), ("h", 3_600.0, 172_800.0))


class Trend:
    """Pure: time is an argument. Begins anew with every start of the service."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []  # time, and the highest score up to the next
        self._stride = 1
        self._count = 0
        self._last: deque[float] = deque(maxlen=_SMOOTH)
        self._since_s: float | None = None
        self._since_start = False
        self._score_then = 0.0

    def note(self, t_s: float, score: float, *, calm_below: float) -> None:
        """One more window.

        Args:
            t_s: its time; never goes back.
            score: of its worst detection.
            calm_below: a score below it counts as normal.
        """
        self._last.append(score)
        level = statistics.median(self._last)
        if level < calm_below:
            self._since_s = None
        elif self._since_s is None:
            self._since_s, self._score_then = t_s, level
            self._since_start = self._count == 0
        if self._count % self._stride == 0:
            self._points.append((t_s, score))
        elif score > self._points[-1][1]:
            self._points[-1] = (self._points[-1][0], score)
        self._count += 1
        if len(self._points) >= _MOST_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(a[0], max(a[1], b[1])) for a, b in pairs]
            self._stride *= 2

    def points(self, t_s: float, *, threshold: float) -> Floats:
        """(points, 2) float32: seconds up to `t_s`, which is 0; and score over `threshold`."""
        points = np.array(self._points, dtype=np.float64).reshape(-1, 2)
        return ((points - (t_s, 0.0)) / (1.0, threshold)).astype(np.float32)

    def words(self, t_s: float, *, threshold: float) -> str:
        """Since when it is not normal and how the score has moved; empty where that is news."""
        if self._since_s is None or t_s <= self._since_s:
            return ""
        least = "at least " if self._since_start else ""
        then, now = self._score_then / threshold, self._last[-1] / threshold
        return (
            f"Not normal for {least}{_duration(t_s - self._since_s)}; "
            f"the score went from {then:.2f} to {now:.2f} times its threshold."
        )


def _duration(seconds: float) -> str:
    for unit, size_s, below_s in _UNITS:
        if seconds < below_s:
            value = seconds / size_s
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{seconds / 86_400:.1f} d"
