"""When the output that sorts parts is energised: a pure schedule, run by `edge.lines_child`.

Whatever is not decided in time is rejected. Times are CLOCK_MONOTONIC, nanoseconds; a part is known
by the time of its trigger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

_MS = 1_000_000

Chip = Annotated[str, Meta(pattern="^/dev/")]
LineNumber = Annotated[int, Meta(ge=0, le=65_535)]
Milliseconds = Annotated[float, Meta(ge=0.0, le=60_000.0)]
Period = Annotated[float, Meta(gt=0.0, le=60_000.0)]


class RejectorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[pipeline.rejector]`: the output, and its times, counted from the trigger.

    `delay_ms` is settled once read: the part is at the gate then, at the deadline unless said.
    """

    chip: Chip
    line: LineNumber
    deadline_ms: Period
    delay_ms: Period | None = None
    pulse_ms: Period = 80.0
    energised: Literal["pass", "reject"] = "pass"
    active_low: bool = False

    def __post_init__(self) -> None:
        """Nobody may wait for a decision that comes after the part has gone."""
        if self.delay_ms is None:
            msgspec.structs.force_setattr(self, "delay_ms", self.deadline_ms)
        elif self.delay_ms < self.deadline_ms:
            raise ValueError(
                f"delay_ms = {self.delay_ms:g} is before deadline_ms = {self.deadline_ms:g}; fix: "
                "a deadline that ends when the part is at the gate, or earlier"
            )


@dataclass
class _Part:
    t_ns: int
    is_passed: bool = False
    is_decided: bool = False


class Schedule:
    """The parts between trigger and gate.

    Each part has the gate for itself from `delay_ms` on, for `pulse_ms`. Where two are there at
    once the gate lets nothing through unless both may pass: rather lose a good one.
    """

    def __init__(self, config: RejectorConfig) -> None:
        assert config.delay_ms is not None  # settled
        self._deadline_ns = round(config.deadline_ms * _MS)
        self._delay_ns = round(config.delay_ms * _MS)
        self._pulse_ns = round(config.pulse_ms * _MS)
        self._passes = config.energised == "pass"
        self._parts: list[_Part] = []

    def add(self, t_ns: int) -> None:
        """A part has come into view."""
        self._parts.append(_Part(t_ns))

    def decide(self, t_ns: int, *, may_pass: bool, now_ns: int) -> bool:
        """Whether the part passes: it may, it is known, nothing else was said of it, it is in time.

        Args:
            t_ns: of its trigger.
            may_pass: what was decided.
            now_ns: when that came.
        """
        part = next((one for one in self._parts if one.t_ns == t_ns), None)
        if part is None or part.is_decided or now_ns > t_ns + self._deadline_ns:
            return False
        part.is_decided, part.is_passed = True, may_pass
        return may_pass

    def is_energised(self, now_ns: int) -> bool:
        """The output at that moment; at rest where no part is at the gate."""
        at_gate = [
            part
            for part in self._parts
            if 0 <= now_ns - part.t_ns - self._delay_ns < self._pulse_ns
        ]
        if not at_gate:
            return False
        return all(part.is_passed for part in at_gate) == self._passes

    def next_ns(self, now_ns: int) -> int | None:
        """When the output may change next; None: it rests. Forgets who has gone by."""
        at_gate_ns = self._delay_ns
        gone_ns = at_gate_ns + self._pulse_ns
        self._parts = [part for part in self._parts if part.t_ns + gone_ns > now_ns]
        times = [part.t_ns + after for part in self._parts for after in (at_gate_ns, gone_ns)]
        return min((time for time in times if time > now_ns), default=None)
