"""The sample rate, measured: samples counted against this device's own clock."""

from __future__ import annotations

_MEASURED_S = 60.0  # before it is judged
_LATE_S = 1.0  # a window may arrive so much later than another, on a busy device
_RENEW_S = 600.0  # a drift that begins later must not be hidden by a long good past


class RateGate:
    """Refuses windows of a sensor that samples faster or slower than it says.

    Every feature's frequency would be off by as much. Needs a source whose time is its sample count
    over its nominal rate, running in real time.
    """

    def __init__(self, *, tolerance: float) -> None:
        self._tolerance = tolerance
        self._began: tuple[float, float] | None = None
        self._last_t_s = 0.0
        self._is_off = False

    def refuse(self, t_s: float, now_s: float, *, max_gap_s: float) -> str | None:
        """Why not; None if the rate is right as far as is known.

        Args:
            t_s: the window's own time, from its samples.
            now_s: monotonic clock at its arrival.
            max_gap_s: a longer step between windows is a gap, and the count begins anew.
        """
        is_gap = not 0.0 < t_s - self._last_t_s <= max_gap_s
        self._last_t_s = t_s
        if self._began is None or is_gap:
            self._began, self._is_off = (t_s, now_s), False
            return None
        counted_s, elapsed_s = t_s - self._began[0], now_s - self._began[1]
        if elapsed_s >= _MEASURED_S:
            allowed_s = self._tolerance * elapsed_s + _LATE_S
            self._is_off = abs(counted_s - elapsed_s) > allowed_s
        if elapsed_s >= _RENEW_S:
            self._began = (t_s, now_s)
        return "rate_drift" if self._is_off else None
