"""Recordings through the device's own code: the stages, engines and learning it will run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contract.fold import Pass
from contract.spec import Detections, Engine, Floats, Workload
from edge.bundle import Bundle
from edge.pipeline import Pipeline, run_stage
from edge.profile import ProfileMemory
from training.datasets import Recording
from training.watch import Seen, Watched


class _Tap:
    """An engine that remembers what went through it since it was last emptied."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._passes: list[Pass] = []

    def run(self, x: Floats) -> Floats:
        """As the engine."""
        y = self._engine.run(x)
        self._passes.append((x, y))
        return y

    def empty(self) -> Pass:
        """Inputs (n, *input_shape) and outputs (n, *output_shape) since the last call, n >= 1."""
        inputs, outputs = zip(*self._passes, strict=True)
        self._passes.clear()
        return np.stack(inputs), np.stack(outputs)


def see(
    workload: Workload, engines: Mapping[str, Mapping[str, Engine]], recording: Recording
) -> dict[str, Seen]:
    """What the stages find with each of several engines.

    Args:
        workload: what watches.
        engines: by engine's name, then by stage.
        recording: one group's windows; every window is made once.

    Returns:
        what was seen, by engine's name.
    """
    taps = {name: {s: _Tap(e) for s, e in stages.items()} for name, stages in engines.items()}
    times: list[int] = []
    found: dict[str, list[Detections]] = {name: [] for name in taps}
    passes: dict[str, dict[str, list[Pass]]] = {
        name: {stage: [] for stage in stages} for name, stages in taps.items()
    }
    for window in recording.windows():
        times.append(window.t_ns)
        for name, stages in taps.items():
            one: Detections = ()
            for stage in workload.stages:
                one = run_stage(stage, stages.get(stage.name), window, one)
            found[name].append(one)
            for stage_name, tap in stages.items():
                passes[name][stage_name].append(tap.empty())
    return {
        name: Seen(
            recording,
            tuple(times),
            tuple(found[name]),
            {stage: tuple(rows) for stage, rows in passes[name].items()},
        )
        for name in taps
    }


def watch(bundle: Bundle, recording: Recording) -> Watched:
    """A whole recording through a bundle as the device would: learn first, then judge.

    A window the workload refuses is neither learned from nor judged, as on the device.

    Args:
        bundle: opened, so verified.
        recording: one group's windows.
    """
    memory = ProfileMemory(
        bundle.workload,
        bundle.model_id,
        bundle.manifest.operating_point,
        learn_windows=recording.learn_windows,
    )
    pipeline = Pipeline(bundle.workload, bundle.engines, memory)
    times: list[int] = []
    judged: list[Detections] = []
    for window in recording.windows():
        is_refused = bundle.workload.input.refuse(window) is not None
        times.append(window.t_ns)
        judged.append(() if is_refused else pipeline(window))
    return Watched(Seen(recording, tuple(times), (), {}), tuple(judged))
