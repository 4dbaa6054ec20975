"""Parts to messages: a reading of each, an alert where the line needs somebody."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from contract.drift import Drifted
from contract.inspection import PASS, REJECT, REVIEW, Part
from contract.messages import Alert, Body, Reading
from contract.spec import Detection, Detections, Level, OperatingPoint

_MOST_TEXT = 256  # characters, as `Reading` has them


class _State(msgspec.Struct):
    """What `EachPart` knows.

    Attributes:
        parts: number of the last part.
        last: what became of the last parts, `PASS` or `REJECT`, oldest first.
        passed: parts passed in a row.
        raised: levels on which rejects are raised.
        drifting: parts in a row without it, by what drifts and is raised.
    """

    parts: int = 0
    last: list[str] = []
    passed: int = 0
    raised: list[Level] = []
    drifting: dict[str, int] = {}


class EachPart:
    """One reading a part; alerts that do not flood.

    A reject raises a notice, `k` rejects among the last `n` decided parts an alarm: a line that
    makes scrap, or a camera that no longer sees. While raised neither is raised again, for every
    part has its reading; both are cleared when `calm` parts in a row have passed. A part that is
    sent to a person counts neither way, one whose picture was refused is a reject.

    What drifts (`contract.drift`, detections that are no `Part`) raises a notice each, at the first
    part at which its score reaches its threshold; cleared after `calm` parts in a row below it.
    """

    def __init__(
        self, operating_point: OperatingPoint, *, workload: str, k: int, n: int, calm: int
    ) -> None:
        self._point = operating_point
        self._workload = workload
        self._k, self._n, self._calm = k, n, calm
        self._state = _State()

    def update(self, found: Detections, _t_ns: int) -> tuple[Body, ...]:
        """A reading per part, then the alerts due.

        Args:
            found: the parts in a window, mostly one, and what is known of drift.
        """
        parts = [one for one in found if isinstance(one, Part)]
        drifts = [one for one in found if not isinstance(one, Part)]
        said: list[Body] = []
        for part in parts:
            said += self._tell(part)
        for drift in drifts:
            said += self._drift(drift)
        return tuple(said)

    def state(self) -> bytes:
        """The number of the last part, and what is raised."""
        return msgspec.json.encode(self._state)

    def resume(self, state: bytes) -> None:
        """Numbers go on; what was raised before a restart can be cleared, not raised again."""
        self._state = msgspec.json.decode(state, type=_State)

    def _tell(self, part: Part) -> Sequence[Body]:
        state = self._state
        state.parts += 1
        reading = Reading(
            workload=self._workload,
            label=part.label,
            score=part.score,
            threshold=self._threshold(part),
            part=state.parts,
            reason=part.reason[:_MOST_TEXT],
            # what could not be measured is left out: JSON has no word for it
            sizes={name: size for name, size in part.sizes.items() if math.isfinite(size)},
        )
        if part.label == REVIEW:
            return [reading]
        became = PASS if part.label == PASS else REJECT
        state.last = [*state.last, became][-self._n :]
        state.passed = state.passed + 1 if part.label == PASS else 0
        return [reading, *self._rejects(part)]

    def _rejects(self, part: Part) -> list[Alert]:
        """What is raised or cleared by a part that was passed or rejected."""
        state = self._state
        rejects = state.last.count(REJECT)
        if state.passed >= self._calm:
            over, state.raised = state.raised, []
            return [self._alert(part, "cleared", level, hits=rejects) for level in over]
        if part.label == PASS:
            return []
        many = f"{rejects} of the last {len(state.last)} parts were rejected."
        due: dict[Level, str] = {"notice": f"Part {state.parts}: {part.reason}"}
        if rejects >= self._k:
            due["alarm"] = f"{many} The last, part {state.parts}: {part.reason}"
        new = [level for level in due if level not in state.raised]
        state.raised = [*state.raised, *new]
        return [self._alert(part, "raised", x, hits=rejects, text=due[x]) for x in new]

    def _drift(self, drift: Detection) -> list[Alert]:
        calm = self._state.drifting
        is_hit = drift.score >= self._threshold(drift)
        if is_hit:
            is_new = drift.label not in calm
            calm[drift.label] = 0
            if not is_new:
                return []
            text = drift.text if isinstance(drift, Drifted) else ""
            return [self._alert(drift, "raised", drift.level, hits=1, text=text)]
        if drift.label not in calm:
            return []
        calm[drift.label] += 1
        if calm[drift.label] < self._calm:
            return []
        del calm[drift.label]
        return [self._alert(drift, "cleared", drift.level, hits=0)]

    def _alert(
        self, of: Detection, state: str, level: Level, *, hits: int, text: str = ""
    ) -> Alert:
        label = REJECT if isinstance(of, Part) else of.label
        return Alert(
            workload=self._workload,
            state="raised" if state == "raised" else "cleared",
            label=label,
            score=of.score,
            threshold=self._threshold(of),
            hits=hits,
            of=len(self._state.last) if isinstance(of, Part) else 1,
            level=level,
            text=text[:1000],
            visit=label,  # several may be raised on one level
        )

    def _threshold(self, one: Detection) -> float:
        return self._point.threshold if one.threshold is None else one.threshold
