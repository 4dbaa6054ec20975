"""Parts counted by shift, over restarts; and what people say of them afterwards."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from contract.inspection import PASS, REVIEW
from contract.messages import Reading, Shift, Verdict

_MOST = 1000  # parts that people may still give a verdict on
_FIELDS = {PASS: "passed", REVIEW: "review"}  # all others are rejected

Clock = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class ShiftConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[pipeline.shift]`: when shifts begin, local time.

    Attributes:
        starts: hours and minutes.
        zone: time zone by its IANA name; None: the system's.
    """

    starts: Annotated[tuple[Clock, ...], Meta(min_length=1)] = ("00:00",)
    zone: str | None = None

    def __post_init__(self) -> None:
        """The zone is one that this machine knows."""
        try:
            _ = self.zone and ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            fix = "an IANA name such as 'Europe/Zurich' (package tzdata)"
            raise ValueError(f"zone = {self.zone!r} is not known here; fix: {fix}") from None


def began(wall_ns: int, config: ShiftConfig) -> str:
    """When the shift began that `wall_ns` (ns since 1970) lies in: local time, RFC 3339.

    Where the clocks go forward over a start, it is as if they had not; where they go back, the
    first of the two counts.
    """
    zone = ZoneInfo(config.zone) if config.zone else None
    now = dt.datetime.fromtimestamp(wall_ns // 10**9, tz=dt.UTC)
    today = now.astimezone(zone).date()
    starts = (
        dt.datetime.combine(today - dt.timedelta(days=days), dt.time.fromisoformat(start))
        for days in (0, 1)
        for start in config.starts
    )
    local = (start.replace(tzinfo=zone) if zone else start.astimezone() for start in starts)
    return max(start for start in local if start <= now).isoformat()


class _Told(msgspec.Struct, frozen=True, array_like=True):
    """A part that people may still give a verdict on."""

    part: int
    label: str
    shift: str


class Shifts:
    """Counts of shifts. Pure: time is an argument. Not thread-safe.

    Attributes:
        latest: this shift and the one before, as far as there were parts in them.
    """

    def __init__(self, config: ShiftConfig) -> None:
        self._config = config
        self.latest: list[Shift] = []
        self._told: list[_Told] = []
        self._has_told = False  # since the last `states`

    def count(self, reading: Reading, wall_ns: int) -> Reading:
        """The reading with its shift; counted, where it is about a part.

        Args:
            reading: as the policy made it.
            wall_ns: when the part was seen, nanoseconds since 1970.
        """
        if reading.part is None:
            return reading
        start = began(wall_ns, self._config)
        if start not in [shift.began for shift in self.latest]:
            self.latest = [Shift(began=start), *self.latest][:2]
        self._add(start, _FIELDS.get(reading.label, "rejected"))
        if reading.label != PASS:
            told = _Told(reading.part, reading.label, start)
            self._told, self._has_told = [*self._told, told][-_MOST:], True
        return msgspec.structs.replace(reading, shift=start)

    def review(self, part: int, verdict: Verdict, *, workload: str) -> Reading | None:
        """What a person says of a part, as a reading; None: it is not known, or was said before.

        Args:
            part: its number.
            verdict: of the person.
            workload: that had decided.
        """
        told = next((one for one in self._told if one.part == part), None)
        if told is None:
            return None
        self._told.remove(told)
        self._has_told = True
        if told.label != REVIEW:
            self._add(told.shift, "reviewed")
            if verdict == "good":
                self._add(told.shift, "false_rejects")
        return Reading(
            workload=workload,
            label=told.label,
            score=0.0,
            part=part,
            shift=told.shift,
            verdict=verdict,
            reason=f"A person has looked: {verdict}.",
        )

    def states(self) -> dict[str, bytes]:
        """What a restart must not forget, by name; what has not changed is left out."""
        changed = {"shifts": msgspec.json.encode(self.latest)} if self.latest else {}
        if self._has_told:
            changed["told"] = msgspec.json.encode(self._told)
        self._has_told = False
        return changed

    def resume(self, stored: Callable[[str], bytes | None]) -> None:
        """Go on from the `states` that were kept, by name."""
        if (state := stored("shifts")) is not None:
            self.latest = msgspec.json.decode(state, type=list[Shift])
        if (state := stored("told")) is not None:
            self._told = msgspec.json.decode(state, type=list[_Told])

    def _add(self, start: str, field: str) -> None:
        """One more in that shift; none where it is long past."""
        self.latest = [
            msgspec.structs.replace(shift, **{field: getattr(shift, field) + 1})
            if shift.began == start
            else shift
            for shift in self.latest
        ]
