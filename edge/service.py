"""The device service: builds everything, owns the threads, feeds the watchdog."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contract import messages
from contract.messages import PRECIOUS_KINDS, Address, Encoded, Health, Review
from contract.shelf import Shelf
from edge import health, proof
from edge.activate import open_or_previous
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import DeviceConfig, PipelineConfig
from edge.notify import notify, watchdog_s
from edge.outbox import Outbox, OutboxFullError
from edge.publisher import Publisher
from edge.queue import Queue
from edge.recorder import Recorder
from edge.serving import Serving
from edge.watcher import Watcher

log = logging.getLogger(__name__)

_TICK_S = 0.2
_STOP_S = 1.5
_END_S = 5.0  # when an orderly end takes longer, the kernel makes one
_PUBLISHER_STALL_S = 60.0
_PROOF_S = 4 * proof.TIME_S  # a bundle, the one before it, and both loaded
_DISK_S = 5.0  # between two tries to open the outbox
_SPARE_BYTES = 16 * 1024 * 1024  # of the disk: evidence never takes what alerts may need


class Service:
    """Everything one device runs. Bundles are verified before any sensor is opened."""

    def __init__(self, config: DeviceConfig, *, base: Path) -> None:
        """Open bundles, outbox and profiles; waits for a disk that takes nothing.

        Args:
            config: of this device.
            base: folder that relative paths in it start from.

        Raises:
            BundleError: a bundle was refused, and so was the one before it.
            ConfigError: the outbox or a secret cannot be opened.
            BusyError: another process has the outbox.
        """
        device = config.device
        opened = [_open_bundle(pipeline, base) for pipeline in config.pipeline]
        self._state_dir = base / device.state_dir
        self._queue = Queue(_open_outbox(self._state_dir / "outbox.db", device.outbox_max_bytes))
        self._clock = Clock(first_seq=self._queue.last_seq + 1)
        shelf = Shelf(
            self._state_dir / "evidence",
            max_bytes=device.evidence_max_bytes,
            spare_bytes=_SPARE_BYTES,
        )
        self._publisher = Publisher(
            *(config.mqtt, device.name, self._queue, self._clock),
            read_evidence=shelf.get,
            review=self.review,
        )
        self._address = Address(config.mqtt.prefix, device.name)
        addresses = {
            pipeline.name: Address(config.mqtt.prefix, device.name, pipeline.name)
            for pipeline in config.pipeline
        }
        self._watchers = [
            Watcher(
                pipeline,
                Serving(pipeline, bundle, refused, state_dir=self._state_dir, base=base),
                Recorder(pipeline.machine, addresses[pipeline.name], shelf),
                address=addresses[pipeline.name],
                clock=self._clock,
                send=self.send,
                send_score=self._publisher.send_score,
                base=base,
            )
            for pipeline, (bundle, refused) in zip(config.pipeline, opened, strict=True)
        ]
        for watcher in self._watchers:
            watcher.resume(self._queue.state)
        self._waiting = 0  # messages nobody has acknowledged when `run` returned
        self._health_s = device.health_interval_s
        self._started_s = time.monotonic()
        self._is_stopping = False
        self._stuck: list[str] = []
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
        self._guarded("main", self._tick_until_done)
        notify("STOPPING=1")
        for watcher in self._watchers:
            watcher.close()
        deadline_s = time.monotonic() + _STOP_S
        for thread in watching:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        self.report_health()
        self._queue.store_all()
        publisher_stop.set()
        self._publisher.wake()
        publishing.join(max(deadline_s - time.monotonic(), 0.1))
        self._waiting = self._queue.rows
        if not publishing.is_alive() and not any(thread.is_alive() for thread in watching):
            self._publisher.close()
            self._queue.close()
        return 1 if self._failure else 0

    def stop(self) -> None:
        """Ask `run` to return, soon or by force. Called from a signal handler: it takes no lock."""
        self._is_stopping = True
        signal.setitimer(signal.ITIMER_REAL, _END_S)

    def send(self, *encoded: Encoded, states: Mapping[str, bytes] | None = None) -> None:
        """Store messages, or hold them while the disk takes none, and have them sent."""
        where = "stored" if self._queue.put(*encoded, states=states) else "held"
        for message in encoded:
            if message.kind in PRECIOUS_KINDS:
                log.info("%s %s %s as %d", message.kind, message.id, where, message.seq)
        self._publisher.wake()

    def review(self, said: Review) -> None:
        """What a person says of a part. Called from the publisher's thread."""
        for watcher in self._watchers:
            if watcher.name == said.pipeline:
                watcher.review(said)
                return
        log.warning("no pipeline %r here to review a part of", said.pipeline)

    def report_health(self) -> None:
        """Put a health message into the queue."""
        report = Health(
            version=health.version(),
            uptime_s=round(time.monotonic() - self._started_s, 3),
            pipelines={watcher.name: watcher.health() for watcher in self._watchers},
            outbox=self._publisher.health(),
            cpu_temperature_c=health.cpu_temperature_c(),
            throttled=health.throttled(),
            disk_free_bytes=health.disk_free_bytes(self._state_dir),
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
            "sent": self._queue.sent,
            "acknowledged": self._queue.acknowledged,
            "dropped_messages": self._queue.dropped,
        }

    def _tick_until_done(self) -> None:
        watchdog = watchdog_s()
        health_due_s = fed_s = 0.0
        said = ""
        ended_logged = False
        while not self._is_stopping:
            time.sleep(_TICK_S)
            now_s = time.monotonic()
            self._queue.tick()
            all_ended = all(watcher.state == "ended" for watcher in self._watchers)
            if now_s >= health_due_s and not all_ended:
                health_due_s = now_s + self._health_s
                self.report_health()
            if watchdog and now_s - fed_s >= watchdog / 3 and self._progresses(now_s):
                fed_s = now_s
                notify("WATCHDOG=1")
            if (status := self._status()) != said:
                said = status
                notify(status)
            if all_ended:
                waiting = self._queue.rows
                if waiting == 0:
                    return
                if not ended_logged:
                    ended_logged = True
                    log.info("sources ended; %d messages wait for the collector", waiting)

    def _progresses(self, now_s: float) -> bool:
        """Whether every thread has come round lately; says once which has not."""
        stuck = [watcher.name for watcher in self._watchers if watcher.is_stalled()]
        if now_s - self._publisher.progress_ns / 1e9 > _PUBLISHER_STALL_S:
            stuck.append("publisher")
        if stuck and stuck != self._stuck:
            log.error("no progress in %s", ", ".join(stuck))
        self._stuck = stuck
        return not stuck

    def _status(self) -> str:
        """One line for `systemctl status`."""
        states = Counter(watcher.state for watcher in self._watchers)
        said = [", ".join(f"{count} {state}" for state, count in sorted(states.items()))]
        said += ["broker connected" if self._publisher.is_connected else "broker away"]
        said += ["the disk takes nothing"] if self._queue.is_failing else []
        return f"STATUS=pipelines: {'; '.join(said)}"

    def _thread(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """A thread whose unexpected death ends the process instead of going unseen."""
        return threading.Thread(target=self._guarded, args=(name, body), name=name, daemon=True)

    def _guarded(self, name: str, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            self._failure = error  # first of all: without memory not even the log may work
            self.stop()
            log.critical("thread %s died", name, exc_info=error)


def _open_bundle(config: PipelineConfig, base: Path) -> tuple[Bundle, str | None]:
    """The bundle that serves, and why it is not the configured one; each has its own time."""
    patience = f"EXTEND_TIMEOUT_USEC={round(_PROOF_S * 1e6)}"
    notify(f"STATUS=the bundle of {config.name} proves itself", patience)
    return open_or_previous(base / config.bundle, config.engine, hop_s=config.source.hop_s)


def _open_outbox(path: Path, max_bytes: int) -> Outbox:
    """The outbox, as soon as the disk has it: without one no alert could be promised anything."""
    said = ""
    while True:
        try:
            return Outbox(path, max_bytes=max_bytes)
        except OutboxFullError as error:
            if str(error) != said:
                said = str(error)
                log.error("%s; waiting for it", said)  # noqa: TRY400 -- no bug, so no traceback
            patience = f"EXTEND_TIMEOUT_USEC={round(4 * _DISK_S * 1e6)}"
            notify(f"STATUS=waiting for the disk: {said}", patience)
            time.sleep(_DISK_S)
