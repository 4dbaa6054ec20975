"""What the published novelty methods cost and find, beside PyOD's, and what the device takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import stats

from contract.ops import detectors
from contract.ops.features import robust_z
from contract.ops.simulate import RunToFailure
from contract.spec import Array, Window
from edge.bundle import Bundle
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory
from training import backend, compare, methods
from training.metrics import auroc

FFT_GOAL = 5.0  # times the bare FFT of the same window
MEMORY_GOAL_BYTES = 150e6
LEARNED, LIFE, ONSET = 200, 400, 0.75  # windows, as many learned as published; share of the life


def measure(path: Path, *, quick: bool) -> str:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    backend.quiet()
    repeats, rounds = (2, 30) if quick else (7, 300)
    machine = RunToFailure(seed=5, windows=LIFE, onset=ONSET)
    windows = [
        Window("bench", i, i * 10**10, 0, machine.window(i), machine.rate_hz) for i in range(LIFE)
    ]
    rows = {
        one.name: np.concatenate([one.make(w, ()) for w in windows]) for one in compare.FEATURES
    }
    return "\n\n".join(
        [
            costs(path, windows, repeats=repeats, rounds=rounds),
            beside_pyod(rows["published"], repeats=repeats, rounds=max(rounds // 3, 10)),
            memory(path, seconds=0.5 if quick else 3.0),
        ]
    )


def costs(path: Path, windows: list[Window], *, repeats: int, rounds: int) -> str:
    """Features and shipped pipelines as multiples of the bare FFT."""
    plain = windows[LEARNED].data.T.copy()
    calls: dict[str, Callable[[], Any]] = {"bare FFT": lambda: np.fft.rfft(plain, axis=1)}
    for made in compare.FEATURES:
        calls[f"features, {made.name}: {made.title}"] = lambda m=made: m.make(windows[LEARNED], ())
    for engine in ("tflite", "onnx"):
        pipeline = learned_pipeline(Bundle.open(path, engine), windows)
        calls[f"shipped pipeline, all of it, `{engine}`"] = lambda p=pipeline: p(windows[LEARNED])
    found = timed(calls, repeats=repeats, rounds=rounds)
    ratios = {
        name: [us / bare for us, bare in zip(found[name], found["bare FFT"], strict=True)]
        for name in calls
    }
    rows = [
        [
            name,
            stats.spread(found[name]),
            stats.spread(ratios[name], 2),
            f"{1e6 / np.median(found[name]):,.0f}",
        ]
        for name in calls
    ]
    head = ["what", "microseconds per window", "of the FFT", "windows per second and core"]
    worst = max(float(np.median(ratios[name])) for name in calls if "shipped" in name)
    samples, channels = windows[0].data.shape
    return f"""## 6. Vibration: features, methods, memory

A window of {samples} samples by {channels} channels of a simulated machine; {repeats} repeats of
{rounds} rounds, one call of each in turn. The bare FFT is NumPy's `rfft` of the same window.

{stats.table(head, rows)}

Goal: at most {FFT_GOAL:g} times the FFT. **{"Met" if worst <= FFT_GOAL else "Not met"}**: the
shipped pipeline, from samples to judged detections, takes {worst:.1f} times the FFT with the worse
engine."""


def learned_pipeline(bundle: Bundle, windows: list[Window]) -> Pipeline:
    """The device's pipeline past its learning period."""
    memory = ProfileMemory(
        bundle.workload, bundle.model_id, bundle.manifest.operating_point, learn_windows=LEARNED
    )
    pipeline = Pipeline(bundle.workload, bundle.engines, memory)
    for window in windows[:LEARNED]:
        pipeline(window)
    return pipeline


