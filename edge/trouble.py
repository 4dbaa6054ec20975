"""From windows that came, were refused or stayed away to the sensor's own alert."""

from __future__ import annotations

from collections import Counter, deque

from contract.messages import Sensor


class SourceTime:
    """Seconds as they pass for a source: recorded time where it plays faster, else ours."""

    def __init__(self) -> None:
        self._s = 0.0
        self._t_s = 0.0
        self._mono_s: float | None = None

    def at(self, mono_s: float, t_s: float | None = None) -> float:
        """Never goes back, whatever the source's own clock does.

        Args:
            mono_s: this device's monotonic clock.
            t_s: the time of a window; None: no window has come.
        """
        passed_s = 0.0 if self._mono_s is None else mono_s - self._mono_s
        if t_s is not None:
            if self._mono_s is not None and t_s > self._t_s:
                passed_s = t_s - self._t_s
            self._t_s = t_s
        self._mono_s = mono_s
        self._s += passed_s
        return self._s


class Trouble:
    """Raises when most of what came for a while was bad, clears when all was good for as long.

    Pure: time is an argument.

    Attributes:
        reason: why the sensor is not believed at present; None: it is, or nothing has come yet.
        is_raised: whether the alert is raised.
    """

    def __init__(self, *, workload: str, alert_s: float, hop_s: float) -> None:
        """Looks back on `alert_s`, on three hops where they are longer."""
        self._workload = workload
        self._span_s = max(alert_s, 3 * hop_s)
        self._seen: deque[tuple[float, str | None]] = deque(maxlen=4096)
        self._began_s: float | None = None  # of the present trouble
        self._refused = 0
        self._label = ""
        self.reason: str | None = None
        self.is_raised = False

    def state(self) -> bytes:
        """What a restart must not forget: the reason of an alert that is raised."""
        return self._label.encode() if self.is_raised else b""

    def resume(self, state: bytes) -> None:
        """An alert raised before a restart is not raised again, and can be cleared."""
        self._label = state.decode()
        self.is_raised = bool(state)

    def note(self, now_s: float, reason: str | None, *, windows: int = 1) -> Sensor | None:
        """One look at the sensor, and the message that is due after it.

        Args:
            now_s: seconds on a clock that does not jump.
            reason: why what came is bad, or why nothing came; None: a good window.
            windows: refused by this look; 0 where none came.
        """
        self._seen.append((now_s, reason))
        while self._seen[0][0] < now_s - self._span_s:
            self._seen.popleft()
        self.reason = reason
        bad = Counter(why for _, why in self._seen if why)
        if reason:
            if self._began_s is None:
                self._began_s, self._refused = now_s, 0
            self._refused += windows
        elif not bad and not self.is_raised:
            self._began_s = None
        if self.is_raised:
            return self._clear(now_s) if not bad and self._looked_long(now_s) else None
        if not bad or 2 * bad.total() < len(self._seen) or not self._looked_long(now_s):
            return None
        self.is_raised = True
        self._label = bad.most_common(1)[0][0]
        return self._message("raised", now_s)

    def _looked_long(self, now_s: float) -> bool:
        """Whether what is remembered reaches over most of the span, in several looks."""
        return len(self._seen) >= 2 and now_s - self._seen[0][0] >= 0.6 * self._span_s

    def _clear(self, now_s: float) -> Sensor:
        self.is_raised = False
        message = self._message("cleared", now_s)
        self._began_s = None
        return message

    def _message(self, state: str, now_s: float) -> Sensor:
        began_s = now_s if self._began_s is None else self._began_s
        return Sensor(
            workload=self._workload,
            state=state,  # type: ignore[arg-type]
            label=self._label,
            refused=self._refused,
            lasted_s=round(now_s - began_s, 3),
        )
