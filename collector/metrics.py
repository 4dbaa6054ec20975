"""What Prometheus scrapes: totals from the store, the state of the ingest, the fleet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from collector import fleet, queries
from contract.messages import STORED_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from collector.ingest import Ingest
    from collector.store import Added

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_LATENCY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 3600.0)


class Metrics:
    """All metrics of one collector, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._commit = Histogram(
            "vedette_commit_seconds",
            "Time to commit one batch of messages",
            buckets=_COMMIT_BUCKETS_S,
            registry=self.registry,
        )
        self._latency = Histogram(
            "vedette_latency_seconds",
            "From a message's date to its commit, without repeats and replays",
            ["kind"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )

    def observe(self, commit_s: float, added: Added) -> None:
        """Take note of one committed batch, as `Ingest` reports it."""
        self._commit.observe(commit_s)
        for kind, latency_ns in added.latencies_ns:
            self._latency.labels(kind).observe(latency_ns / 1e9)

    def render(self) -> bytes:
        """The metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


class StoreMetrics(Collector):
    """What is read anew at each scrape, from the store at `path` and from `ingest`."""

    def __init__(self, path: Path, ingest: Ingest) -> None:
        self._path = path
        self._ingest = ingest

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read the store."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Totals, states and one sample per device or pipeline."""
        with queries.reading(self._path) as db:
            totals = queries.counters(db)
            devices = fleet.devices(db, now_ns=time.time_ns())
        stored = CounterMetricFamily("vedette_messages_stored", "Rows ever stored", labels=["kind"])
        for kind in (*STORED_KINDS, "score"):
            stored.add_metric([kind], totals.get(f"stored_{kind}", 0))
        yield stored
        for name, about, value in (
            ("messages_redelivered", "Repeats of stored messages", totals.get("redelivered", 0)),
            ("messages_rejected", "Refused as malformed", totals.get("rejected", 0)),
            ("scores_dropped", "Scores that found the queue full", self._ingest.scores_dropped),
        ):
            yield CounterMetricFamily(f"vedette_{name}", about, value=value)
        for name, about, value in (
            ("queue_messages", "Messages waiting to be stored", self._ingest.queued),
            ("broker_connected", "1 while subscribed", not self._ingest.broker_trouble),
            ("store_writable", "0 after a failed commit", not self._ingest.store_trouble),
        ):
            yield GaugeMetricFamily(f"vedette_{name}", about, value=value)
        yield from _fleet(devices)


def _fleet(devices: list[queries.Row]) -> Iterable[Metric]:
    def gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"vedette_{name}", about, labels=["device", *labels])

    online = gauge("device_online", "1 while online and sending health")
    seen = gauge("device_seen_timestamp_seconds", "When the device was last heard")
    waiting = gauge("device_outbox_rows", "Messages the device still holds")
    dead = gauge("device_dead_letters", "Messages the device has given up sending for now")
    temperature = gauge("device_cpu_temperature_celsius", "CPU temperature")
    rate = gauge("pipeline_windows_per_second", "Windows judged per second", "pipeline")
    dropped = gauge("pipeline_dropped_windows", "Windows not judged since its start", "pipeline")
    alarm = gauge("pipeline_alarm", "1 while an alarm is raised", "pipeline")
    notice = gauge("pipeline_notice", "1 while a notice is raised", "pipeline")
    trouble = gauge("pipeline_sensor_trouble", "1 while its sensor is not believed", "pipeline")
    for device in devices:
        name = device["device"]
        online.add_metric([name], device["state"] == "online")
        if device["seen_ns"] is not None:
            seen.add_metric([name], device["seen_ns"] / 1e9)
        if device["outbox"] is not None:
            waiting.add_metric([name], device["outbox"]["rows"])
            dead.add_metric([name], device["outbox"].get("dead", 0))
        if device["cpu_temperature_c"] is not None:
            temperature.add_metric([name], device["cpu_temperature_c"])
        for pipeline in device["pipelines"]:
            labels = [name, pipeline["pipeline"]]
            rate.add_metric(labels, pipeline.get("windows_per_s", 0.0))
            dropped.add_metric(labels, sum(pipeline.get("dropped", {}).values()))
            alarm.add_metric(labels, (pipeline["alarm"] or {}).get("state") == "raised")
            notice.add_metric(labels, (pipeline["notice"] or {}).get("state") == "raised")
            trouble.add_metric(labels, pipeline["sensor"] is not None)
    return (online, seen, waiting, dead, temperature, rate, dropped, alarm, notice, trouble)
