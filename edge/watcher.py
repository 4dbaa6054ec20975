"""One pipeline's thread: windows in, messages out; it keeps going when a sensor does not."""

from __future__ import annotations

import logging
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec

from contract import messages
from contract.messages import Address, Alert, Body, Encoded, PipelineHealth, Reading, Review, Score
from contract.spec import Detections, ImageSpec, Window
from edge import engines, gates, lines, sources
from edge.behind import Behind
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.errors import EngineError, OutputError, SourceError
from edge.gates.rate import RateGate
from edge.recorder import Recorder
from edge.serving import Serving
from edge.shift import Shifts
from edge.trigger_pictures import Triggered
from edge.trouble import SourceTime, Trouble

log = logging.getLogger(__name__)

_MAX_BACKOFF_S = 5.0  # a sensor that is back is in use again well within ten seconds
_STALL_S = 10.0  # beyond two hops, before a pipeline counts as stalled
_PATIENCE_S = 70.0  # but never before
_LOOK_S = 1.0  # from one look to the next at a sensor that gives nothing
_GAP_HOPS = 3


class Send(Protocol):
    """Takes what must not be lost, and what a restart must not forget of it."""

    def __call__(self, *encoded: Encoded, states: Mapping[str, bytes]) -> None:
        """Stored together."""