def beside_pyod(rows: Array, *, repeats: int, rounds: int) -> str:
    """One row through every method as exported, and through PyOD's of the same kind."""
    healthy, damaged = rows[LEARNED : int(ONSET * LIFE)], rows[int(ONSET * LIFE) :]
    theirs = pyod_detectors()
    calls: dict[str, Callable[[], Any]] = {}
    areas = {}
    for name, method in methods.load().items():
        model = methods.fit(method, rows[:LEARNED])
        arrays, row = model.to_arrays(), rows[LEARNED][None]
        calls[name] = lambda a=arrays, r=row: detectors.score(a, r)
        areas[name] = auroc(detectors.score(arrays, healthy), detectors.score(arrays, damaged))
        if name in theirs:
            z = [robust_z(part, model.centre, model.spread) for part in (rows, healthy, damaged)]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what they say of their own settings
                other = theirs[name].fit(z[0][:LEARNED])
                key = f"{name} by PyOD"
                areas[key] = auroc(other.decision_function(z[1]), other.decision_function(z[2]))
            one = z[0][LEARNED][None]
            calls[key] = lambda d=other, r=one: d.decision_function(r)
    found = timed(calls, repeats=repeats, rounds=rounds)
    lines = []
    for name in (name for name in calls if "PyOD" not in name):
        line = [f"`{name}`", stats.spread(found[name]), f"{areas[name]:.3f}"]
        key = f"{name} by PyOD"
        if key in found:
            ratio = [o / t for o, t in zip(found[name], found[key], strict=True)]
            line += [stats.spread(found[key]), f"{areas[key]:.3f}", stats.spread(ratio, 3)]
        lines.append(line if key in found else [*line, "-", "-", "-"])
    head = [
        "method",
        "ours, us a row",
        "ours, AUC",
        "PyOD, us a row",
        "PyOD, AUC",
        "time, ours / PyOD",
    ]
    import pyod

    return f"""Each method on the published features ({rows.shape[1]} of them), learned from the
first {LEARNED} windows: one row as the device would score it, in NumPy, scaling included; beside it
PyOD {pyod.__version__}'s detector of the same kind and settings on the same rows, scaled already.
AUC: windows before against after the onset of a simulated outer-race fault, none of them learned
from. PyOD's autoencoders need PyTorch and are left out.

{stats.table(head, lines)}"""


def pyod_detectors() -> dict[str, Any]:
    """PyOD's detectors by our names, with our settings."""
    from pyod.models.gmm import GMM
    from pyod.models.iforest import IForest
    from pyod.models.lof import LOF
    from pyod.models.mcd import MCD
    from pyod.models.ocsvm import OCSVM
    from pyod.models.pca import PCA

    return {
        "gmm": GMM(n_components=16, covariance_type="diag", reg_covar=0.05, random_state=0),
        "isolation_forest": IForest(n_estimators=100, random_state=0),
        "lof": LOF(n_neighbors=20),
        "robust_covariance": MCD(random_state=0),
        "one_class_svm": OCSVM(nu=0.1),
        "pca_auto": PCA(n_components=50, standardization=False, random_state=0),
    }


def timed(
    calls: dict[str, Callable[[], Any]], *, repeats: int, rounds: int
) -> dict[str, list[float]]:
    """Median microseconds of each call in each repeat."""
    stats.alternate(calls, rounds=5)
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        for name, us in stats.alternate(calls, rounds=rounds).items():
            found[name].append(us)
    return found


def memory(path: Path, *, seconds: float) -> str:
    """Resident memory of the device's pipeline in a process of its own."""
    lines, most = [], 0.0
    for engine in ("tflite", "onnx"):
        command = [sys.executable, "-m", "vedette", "bench", "--bundle", str(path), "--json"]
        done = subprocess.run(
            [*command, "--engine", engine, "--seconds", str(seconds)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        said = json.loads(done.stdout)
        most = max(most, said["memory_bytes"])
        lines.append([f"`{engine}`", f"{said['memory_bytes'] / 1e6:.0f}"])
    met = "Met" if most <= MEMORY_GOAL_BYTES else "Not met"
    return f"""The device's pipeline with its engine in a process of its own (`vedette bench`):

{stats.table(["engine", "MB resident"], lines)}

Goal: at most {MEMORY_GOAL_BYTES / 1e6:.0f} MB. **{met}.**"""


if __name__ == "__main__":
    print(measure(Path(sys.argv[1]), quick="--quick" in sys.argv))
