"""Window to detections: the stages folded, then judged. Evaluation uses the same code."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

import numpy as np

from contract.spec import Detections, Engine, Floats, Stage, Window, Workload
from edge.profile import ProfileMemory


class Pipeline:
    """One workload over one source. Not shared between threads.

    Attributes:
        memory: what has been learned on site.
        times_ns: the last durations of each stage and of the judge, by name.
    """

    def __init__(
        self, workload: Workload, engines: Mapping[str, Engine], memory: ProfileMemory
    ) -> None:
        self.memory = memory
        self._workload = workload
        self._engines = engines
        self.times_ns: dict[str, deque[int]] = {
            name: deque(maxlen=512) for name in (*(s.name for s in workload.stages), "judge")
        }

    def __call__(self, window: Window) -> Detections:
        """Judged detections of one window; none while the pipeline is still learning."""
        found: Detections = ()
        for stage in self._workload.stages:
            start = time.perf_counter_ns()
            found = run_stage(stage, self._engines.get(stage.name), window, found)
            self.times_ns[stage.name].append(time.perf_counter_ns() - start)
        self.memory.check(found)
        profile = self.memory.profile
        if profile is None:
            self.memory.add(found)
            return ()
        start = time.perf_counter_ns()
        judged = self._workload.judge(found, profile)
        self.times_ns["judge"].append(time.perf_counter_ns() - start)
        return judged


def run_stage(stage: Stage, engine: Engine | None, window: Window, found: Detections) -> Detections:
    """One stage: prepare, run its model row by row if it has one, interpret."""
    inputs = stage.preprocess(window, found)
    return stage.postprocess(found, inputs, run_rows(engine, inputs))


def run_rows(engine: Engine | None, inputs: Floats) -> Floats:
    """(n, *output_shape) float32 for (n, *input_shape) inputs; without an engine the inputs."""
    if engine is None or len(inputs) == 0:
        return inputs
    return np.stack([engine.run(row) for row in inputs])
