"""Detections over time to messages: what a device says, and when. Training replays the same."""

from __future__ import annotations

from collections import deque
from typing import get_args

from contract.messages import Alert, Body, Reading
from contract.spec import Detection, Detections, Level, OperatingPoint


class Debounce:
    """One alert when a state lasts, one message when it is over.

    Raises on `k` hits within the last `n` windows; clears when `n` windows in a row lie below the
    clear threshold; then says nothing for `cooldown_s`.
    """

    def __init__(
        self, operating_point: OperatingPoint, *, workload: str, k: int, n: int, cooldown_s: float
    ) -> None:
        self._workload = workload
        self._point = operating_point
        self._k = k
        self._cooldown_ns = int(cooldown_s * 1e9)
        self._scores: deque[float] = deque(maxlen=n)
        self._quiet_until_ns: int | None = None
        self.is_raised = False

    def update(self, found: Detections, t_ns: int) -> tuple[Body, ...]:
        """At most one message per window, from the detection with the highest score."""
        if not found:
            return ()
        worst = max(found, key=lambda detection: detection.score)
        self._scores.append(worst.score)
        hits = sum(score >= self._point.threshold for score in self._scores)
        calm = all(score < self._point.clear_threshold for score in self._scores)
        if self.is_raised:
            if not calm or len(self._scores) < (self._scores.maxlen or 0):
                return ()
            self.is_raised = False
            self._quiet_until_ns = t_ns + self._cooldown_ns
        elif hits >= self._k and (self._quiet_until_ns is None or t_ns >= self._quiet_until_ns):
            self.is_raised = True
        else:
            return ()
        return (
            Alert(
                workload=self._workload,
                state="raised" if self.is_raised else "cleared",
                label=worst.label,
                score=worst.score,
                threshold=self._point.threshold,
                hits=hits,
                of=len(self._scores),
            ),
        )

    def state(self) -> bytes:
        """Whether an alert is raised. Windows and cooldown belong to a source's clock that ends."""
        return b"raised" if self.is_raised else b""

    def resume(self, state: bytes) -> None:
        """An alert raised before a restart is not raised again, and can be cleared."""
        self.is_raised = state == b"raised"


class Latch:
    """One alert a level of urgency, for scores that already look back (`Workload.follow`).

    Raises at the first window that reaches the threshold; clears after `calm_s` below the clear
    threshold; then says nothing on this level for `cooldown_s`.
    """

    def __init__(
        self, operating_point: OperatingPoint, *, workload: str, calm_s: float, cooldown_s: float
    ) -> None:
        self._levels = {
            level: _LatchedLevel(operating_point, workload, level, calm_s, cooldown_s)
            for level in get_args(Level)
        }

    def update(self, found: Detections, t_ns: int) -> tuple[Body, ...]:
        """At most one message per level, each from its detection with the highest score."""
        said = []
        for level, latched in self._levels.items():
            of_level = [detection for detection in found if detection.level == level]
            if of_level:
                said += latched.update(max(of_level, key=lambda one: one.score), t_ns)
        return tuple(said)

    def state(self) -> bytes:
        """The levels that are raised. Times belong to a source's clock that ends."""
        return " ".join(level for level, one in self._levels.items() if one.is_raised).encode()

    def resume(self, state: bytes) -> None:
        """An alert raised before a restart is not raised again, and can be cleared.

        What `Debounce` had raised, before an update, was an alarm.
        """
        raised = state.decode().replace("raised", "alarm").split()
        for level, latched in self._levels.items():
            latched.is_raised = level in raised


class _LatchedLevel:
    """One level of a `Latch`."""

    def __init__(
        self, point: OperatingPoint, workload: str, level: Level, calm_s: float, cooldown_s: float
    ) -> None:
        self._point = point
        self._workload = workload
        self._level: Level = level
        self._calm_ns, self._cooldown_ns = int(calm_s * 1e9), int(cooldown_s * 1e9)
        self._calm_since_ns: int | None = None
        self._quiet_until_ns: int | None = None
        self.is_raised = False

    def update(self, worst: Detection, t_ns: int) -> list[Alert]:
        """The alert due, if there is one."""
        is_hit = worst.score >= self._point.threshold
        if self.is_raised:
            if worst.score >= self._point.clear_threshold:
                self._calm_since_ns = None
                return []
            # a clock that began anew has nothing to say about how long it has been calm
            if self._calm_since_ns is None or t_ns < self._calm_since_ns:
                self._calm_since_ns = t_ns
            if t_ns - self._calm_since_ns < self._calm_ns:
                return []
            self.is_raised, self._calm_since_ns = False, None
            self._quiet_until_ns = t_ns + self._cooldown_ns
        elif is_hit and not self._is_cooling(t_ns):
            self.is_raised = True
        else:
            return []
        return [
            Alert(
                workload=self._workload,
                state="raised" if self.is_raised else "cleared",
                label=worst.label,
                score=worst.score,
                threshold=self._point.threshold,
                hits=int(is_hit),
                of=1,
                level=self._level,
            )
        ]

    def _is_cooling(self, t_ns: int) -> bool:
        until_ns = self._quiet_until_ns
        return until_ns is not None and until_ns - self._cooldown_ns <= t_ns < until_ns


class EachWindow:
    """One reading per detection of every window: a part, a page."""

    def __init__(self, _operating_point: OperatingPoint, *, workload: str) -> None:
        self._workload = workload

    def update(self, found: Detections, _t_ns: int) -> tuple[Body, ...]:
        """A reading per detection."""
        return tuple(
            Reading(workload=self._workload, label=detection.label, score=detection.score)
            for detection in found
        )

    def state(self) -> bytes:
        """Nothing: every window stands for itself."""
        return b""

    def resume(self, _state: bytes) -> None:
        """Nothing to go on from."""
