"""One pipeline's thread: windows in, messages out; it keeps going when a sensor does not."""

from __future__ import annotations

import logging
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
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.errors import EngineError, OutputError, SourceError
from edge.serving import Serving

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
        serving: Serving,
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
        self._source: sources.Source | None = None
        self._closed = threading.Event()
        self._progress_s = self._rated_s = time.monotonic()
        self._score_due_s = 0.0
        self._rated_windows = 0

    def resume(self, state: bytes) -> None:
        """Go on from a policy's state, as last given to `send`; before `run`."""
        self._serving.policy.resume(state)

    def run(self) -> None:
        """Watch until the source ends or `close` is called; reopen a failed sensor with backoff.

        Raises:
            EngineError: inference failed, and no bundle is left that would serve.
            BundleError: after it failed every bundle was refused.
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
                self.dropped["inference_failed"] += 1
                self._serving.recover(error)
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
            bundle_refused=self._serving.refused,
        )

    def _watch(self) -> None:
        """The device's whole work."""
        self._source = sources.open_source(self._config.source, name=self.name, base=self._base)
        if self._closed.is_set():  # it may have come between
            self._source.close()
        for window in self._source.windows():
            self._progress_s = time.monotonic()
            if reason := self._serving.bundle.workload.input.refuse(window):
                self.dropped[reason] += 1
                continue
            try:
                found = self._serving(window)
            except OutputError as error:
                log.debug("%s: %s", self.name, error)
                self.dropped["output_not_finite"] += 1
                continue
            if bodies := self._serving.policy.update(found, window.t_ns):
                self._tell(bodies, window)
            self._score(found, window)
            self.windows += 1
            self.state = "learning" if self._serving.pipeline.memory.profile is None else "watching"

    def _tell(self, bodies: Sequence[Body], window: Window) -> None:
        """Messages and the state that made them are stored together, or neither is."""
        encoded = [
            messages.encode(
                body, self._address, self._clock.stamp(wall_ns=window.wall_ns, window=window.seq)
            )
            for body in bodies
        ]
        self._send(*encoded, states={self.name: self._serving.policy.state()})
        self.alerts += sum(isinstance(body, Alert) for body in bodies)

    def _score(self, found: Detections, window: Window) -> None:
        now_s = time.monotonic()
        if not found or now_s < self._score_due_s:
            return
        self._score_due_s = now_s + self._config.score_interval_s
        worst = max(found, key=lambda detection: detection.score)
        bundle = self._serving.bundle
        body = Score(
            workload=bundle.workload.name,
            label=worst.label,
            score=worst.score,
            threshold=bundle.manifest.operating_point.threshold,
        )
        stamp = self._clock.unordered(wall_ns=window.wall_ns, window=window.seq)
        self._send_score(messages.encode(body, self._address, stamp))
