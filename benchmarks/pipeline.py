"""What a window costs beyond the bare engine call."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import stats

from edge import bench
from edge.bundle import Bundle

GOAL = 1.25


def measure(path: Path, *, quick: bool) -> str:
    repeats, seconds = (2, 0.5) if quick else (7, 2.0)
    bundles = {engine: Bundle.open(path, engine) for engine in ("tflite", "onnx")}
    found: dict[str, dict[str, list[float]]] = {e: defaultdict(list) for e in bundles}
    for _ in range(repeats):
        for engine, bundle in bundles.items():
            for name, value in one(bundle, seconds).items():
                found[engine][name].append(value)
    names = list(found["tflite"])
    rows = [
        [name, *(stats.spread(found[e][name], 2 if "/" in name else 1) for e in bundles)]
        for name in names
    ]
    workload = bundles["tflite"].workload
    window = workload.input.example(seed=0).data
    head = ["microseconds per window, or ratio", *(f"`{e}`" for e in bundles)]
    whole = max(float(np.median(found[e]["pipeline / engine"])) for e in bundles)
    met = "met" if whole <= GOAL else "not met"
    return f"""## 1. A window, beyond the engine

`edge.bench.measure` on `{workload.name}`, window {window.shape[0]} samples by {window.shape[1]}
channels, {repeats} repeats of {seconds:g} s per engine, alternating.

{stats.table(head, rows)}

Goal: pipeline at most {GOAL} times the engine. **{met.capitalize()}** for this workload, at
{whole:.1f} with the worse of the two: its network is so small that computing the features and
judging them, the workload's own NumPy, cost several times what running it costs. What the device's
code adds to those is in the two lines below it: preparing and interpreting the rows of the network,
and the pipeline around the parts it times. The bare FFT is NumPy's `rfft` of the same window and
nothing else: a floor for the features."""


def one(bundle: Bundle, seconds: float) -> dict[str, float]:
    """One repeat: the device's own measurement, and NumPy's FFT right after it."""
    measured = bench.measure(bundle, seconds=seconds)
    us = {name: times["p50"] for name, times in measured["us"].items()}
    window = bundle.workload.input.example(seed=0).data.T.copy()
    fft = stats.alternate({"fft": lambda: np.fft.rfft(window, axis=1)}, rounds=500)["fft"]
    pipeline, engine = us["pipeline"], us["bare engine"]
    with_model = [s.name for s in bundle.workload.stages if s.name in bundle.engines]
    features = sum(us[s.name] for s in bundle.workload.stages if s.name not in with_model)
    model = sum(us[name] for name in with_model)
    return {
        "pipeline": pipeline,
        "features (stages without a model)": features,
        "stages with a model": model,
        "judge": us["judge"],
        "bare engine call": engine,
        "bare FFT": fft,
        "pipeline / engine": pipeline / engine,
        "stages with a model / engine": model / engine,
        "pipeline / (its stages + judge)": pipeline / (features + model + us["judge"]),
        "features / bare FFT": features / fft,
    }
