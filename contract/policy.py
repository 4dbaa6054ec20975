"""Detections over time to messages: what a device says, and when. Training replays the same."""

from __future__ import annotations

from collections import deque

from contract.messages import Alert, Body, Reading
from contract.spec import Detections, OperatingPoint


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
