"""One pipeline's thread: windows in, messages out; it keeps going when a sensor does not."""

from __future__ import annotations

import logging
import math
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from contract import messages
from contract.messages import Address, Alert, Body, Encoded, PipelineHealth, Score
from contract.spec import Detections, Window
from edge import engines, sources
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.errors import EngineError, SourceError
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory

log = logging.getLogger(__name__)

_MAX_BACKOFF_S = 60.0
_STALL_S = 10.0  # beyond two hops, before a pipeline counts as stalled


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
        bundle: Bundle,
        *,
        address: Address,
        clock: Clock,
        send: Send,
        send_score: Callable[[Encoded], None],
        state_dir: Path,
        base: Path,
    ) -> None:
        """Nothing is opened yet but the profile.

        Args:
            config: the `[[pipeline]]` table.
            bundle: verified.
            address: of the device's pipeline.
            clock: stamps the messages.
            send: takes what must not be lost.
            send_score: takes scores, which may be.
            state_dir: where the profile is kept.
            base: folder that relative paths start from.
        """
        self.name = config.name
        self.state = "starting"
        self.windows = 0
        self.alerts = 0
        self.dropped: Counter[str] = Counter()
        self._config = config
        self._bundle = bundle
        self._address = address
        self._clock = clock
        self._send = send
        self._send_score = send_score
        self._base = base
        workload, point = bundle.workload, bundle.manifest.operating_point
        memory = ProfileMemory(
            workload,
            bundle.model_id,
            point,
            learn_windows=config.learn_windows or workload.learn_windows,
            path=state_dir / f"{config.name}.profile.npz",
        )
        self._pipeline = Pipeline(workload, bundle.engines, memory)
        self._policy = workload.policy(point)
        self._source: sources.Source | None = None
        self._closed = threading.Event()
        self._progress_s = self._rated_s = time.monotonic()
        self._score_due_s = 0.0
        self._rated_windows = 0
        self._engine_failures = 0

    def resume(self, state: bytes) -> None:
        """Go on from a policy's state, as last given to `send`; before `run`."""
        self._policy.resume(state)

    def run(self) -> None:
        """Watch until the source ends or `close` is called; reopen a failed sensor with backoff.

        Raises:
            EngineError: inference failed twice.
        """
        pause_s = 1.0
        while not self._closed.is_set():
            windows = self.windows
            try:
                self._watch()
            except SourceError as error:
                log.warning("%s: %s; trying again in %.0f s", self.name, error, pause_s)
                self.dropped["source_failed"] += 1
            except EngineError as error:
                self._engine_failures += 1
                if self._engine_failures > 1:
                    raise
                log.warning("%s: %s; starting the pipeline anew", self.name, error)
                self._reload()
            else:
                self.state = "ended"
                return
            if self.windows > windows:
                pause_s = 1.0
            self.state = "waiting"
            self._progress_s = time.monotonic()
            self._closed.wait(pause_s)
            pause_s = min(pause_s * 2, _MAX_BACKOFF_S)

    def close(self) -> None:
        """End `run` soon. Called from another thread."""
        self._closed.set()
        if self._source is not None:
            self._source.close()

    def is_stalled(self) -> bool:
        """Whether no window has come through for more than two hops."""
        if self.state == "ended":
            return False
        limit_s = max(2 * self._config.source.hop_s + _STALL_S, _MAX_BACKOFF_S + _STALL_S)
        return time.monotonic() - self._progress_s > limit_s

    def health(self) -> PipelineHealth:
        """How it is doing, for `Health`; rates since the last call."""
        now_s = time.monotonic()
        elapsed_s, made = now_s - self._rated_s, self.windows - self._rated_windows
        self._rated_s, self._rated_windows = now_s, self.windows
        memory = self._pipeline.memory
        return PipelineHealth(
            workload=self._bundle.workload.name,
            model_id=self._bundle.model_id,
            engine=engines.version(self._bundle.engine) or self._bundle.engine,
            state=self.state,  # type: ignore[arg-type]
            learned_windows=memory.gathered,
            learn_windows=memory.learn_windows,
            windows=self.windows,
            windows_per_s=round(made / elapsed_s, 3) if elapsed_s > 0 else 0.0,
            dropped=dict(self.dropped),
            alerts=self.alerts,
            latency_ms={
                name: round(statistics.median(list(times)) / 1e6, 4)
                for name, times in self._pipeline.times_ns.items()
                if times
            },
        )

    def _watch(self) -> None:
        """The device's whole work."""
        self._source = sources.open_source(self._config.source, name=self.name, base=self._base)
        if self._closed.is_set():  # it may have come between
            self._source.close()
        for window in self._source.windows():
            self._progress_s = time.monotonic()
            if reason := self._bundle.workload.input.refuse(window):
                self.dropped[reason] += 1
                continue
            found = self._pipeline(window)
            if not all(math.isfinite(detection.score) for detection in found):
                self.dropped["score_not_finite"] += 1
                continue
            if bodies := self._policy.update(found, window.t_ns):
                self._tell(bodies, window)
            self._score(found, window)
            self.windows += 1
            self.state = "learning" if self._pipeline.memory.profile is None else "watching"

    def _tell(self, bodies: Sequence[Body], window: Window) -> None:
        """Messages and the state that made them are stored together, or neither is."""
        encoded = [
            messages.encode(
                body, self._address, self._clock.stamp(wall_ns=window.wall_ns, window=window.seq)
            )
            for body in bodies
        ]
        self._send(*encoded, states={self.name: self._policy.state()})
        self.alerts += sum(isinstance(body, Alert) for body in bodies)

    def _score(self, found: Detections, window: Window) -> None:
        now_s = time.monotonic()
        if not found or now_s < self._score_due_s:
            return
        self._score_due_s = now_s + self._config.score_interval_s
        worst = max(found, key=lambda detection: detection.score)
        body = Score(
            workload=self._bundle.workload.name,
            label=worst.label,
            score=worst.score,
            threshold=self._bundle.manifest.operating_point.threshold,
        )
        stamp = self._clock.unordered(wall_ns=window.wall_ns, window=window.seq)
        self._send_score(messages.encode(body, self._address, stamp))

    def _reload(self) -> None:
        """Fresh engines; what was learned stays."""
        self._bundle = Bundle.open(self._bundle.path, self._bundle.engine)
        memory = self._pipeline.memory
        self._pipeline = Pipeline(self._bundle.workload, self._bundle.engines, memory)
