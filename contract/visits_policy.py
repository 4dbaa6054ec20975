"""Visits to messages: what is said of each person who comes, once."""

from __future__ import annotations

import msgspec

from contract.messages import Alert
from contract.spec import Detections, OperatingPoint
from contract.visits import OUTCOMES, RECOGNISED, SPOOF, STRANGER, UNRESOLVED, Visitor

_MOST = 256  # visits kept in mind
_WORDS = {
    RECOGNISED: "{who}",
    STRANGER: "Nobody who is enrolled",
    UNRESOLVED: "Somebody, and no telling who",
    SPOOF: "A picture of a face, not a living one",
}


class _Visit(msgspec.Struct):
    """What was said of one.

    Attributes:
        number: by which the follower knows it now.
        name: by which the messages do.
        seen_s: when the person was seen last.
        said: outcomes that an alert was raised for.
        raised: the alert that is raised now.
        who: the person, once recognised.
    """

    number: str
    name: str
    seen_s: float
    said: list[str] = []
    raised: Alert | None = None
    who: str | None = None


class _State(msgspec.Struct):
    """What `EachVisit` knows; times on its own clock, which never goes back."""

    now_s: float = 0.0
    last_ns: int | None = None
    visits: list[_Visit] = []


class EachVisit:
    """One alert for each visit and outcome.

    Raised when it is decided. Cleared when the person has not been seen for `away_s`, or when
    something else has turned out: a stranger who is recognised after all is cleared as a stranger
    and raised as recognised. What was said of a visit is not said again, whatever comes. The same
    person within `return_s` is the same visit, over a restart too.
    """

    def __init__(
        self, _operating_point: OperatingPoint, *, workload: str, away_s: float, return_s: float
    ) -> None:
        self._workload = workload
        self._away_s, self._return_s = away_s, return_s
        self._state = _State()

    def update(self, found: Detections, t_ns: int) -> tuple[Alert, ...]:
        """Alerts due; what is over comes first.

        Args:
            found: as `contract.visits.Visits` gives it; nothing where nobody is there.
            t_ns: the window's own time; where it goes back, no time has passed.
        """
        state = self._state
        if state.last_ns is not None and t_ns > state.last_ns:
            state.now_s += (t_ns - state.last_ns) / 1e9
        state.last_ns = t_ns
        visitors = [one for one in found if isinstance(one, Visitor)]
        here = {visitor.visit for visitor in visitors}
        changed = [alert for one in visitors for alert in self._see(one, here)]
        return (*self._over(), *changed)

    def state(self) -> bytes:
        """Every visit that is not forgotten."""
        return msgspec.json.encode(self._state)

    def resume(self, state: bytes) -> None:
        """What was raised before a restart can be cleared, and is not raised again."""
        self._state = msgspec.json.decode(state, type=_State)

    def _see(self, visitor: Visitor, here: set[str]) -> list[Alert]:
        visit = self._visit(visitor, here)
        if visit is None:
            return []
        visit.seen_s = self._state.now_s
        if visitor.label not in OUTCOMES or visitor.label in visit.said:
            return []
        before = [] if visit.raised is None else [_cleared(visit.raised)]
        visit.raised = self._alert(visitor, visit.name)
        visit.said.append(visitor.label)
        visit.who = visit.who or visitor.who
        return [*before, visit.raised]

    def _visit(self, visitor: Visitor, here: set[str]) -> _Visit | None:
        """The one known by its number, or by who it is; a new one where there is much to say."""
        visits = self._state.visits
        found = next((visit for visit in visits if visit.number == visitor.visit), None)
        if found is not None or visitor.label not in OUTCOMES:
            return found
        for visit in visits:
            if visitor.who is not None and visit.who == visitor.who and visit.number not in here:
                visit.number = visitor.visit
                return visit
        visits.append(_Visit(visitor.visit, visitor.visit, self._state.now_s))
        return visits[-1]

    def _over(self) -> list[Alert]:
        """Clear what has ended, and forget what is long past, or too much."""
        now_s = self._state.now_s
        visits = sorted(self._state.visits, key=lambda visit: -visit.seen_s)
        said = []
        for place, visit in enumerate(visits):
            if visit.raised and (now_s - visit.seen_s >= self._away_s or place >= _MOST):
                said.append(_cleared(visit.raised))
                visit.raised = None
        kept = [one for one in visits[:_MOST] if one.raised or now_s - one.seen_s < self._return_s]
        self._state.visits = kept
        return said

    def _alert(self, visitor: Visitor, visit: str) -> Alert:
        words = _WORDS[visitor.label].format(who=visitor.who)
        return Alert(
            workload=self._workload,
            state="raised",
            label=visitor.label,
            score=visitor.score,
            threshold=visitor.threshold,
            hits=visitor.usable,
            of=visitor.frames,
            level=visitor.level,
            text=f"{words}. {visitor.usable} of {visitor.frames} pictures show the face well.",
            visit=visit,
            who=visitor.who,
        )


def _cleared(raised: Alert) -> Alert:
    return msgspec.structs.replace(raised, state="cleared", text="")