class Watcher:
    """One source watched by one bundle; `run` is the body of its thread.

    Attributes:
        name: of the pipeline.
        state: as in `PipelineHealth`.
        windows: judged or learned from.
        alerts: alert messages handed on.
        dropped: windows not judged, by reason.
    """

    def __init__(
        self,
        config: PipelineConfig,
        serving: Serving,
        recorder: Recorder,
        *,
        address: Address,
        clock: Clock,
        send: Send,
        send_score: Callable[[Encoded], None],
        base: Path,
    ) -> None:
        """Nothing is opened yet.

        Args:
            config: the `[[pipeline]]` table.
            serving: judges the windows.
            recorder: says why an alert is raised.
            address: of the device's pipeline.
            clock: stamps the messages.
            send: takes what must not be lost.
            send_score: takes scores, which may be.
            base: folder that relative paths start from.
        """
        self.name = config.name
        self.state = "starting"
        self.windows = 0
        self.alerts = 0
        self.dropped: Counter[str] = Counter()
        self._config = config
        self._address = address
        self._clock = clock
        self._send = send
        self._send_score = send_score
        self._base = base
        self._serving = serving
        self._recorder = recorder
        spec = serving.bundle.workload.input
        self._trouble = Trouble(
            workload=serving.bundle.workload.name,
            alert_s=config.sensor_alert_s,
            hop_s=config.source.hop_s,
        )
        self._sensor_name = f"{config.name}.sensor"  # no pipeline has a dot in its name
        self._time = SourceTime()
        self._now_s = 0.0  # of the window in hand, by that time
        self._is_camera = isinstance(spec, ImageSpec)
        # recorded time that passes at another speed says nothing about a sample rate
        self._is_real_time = getattr(config.source, "speed", 1.0) == 1.0
        self._rate = (
            RateGate(tolerance=config.gate.rate_tolerance)
            if self._is_real_time and not self._is_camera
            else None
        )
        self._source: sources.Source | None = None
        self._lines = lines.of(config.trigger, config.rejector)
        self._behind: Behind | None = None  # while a line runs
        self._shifts = Shifts(config.shift)
        self._telling = threading.Lock()  # parts and what people say of them come by two threads
        self._next_seq = 0
        self._closed = threading.Event()
        self._progress_s = self._rated_s = time.monotonic()
        self._score_due_s = 0.0
        self._rated_windows = 0

    def resume(self, stored: Callable[[str], bytes | None]) -> None:
        """Go on from the states last given to `send`, by name; before `run`."""
        if (state := stored(self.name)) is not None:
            self._serving.policy.resume(state)
        if (state := stored(self._sensor_name)) is not None:
            self._trouble.resume(state)
        self._shifts.resume(lambda name: stored(f"{self.name}.{name}"))

    def run(self) -> None:
        """Watch until the source ends or `close` is called; reopen a failed sensor with backoff.

        Raises:
            EngineError: inference failed, and no bundle is left that would serve.
            BundleError: after it failed every bundle was refused.
        """
        try:
            if self._lines is None:
                self._watch_for_ever()
            else:
                self._watch_line(self._lines)
        finally:
            self._serving.pipeline.memory.save()  # what only time has taught it

    def _watch_line(self, line: lines.Lines) -> None:
        """What is told of a part waits for the disk in a thread of its own, the next part not."""
        self._behind = Behind(self.name)
        try:
            self._watch_for_ever()
        finally:
            line.close()
            self._behind.close()

    def _watch_for_ever(self) -> None:
        pause_s = 1.0
        while not self._closed.is_set():
            windows = self.windows
            try:
                self._watch()
            except SourceError as error:
                log.warning("%s: %s; trying again in %.0f s", self.name, error, pause_s)
                self.dropped["source_failed"] += 1
                self._wait(pause_s)
            except EngineError as error:
                self.dropped["inference_failed"] += 1
                self._serving.recover(error)
            else:
                self.state = "ended"
                return
            finally:
                if self._source is not None:
                    self._source.close()
            pause_s = 1.0 if self.windows > windows else min(pause_s * 2, _MAX_BACKOFF_S)

    def close(self) -> None:
        """End `run` soon. Called from another thread."""
        self._closed.set()
        if self._lines is not None:
            self._lines.close()
        if self._source is not None:
            self._source.close()

    def review(self, said: Review) -> None:
        """What a person says of one of our parts. Called from another thread."""
        with self._telling:
            workload = self._serving.bundle.workload.name
            reading = self._shifts.review(said.part, said.verdict, workload=workload)
            if reading is None:
                log.warning("%s: no verdict is due on part %d", self.name, said.part)
                return
            encoded = messages.encode(reading, self._address, self._clock.stamp())
            self._send(encoded, states=self._shift_states())

    def is_stalled(self) -> bool:
        """Whether no window has come through for more than two hops."""
        if self.state == "ended":
            return False
        limit_s = max(2 * self._config.source.hop_s + _STALL_S, _PATIENCE_S)
        return time.monotonic() - self._progress_s > limit_s

    def health(self) -> PipelineHealth:
        """How it is doing, for `Health`; rates since the last call."""
        now_s = time.monotonic()
        elapsed_s, made = now_s - self._rated_s, self.windows - self._rated_windows
        self._rated_s, self._rated_windows = now_s, self.windows
        bundle, pipeline = self._serving.bundle, self._serving.pipeline
        return PipelineHealth(
            workload=bundle.workload.name,
            model_id=bundle.model_id,
            engine=engines.version(bundle.engine) or bundle.engine,
            state=self.state,  # type: ignore[arg-type]
            learned_windows=pipeline.memory.gathered,
            learn_windows=pipeline.memory.learn_windows,
            windows=self.windows,
            windows_per_s=round(made / elapsed_s, 3) if elapsed_s > 0 else 0.0,
            dropped=dict(self.dropped),
            alerts=self.alerts,
            latency_ms={
                name: round(statistics.median(list(times)) / 1e6, 4)
                for name, times in pipeline.times_ns.items()
                if times
            },
            sensor=self._trouble.reason,
            bundle_refused=self._serving.refused,
            evidence_lost=self._recorder.lost,
            shifts=self._shifts.latest,
        )

    def _watch(self) -> None:
        """The device's whole work."""
        self._source = source = self._open()
        if self._closed.is_set():  # it may have come between
            source.close()
        self._next_seq = 0
        gate = gates.open_gate(self._serving.bundle.workload.input, self._config.gate)
        for window in source.windows():
            if isinstance(source, Triggered):
                self._sort(source, window, gate)
                continue
            found, why = self._judged(window, self._refusal(window, gate))
            if why is None:
                self._note_down(found, window)
                self._say(found, window, self._now_s)

    def _open(self) -> sources.Source:
        """The sensor; of a line one that gives a window a part."""
        config = self._config
        if self._lines is not None:
            self._lines.open()
        source = sources.open_source(config.source, name=self.name, base=self._base)
        if self._lines is None or config.trigger is None:
            return source
        return Triggered(
            source,
            config.trigger,
            self._lines,
            name=self.name,
            deadline_ms=None if config.rejector is None else config.rejector.deadline_ms,
            is_live=hasattr(config.source, "stall_s"),
            alive=self._alive,
        )

    def _sort(self, line: Triggered, window: Window, gate: gates.Gate) -> None:
        """Decide a part, have the rejector told, and only then tell anybody else.

        The rejector's deadline comes before the commit: a part that passed although nothing of it
        was stored, because power failed in between, is worth less than a gate that moves when a
        card is done with writing. Whatever goes wrong before is a reject.
        """
        assert self._behind is not None
        why = self._refusal(window, gate, line)
        try:
            found, why = self._judged(window, why)
        except EngineError as error:
            log.error("%s: %s", self.name, error)  # noqa: TRY400 no bug, so no traceback
            self.dropped["inference_failed"] += 1
            self._tell_part(line.settle((), "inference failed"), window)
            self._behind.finish()  # the policy is exchanged
            self._serving.recover(error)
            return
        is_learning = self._serving.pipeline.memory.profile is None
        settled = line.settle(found, why or ("still learning" if is_learning else None))
        if why is None:
            self._note_down(found, window)
        self._tell_part(settled, window)

    def _tell_part(self, settled: tuple[Detections, float], window: Window) -> None:
        assert self._behind is not None
        found, took_ms = settled
        self._behind(partial(self._say, found, window, self._now_s, took_ms=took_ms))

    def _judged(self, window: Window, why: str | None) -> tuple[Detections, str | None]:
        """What is found in a window, and why it was not judged.

        Args:
            window: as the sensor gave it.
            why: it must not be.
        """
        if why is not None:
            return (), why
        try:
            found = self._serving(window)
        except OutputError as error:
            log.debug("%s: %s", self.name, error)
            self.dropped["output_not_finite"] += 1
            return (), "output_not_finite"
        return found, None

    def _note_down(self, found: Detections, window: Window) -> None:
        """A window that was judged or learned from."""
        self._follow(found)
        self._score(found, window)
        self.windows += 1
        self.state = "learning" if self._serving.pipeline.memory.profile is None else "watching"

    def _say(
        self, found: Detections, window: Window, now_s: float, *, took_ms: float | None = None
    ) -> None:
        """What is to be told of a window, stored."""
        self._recorder.see(found, window)
        if bodies := self._serving.policy.update(found, window.t_ns):
            self._tell(bodies, window, now_s, took_ms)

    def _alive(self) -> None:
        """The line is ready, though no part comes."""
        self._progress_s = time.monotonic()
        if self.state in {"starting", "waiting"}:
            self.state = "watching"

    def _refusal(self, window: Window, *asked: gates.Gate) -> str | None:
        """Why a window is not judged: ask the gates, the last first.

        A sensor in trouble has its own alert.
        """
        before_s, now_s = self._progress_s, time.monotonic()
        self._progress_s = now_s
        # a camera passes over pictures on purpose
        if 0 < self._next_seq < window.seq and not self._is_camera:
            self._miss(window.seq - self._next_seq, now_s)
        self._next_seq = window.seq + 1
        reason = next(filter(None, (gate.refuse(window) for gate in reversed(asked))), None)
        hop_s = self._config.source.hop_s
        if self._rate and not reason:
            reason = self._rate.refuse(window.t_ns / 1e9, now_s, max_gap_s=_GAP_HOPS * hop_s)
        if reason:
            self.dropped[reason] += 1
        # parts come when they come
        may_be_late = self._is_camera and self._is_real_time and self._lines is None
        is_late = may_be_late and now_s - before_s > _GAP_HOPS * hop_s
        # a slow camera is still better than none: its pictures are judged
        trouble = reason or ("rate_drop" if is_late else None)
        self._now_s = self._time.at(now_s, window.t_ns / 1e9)
        self._note(self._now_s, trouble, window)
        return reason

    def _miss(self, windows: int, now_s: float) -> None:
        """Samples were lost before they could become windows."""
        self.dropped["gap"] += windows
        self._note(self._time.at(now_s), "gap", None)

    def _wait(self, pause_s: float) -> None:
        """Until it is time to open the sensor again; this thread is well meanwhile."""
        self.state = "waiting"
        until_s = time.monotonic() + pause_s
        while not self._closed.is_set():
            self._progress_s = now_s = time.monotonic()
            self._note(self._time.at(now_s), "source_failed", None)
            if now_s >= until_s:
                return
            self._closed.wait(min(_LOOK_S, until_s - now_s))

    def _note(self, now_s: float, trouble: str | None, window: Window | None) -> None:
        body = self._trouble.note(now_s, trouble, windows=0 if window is None else 1)
        if body is None:
            return
        log.warning("%s: sensor alert %s: %s", self.name, body.state, body.label)
        stamp = (
            self._clock.stamp()
            if window is None
            else self._clock.stamp(wall_ns=window.wall_ns, window=window.seq)
        )
        states = {self._sensor_name: self._trouble.state()}
        self._send(messages.encode(body, self._address, stamp), states=states)

    def _tell(
        self, bodies: Sequence[Body], window: Window, now_s: float, took_ms: float | None
    ) -> None:
        """Messages and the state that made them are stored together, or neither is."""
        bodies = self._recorder(bodies, window, self._serving, now_s)
        with self._telling:
            encoded = [
                messages.encode(
                    self._counted(body, window, took_ms),
                    self._address,
                    self._clock.stamp(wall_ns=window.wall_ns, window=window.seq),
                )
                for body in bodies
            ]
            states = {self.name: self._serving.policy.state(), **self._shift_states()}
            self._send(*encoded, states=states)
        self.alerts += sum(isinstance(body, Alert) for body in bodies)

    def _counted(self, body: Body, window: Window, took_ms: float | None) -> Body:
        """A reading of a part with its shift, and how long it took."""
        if not isinstance(body, Reading):
            return body
        told = msgspec.structs.replace(body, took_ms=took_ms)
        return self._shifts.count(told, window.wall_ns)

    def _shift_states(self) -> dict[str, bytes]:
        return {f"{self.name}.{name}": state for name, state in self._shifts.states().items()}

    def _follow(self, found: Detections) -> None:
        """Each level of urgency has scores of its own."""
        calm_below = self._serving.bundle.manifest.operating_point.clear_threshold
        for level in {detection.level for detection in found}:
            worst = max(detection.score for detection in found if detection.level == level)
            self._serving.trends[level].note(self._now_s, worst, calm_below=calm_below)

    def _score(self, found: Detections, window: Window) -> None:
        now_s = time.monotonic()
        bundle = self._serving.bundle
        # what it is too early to tell of has no word of its own, and no score
        told = [one for one in found if one.label in bundle.workload.labels]
        if not told or now_s < self._score_due_s:
            return
        self._score_due_s = now_s + self._config.score_interval_s
        worst = max(told, key=lambda detection: detection.score)
        threshold = worst.threshold
        if threshold is None:
            threshold = bundle.manifest.operating_point.threshold
        body = Score(
            workload=bundle.workload.name,
            label=worst.label,
            score=worst.score,
            threshold=threshold,
        )
        stamp = self._clock.unordered(wall_ns=window.wall_ns, window=window.seq)
        self._send_score(messages.encode(body, self._address, stamp))
