"""`vedette bench`: where the time of a window goes, on this very device."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge import engines, health
from edge.bundle import Bundle
from edge.pipeline import Pipeline, run_rows
from edge.profile import ProfileMemory

_WARM_UP = 20


def main(path: Path, engine: str | None, seconds: float, as_json: bool) -> int:  # noqa: FBT001
    """Measure and print; 0."""
    result = measure(Bundle.open(path, engine), seconds=seconds)
    if as_json:
        print(json.dumps(result))  # noqa: T201
        return 0
    out = sys.stdout
    out.write(f"{result['workload']} on {result['engine']}, {result['machine']}\n\n")
    out.write(f"{'':>18} {'p50 us':>9} {'p99 us':>9}\n")
    for name, times in result["us"].items():
        out.write(f"{name:>18} {times['p50']:9.1f} {times['p99']:9.1f}\n")
    out.write(
        f"\n{result['windows_per_s']:.0f} windows/s on one core; pipeline over bare engine: "
        f"{result['pipeline_over_engine']:.2f}; {result['memory_bytes'] / 1e6:.0f} MB resident\n"
    )
    return 0


def measure(bundle: Bundle, *, seconds: float) -> dict[str, Any]:
    """Time a bundle's pipeline, its stages and its bare engine calls, alternating, in one run.

    Args:
        bundle: opened.
        seconds: about how long to measure.
    """
    workload = bundle.workload
    window = workload.input.example(seed=0)
    memory = ProfileMemory(
        workload,
        bundle.model_id,
        bundle.manifest.operating_point,
        learn_windows=4,
        given=bundle.learned,
    )
    pipeline = Pipeline(workload, bundle.engines, memory)
    for seed in range(_WARM_UP):
        pipeline(workload.input.example(seed=seed))
    rows = {}
    found: tuple[Any, ...] = ()
    for stage in workload.stages:
        inputs = stage.preprocess(window, found)
        rows[stage.name] = inputs
        outputs = run_rows(bundle.engines.get(stage.name), inputs)
        found = stage.postprocess(window, found, inputs, outputs)

    def bare() -> None:
        for name, engine in bundle.engines.items():
            for row in rows[name]:
                engine.run(row)

    pipeline_ns, bare_ns = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pipeline_ns.append(_time(lambda: pipeline(window)))
        bare_ns.append(_time(bare))
    times = {"pipeline": pipeline_ns, "bare engine": bare_ns, **pipeline.times_ns}
    us = {
        name: {"p50": float(np.median(ns)) / 1e3, "p99": float(np.percentile(ns, 99)) / 1e3}
        for name, ns in ((name, list(ns)) for name, ns in times.items())
    }
    return {
        "workload": workload.name,
        "model_id": bundle.model_id,
        "engine": engines.version(bundle.engine),
        "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
        "us": us,
        "windows_per_s": 1e6 / us["pipeline"]["p50"],
        "pipeline_over_engine": us["pipeline"]["p50"] / us["bare engine"]["p50"],
        "memory_bytes": health.memory_bytes(),
        "cpu_temperature_c": health.cpu_temperature_c(),
    }


def _time(call: Callable[[], Any]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start
