"""Window to detections: the stages folded, then judged. Evaluation uses the same code."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

import numpy as np

from contract.spec import Array, Detections, Engine, Floats, Stage, Window, Workload
from edge.errors import OutputError
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
        """Judged detections of one window; none while the pipeline is still learning.

        Raises:
            OutputError: as `take`.
            EngineError: inference failed.
        """
        found: Detections = ()
        for stage in self._workload.stages:
            start = time.perf_counter_ns()
            found = run_stage(stage, self._engines.get(stage.name), window, found)
            self.times_ns[stage.name].append(time.perf_counter_ns() - start)
        for detection in found:
            if detection.vector is not None:
                _refuse_not_finite("the vectors", detection.vector)
        return self.take(found, window.t_ns)

    def take(self, found: Detections, t_ns: int) -> Detections:
        """As a call, for a window whose stages have been run.

        Raises:
            OutputError: numbers that are not finite; the window is neither judged nor learned from.
        """
        self.memory.check(found)
        profile = self.memory.profile
        if profile is None:
            self.memory.add(found)
            return ()
        self.memory.save_again()
        start = time.perf_counter_ns()
        judged = self._workload.judge(found, profile)
        if self.memory.follower is not None and judged:
            judged = self.memory.follower.update(judged, t_ns)
        self.times_ns["judge"].append(time.perf_counter_ns() - start)
        _refuse_not_finite("the scores", np.array([detection.score for detection in judged]))
        return judged


def run_stage(stage: Stage, engine: Engine | None, window: Window, found: Detections) -> Detections:
    """One stage: prepare, run its model row by row if it has one, interpret."""
    inputs = stage.preprocess(window, found)
    # before the engine too: as an integer NaN is a number like any other
    _refuse_not_finite(f"the inputs of stage {stage.name!r}", inputs)
    outputs = run_rows(engine, inputs)
    if engine is not None:
        _refuse_not_finite(f"the outputs of stage {stage.name!r}", outputs)
    return stage.postprocess(window, found, inputs, outputs)


def run_rows(engine: Engine | None, inputs: Floats) -> Floats:
    """(n, *output_shape) float32 for (n, *input_shape) inputs; without an engine the inputs."""
    if engine is None or len(inputs) == 0:
        return inputs
    return np.stack([engine.run(row) for row in inputs])


def _refuse_not_finite(what: str, numbers: Array) -> None:
    if not np.isfinite(numbers).all():
        raise OutputError(f"{what} are NaN or infinite")
