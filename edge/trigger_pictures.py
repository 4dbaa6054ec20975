"""From the pictures of a camera and the triggers of a line to one window a part."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from contract.inspection import PASS, REJECT, Part
from contract.spec import Detections, Window
from edge.lines import Lines
from edge.sources import Source
from edge.trigger import ImageTrigger, TriggerConfig
from edge.trigger_image import PartSeen

_MS = 1_000_000
_NO_PICTURE = np.zeros((0, 0, 3), dtype=np.uint8)
_WAIT_S = 1.0  # for a picture, where nothing is sorted and so nothing says how long
_MOST = 4  # parts ready to be judged, likewise
_LOOK_S = 0.02  # how often it is looked whether a part has waited too long


@dataclass(frozen=True)
class Shot:
    """A part, and the picture of it; None: `why` it has none, in one word."""

    t_ns: int
    window: Window | None
    why: str = ""


class Shots:
    """Which picture is of which part. Pure; times are CLOCK_MONOTONIC, nanoseconds.

    A picture is of the last part that was triggered `delay` before it was taken, and the first such
    picture is taken; never one from before. Parts leave in the order of their triggers.
    """

    def __init__(self, *, delay_ns: int, wait_ns: int) -> None:
        """No part is waiting.

        Args:
            delay_ns: from the trigger until the part is where the picture is wanted.
            wait_ns: from the trigger until a picture is of no use any more.
        """
        self._delay_ns, self._wait_ns = delay_ns, wait_ns
        self._waiting: deque[int] = deque()

    def part(self, t_ns: int) -> None:
        """A part has come into view."""
        self._waiting.append(t_ns)

    def picture(self, window: Window, taken_ns: int) -> list[Shot]:
        """Parts that are settled by a picture; all triggers before it must be known.

        Args:
            window: the picture.
            taken_ns: when its exposure began, at the earliest.
        """
        due = [t_ns for t_ns in self._waiting if t_ns + self._delay_ns <= taken_ns]
        if not due:
            return []
        for t_ns in due:
            self._waiting.remove(t_ns)
        *without, last = due
        if taken_ns > last + self._wait_ns:
            return [_unseen(t_ns) for t_ns in due]
        return [*map(_unseen, without), Shot(last, window)]

    def late(self, now_ns: int) -> list[Shot]:
        """Parts that have waited too long for a picture."""
        late = []
        while self._waiting and now_ns > self._waiting[0] + self._wait_ns:
            late.append(_unseen(self._waiting.popleft()))
        return late


def _unseen(t_ns: int) -> Shot:
    return Shot(t_ns, None, "no_picture")


class Triggered:
    """A `Source` that yields one window a part, in the order of the triggers.

    Of a part without a picture the window is empty. `seq` counts the parts, `t_ns` and `wall_ns`
    are the picture's own. Pictures are taken from the camera by a thread of its own, so the next
    part's is not missed while one is judged.
    """

    def __init__(
        self,
        source: Source,
        config: TriggerConfig,
        lines: Lines,
        *,
        name: str,
        deadline_ms: float | None,
        is_live: bool,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is started yet.

        Args:
            source: the camera; closed with this.
            config: the `[pipeline.trigger]` table.
            lines: open.
            name: of the pipeline, for the windows.
            deadline_ms: after which a part is rejected whatever is found; None: never.
            is_live: the windows' own time is CLOCK_MONOTONIC; else they are taken as they come.
            alive: called while pictures come and no part does.
        """
        self._source, self._lines, self._name = source, lines, name
        self._config = config
        self._deadline_ns = None if deadline_ms is None else round(deadline_ms * _MS)
        self._wait_ns = self._deadline_ns or round(_WAIT_S * 1e9)
        self._is_live = is_live
        self._alive = alive
        self._seen = PartSeen(config) if isinstance(config, ImageTrigger) else None
        self._shots = Shots(delay_ns=round(config.delay_ms * _MS), wait_ns=self._wait_ns)
        self._ready: deque[Shot] = deque()
        self._changed = threading.Condition()
        self._ended: BaseException | None = None
        self._has_seen = self._has_ended = self._is_closed = False
        self._shot = Shot(0, None)  # of the part in hand

    def windows(self) -> Iterator[Window]:
        """One a part.

        Raises:
            SourceError: camera or lines failed; every part triggered before has been yielded.
        """
        pump = threading.Thread(target=self._pump, name=f"camera {self._name}", daemon=True)
        pump.start()
        seq = 0
        while (shot := self._next()) is not None:
            self._shot = shot
            yield self._without(seq) if shot.window is None else replace(shot.window, seq=seq)
            seq += 1
        pump.join()
        if self._ended is not None and not self._is_closed:
            raise self._ended

    def close(self) -> None:
        """End `windows` soon; called from another thread."""
        self._source.close()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def refuse(self, _window: Window) -> str | None:
        """Why the part in hand is not to be judged, in one word; None: it is. A `Gate`."""
        if self._shot.why:
            return self._shot.why
        is_late = self._deadline_ns is not None and self._age_ns() > self._deadline_ns
        return "late" if is_late else None

    def settle(self, found: Detections, why: str | None) -> tuple[Detections, float]:
        """Let the part in hand pass, or not; what is said of it then, and after how many ms.

        Args:
            found: of its picture; nothing where it was not judged.
            why: it was not judged.
        """
        part = next((one for one in found if isinstance(one, Part)), None)
        if part is None:
            part = Part(REJECT, reason=f"Not judged: {why or 'no part in the picture'}.")
        passes = self._lines.decide(self._shot.t_ns, may_pass=part.label == PASS)
        took_ms = self._age_ns() / _MS
        if part.label == PASS and not passes:
            reason = f"Good, but told after {took_ms:.0f} ms, too late for the rejector."
            part = replace(part, label=REJECT, reason=reason)
        return (part, *(one for one in found if not isinstance(one, Part))), round(took_ms, 3)

    def _age_ns(self) -> int:
        return time.monotonic_ns() - self._shot.t_ns

    def _pump(self) -> None:
        """Every picture to its part; the body of a thread."""
        try:
            for window in self._source.windows():
                if self._is_closed:
                    break
                self._see(window)
        except BaseException as error:  # noqa: BLE001 raised again where somebody can act on it
            self._ended = error
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _see(self, window: Window) -> None:
        self._has_seen = True
        came_ns = window.t_ns if self._is_live else time.monotonic_ns()
        taken_ns = came_ns
        if self._seen is None:
            taken_ns -= self._lag_ns(window)
        elif self._seen.see(window.data):
            self._lines.begin(came_ns)
            with self._changed:
                self._shots.part(came_ns)
        self._lines.sync()
        with self._changed:
            self._take()
            self._settle(self._shots.picture(window, taken_ns))
            if self._deadline_ns is None:  # nothing is too late, so the camera waits
                self._changed.wait_for(lambda: len(self._ready) < _MOST or self._is_closed)

    def _lag_ns(self, window: Window) -> int:
        """From the beginning of the exposure until the picture came."""
        if self._config.lag_ms is not None:
            return round(self._config.lag_ms * _MS)
        return round(1e9 / window.rate_hz) if self._is_live and window.rate_hz else 0

    def _next(self) -> Shot | None:
        """The next part; None: there will be no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._has_ended, _LOOK_S)
                self._take()
                now_ns = time.monotonic_ns()
                self._settle(self._shots.late(now_ns + (1 << 62) * self._has_ended))
                if self._ready:
                    self._changed.notify_all()
                    return self._ready.popleft()
                if self._has_ended:
                    return None
            if self._has_seen:
                self._alive()

    def _take(self) -> None:
        for t_ns in self._lines.take():
            self._shots.part(t_ns)

    def _settle(self, shots: list[Shot]) -> None:
        """Put parts in line; pictures of those that are too late are not kept in memory."""
        self._ready.extend(shots)
        if self._deadline_ns is not None:
            old_ns = time.monotonic_ns() - self._deadline_ns
            for place, shot in enumerate(self._ready):
                if shot.window is not None and shot.t_ns < old_ns:
                    self._ready[place] = Shot(shot.t_ns, None, "late")
        self._changed.notify_all()

    def _without(self, seq: int) -> Window:
        return Window(self._name, seq, self._shot.t_ns, time.time_ns(), _NO_PICTURE, 0.0)
