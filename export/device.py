"""Recordings through the device's own code: the stages, engines and learning it will run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from contract.spec import Detections, Engine, Workload
from edge.bundle import Bundle
from edge.pipeline import Pipeline, run_rows
from edge.profile import ProfileMemory
from training.datasets import Recording
from training.watch import Seen, Watched, fold_windows, worst


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
    windows = list(recording.windows())
    return {
        name: fold_windows(
            workload, {s: partial(run_rows, e) for s, e in stages.items()}, recording, windows
        )
        for name, stages in engines.items()
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
        learn_windows=sum(1 + len(recording.between(i)) for i in range(recording.learn_windows))
        + len(recording.learned_after()),
        given=bundle.learned,
    )
    pipeline = Pipeline(bundle.workload, bundle.engines, memory)
    times: list[int] = []
    judged: list[Detections] = []
    for i, window in enumerate(recording.windows()):
        before = [pipeline.take(found, t_ns) for t_ns, found in recording.between(i)]
        is_refused = bundle.workload.input.refuse(window) is not None
        times.append(window.t_ns)
        judged.append(worst([*before, () if is_refused else pipeline(window)]))
    return Watched(Seen(recording, tuple(times), (), {}), tuple(judged))
