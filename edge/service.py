"""The device service: builds everything, owns the threads, feeds the watchdog."""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract import messages
from contract.messages import PRECIOUS_KINDS, Address, Encoded, Health
from edge import health
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import DeviceConfig
from edge.notify import notify, watchdog_s
from edge.outbox import Outbox, OutboxFullError
from edge.publisher import Publisher
from edge.watcher import Watcher

log = logging.getLogger(__name__)

_TICK_S = 0.2
_STOP_S = 1.5
_PUBLISHER_STALL_S = 60.0
_HELD_BACK = 1000  # batches of alerts kept in memory while the disk takes none


class Service:
    """Everything one device runs. Bundles are verified before any sensor is opened."""

    def __init__(self, config: DeviceConfig, *, base: Path) -> None:
        """Open bundles, profile and outbox.

        Args:
            config: of this device.
            base: folder that relative paths in it start from.

        Raises:
            BundleError: a bundle was refused.
            ConfigError: the outbox or a secret cannot be opened.
        """
        device = config.device
        bundles = [Bundle.open(base / p.bundle, p.engine) for p in config.pipeline]
        self._state_dir = base / device.state_dir
        self._outbox = Outbox(self._state_dir / "outbox.db", max_bytes=device.outbox_max_bytes)
        self._clock = Clock(first_seq=self._outbox.last_seq + 1)
        self._publisher = Publisher(config.mqtt, device.name, self._outbox, self._clock)
        self._address = Address(config.mqtt.prefix, device.name)
        self._watchers = [
            Watcher(
                pipeline,
                bundle,
                address=Address(config.mqtt.prefix, device.name, pipeline.name),
                clock=self._clock,
                send=self.send,
                send_score=self._publisher.send_score,
                state_dir=self._state_dir,
                base=base,
            )
            for pipeline, bundle in zip(config.pipeline, bundles, strict=True)
        ]
        for watcher in self._watchers:
            if (state := self._outbox.state(watcher.name)) is not None:
                watcher.resume(state)
        self._held_back: deque[tuple[Sequence[Encoded], Mapping[str, bytes]]] = deque()
        self._held_lock = threading.Lock()
        self._waiting = 0  # messages nobody has acknowledged when `run` returned
        self._health_s = device.health_interval_s
        self._started_s = time.monotonic()
        self._is_stopping = False
        self._failure: BaseException | None = None

    def run(self) -> int:
        """Serve until stopped, or until every source has ended and all it found is stored.

        Returns:
            0 after a clean stop, 1 after a thread died.
        """
        publisher_stop = threading.Event()
        publishing = self._thread("publisher", lambda: self._publisher.run(publisher_stop))
        watching = [self._thread(f"watch {w.name}", w.run) for w in self._watchers]
        for thread in (publishing, *watching):
            thread.start()
        notify("READY=1")
        self._tick_until_done()
        notify("STOPPING=1")
        for watcher in self._watchers:
            watcher.close()
        deadline_s = time.monotonic() + _STOP_S
        for thread in watching:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        self._flush()
        self.report_health()
        publisher_stop.set()
        self._publisher.wake()
        publishing.join(max(deadline_s - time.monotonic(), 0.1))
        self._waiting = self._outbox.rows + len(self._held_back)
        if not publishing.is_alive() and not any(thread.is_alive() for thread in watching):
            self._publisher.close()
            self._outbox.close()
        return 1 if self._failure else 0

    def stop(self) -> None:
        """Ask `run` to return. Called from a signal handler, so it takes no lock."""
        self._is_stopping = True

    def send(self, *encoded: Encoded, states: Mapping[str, bytes] | None = None) -> None:
        """Store messages; on a full disk alerts are held in memory and tried again."""
        try:
            self._outbox.put(*encoded, states=states)
        except OutboxFullError as error:
            self._hold_back(encoded, states or {})
            log.error("%s; %d batches held in memory", error, len(self._held_back))  # noqa: TRY400
        else:
            _log_stored(encoded)
        self._publisher.wake()

    def _hold_back(self, encoded: Sequence[Encoded], states: Mapping[str, bytes]) -> None:
        """Keep what may not be lost until there is space; the oldest goes when it is too much."""
        precious = tuple(message for message in encoded if message.kind in PRECIOUS_KINDS)
        if not precious:
            return
        with self._held_lock:
            self._held_back.append((precious, states))
            if len(self._held_back) > _HELD_BACK:
                for message in self._held_back.popleft()[0]:
                    self._outbox.dropped[message.kind] += 1

    def report_health(self) -> None:
        """Put a health message into the outbox."""
        report = Health(
            version=_version(),
            uptime_s=round(time.monotonic() - self._started_s, 3),
            pipelines={watcher.name: watcher.health() for watcher in self._watchers},
            outbox=self._publisher.health(),
            cpu_temperature_c=health.cpu_temperature_c(),
            throttled=health.throttled(),
            disk_free_bytes=shutil.disk_usage(self._state_dir).free,
            memory_bytes=health.memory_bytes(),
        )
        self.send(messages.encode(report, self._address, self._clock.stamp()))

    def summary(self) -> dict[str, Any]:
        """What this run did, for `--json`."""
        return {
            "windows": sum(watcher.windows for watcher in self._watchers),
            "alerts": sum(watcher.alerts for watcher in self._watchers),
            "dropped_windows": sum(sum(w.dropped.values()) for w in self._watchers),
            "waiting": self._waiting,
            "sent": self._outbox.sent,
            "acknowledged": self._outbox.acknowledged,
            "dropped_messages": dict(self._outbox.dropped),
        }

    def _tick_until_done(self) -> None:
        watchdog = watchdog_s()
        health_due_s = 0.0
        fed_s = 0.0
        ended_logged = False
        while not self._is_stopping:
            time.sleep(_TICK_S)
            now_s = time.monotonic()
            self._flush()
            all_ended = all(watcher.state == "ended" for watcher in self._watchers)
            if now_s >= health_due_s and not all_ended:
                health_due_s = now_s + self._health_s
                self.report_health()
            if watchdog and now_s - fed_s >= watchdog / 3 and self._progresses(now_s):
                fed_s = now_s
                notify("WATCHDOG=1")
            if all_ended:
                waiting = self._outbox.rows + len(self._held_back)
                if waiting == 0:
                    return
                if not ended_logged:
                    ended_logged = True
                    log.info("sources ended; %d messages wait for the collector", waiting)

    def _progresses(self, now_s: float) -> bool:
        publisher_s = now_s - self._publisher.progress_ns / 1e9
        stalled = [watcher.name for watcher in self._watchers if watcher.is_stalled()]
        if stalled or publisher_s > _PUBLISHER_STALL_S:
            log.error("no progress in %s", ", ".join([*stalled, *["publisher"] * (not stalled)]))
            return False
        return True

    def _flush(self) -> None:
        """Try again to store what a full disk did not take."""
        with self._held_lock:
            while self._held_back:
                encoded, states = self._held_back[0]
                try:
                    self._outbox.put(*encoded, states=states)
                except OutboxFullError:
                    return
                self._held_back.popleft()
                _log_stored(encoded)
                self._publisher.wake()

    def _thread(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """A thread whose unexpected death ends the process instead of going unseen."""

        def guarded() -> None:
            try:
                body()
            except BaseException as error:
                log.critical("thread %s died", name, exc_info=error)
                self._failure = error
                self._is_stopping = True

        return threading.Thread(target=guarded, name=name, daemon=True)


def _log_stored(encoded: Sequence[Encoded]) -> None:
    for message in encoded:
        if message.kind in PRECIOUS_KINDS:
            log.info("%s %s stored as %d", message.kind, message.id, message.seq)


def _version() -> str:
    try:
        return importlib.metadata.version("vedette")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "unknown"
