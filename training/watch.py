"""A workload over whole recordings, with the model that is being trained.

The device folds the stages window by window (`edge.pipeline`); a network in training is far faster
on many rows at once, so here each stage sees a whole recording. Both find the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from contract.fold import Model, Pass, fold
from contract.spec import Array, Detection, Detections, OperatingPoint, Profile, Window, Workload
from training.datasets import Recording


@dataclass(frozen=True, eq=False)
class Seen:
    """What the stages of a workload found in one recording, before anything is judged.

    Attributes:
        recording: what was watched.
        t_ns: the time of each window.
        found: what the last stage found in each window.
        passes: by stage with a model, for each window its inputs (n, *input_shape) and outputs
            (n, *output_shape), float32.
        given: what a bundle would bring beside its models, to judge by.
    """

    recording: Recording
    t_ns: tuple[int, ...]
    found: tuple[Detections, ...]
    passes: Mapping[str, tuple[Pass, ...]]
    given: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Watched:
    """One recording, judged.

    Attributes:
        seen: what was judged.
        found: judged detections of each window; empty while learning.
    """

    seen: Seen
    found: tuple[Detections, ...]

    @property
    def recording(self) -> Recording:
        """What was watched."""
        return self.seen.recording

    @property
    def scores(self) -> Array:
        """(windows,) float64, the highest score of each window; NaN while learning.

        Not rounded to float32: as a threshold a score must still reach itself.
        """
        return np.array([max((d.score for d in found), default=np.nan) for found in self.found])


def see(workload: Workload, models: Mapping[str, Model], recording: Recording) -> Seen:
    """Fold the stages over one recording.

    Args:
        workload: what watches.
        models: by stage: (n, *input_shape) -> (n, *output_shape), float32.
        recording: one group's windows.
    """
    return fold_windows(workload, models, recording, list(recording.windows()))


def fold_windows(
    workload: Workload,
    models: Mapping[str, Model],
    recording: Recording,
    windows: Sequence[Window],
) -> Seen:
    """As `see`, for windows that are there already."""
    found, passes = fold(workload, models, windows)
    return Seen(
        recording,
        tuple(window.t_ns for window in windows),
        tuple(found),
        {stage: tuple(of_windows) for stage, of_windows in passes.items()},
    )


def lean(seen: Seen) -> Seen:
    """The same without the inputs of the stages: those of pictures would fill the memory."""
    passes = {
        stage: tuple((inputs[:0], outputs) for inputs, outputs in of_windows)
        for stage, of_windows in seen.passes.items()
    }
    return replace(seen, passes=passes)


def judge(
    workload: Workload, seen: Seen, point: OperatingPoint, *, only: Array | None = None
) -> Watched:
    """Learn from the first windows where the workload learns, judge the others.

    Args:
        workload: what watches.
        seen: one recording.
        point: the thresholds and scales to judge by.
        only: (windows,) bool, judge these; None: all.
    """
    kept = np.ones(len(seen.found), dtype=bool) if only is None else only
    profile = learn(workload, seen, point)
    judge_one = judged_by(workload, profile)
    windows = 0 if workload.learn is None else seen.recording.learn_windows
    judged = tuple(
        worst(judge_one(t_ns, found) for t_ns, found in judged_moments(seen, i)) if kept[i] else ()
        for i in range(windows, len(seen.found))
    )
    return Watched(seen, ((),) * windows + judged)


def learn(workload: Workload, seen: Seen, point: OperatingPoint) -> Profile:
    """What a device would learn from the start of a recording, or be given in a bundle."""
    if workload.learn is None:
        return Profile(point, seen.given, "training", 0)
    vectors = [
        np.stack([d.vector for d in found if d.vector is not None])
        for _, found in learned_moments(seen)
    ]
    return Profile(point, workload.learn(np.stack(vectors)), "training", len(vectors))


def learned_moments(seen: Seen) -> Iterator[tuple[int, Detections]]:
    """Time and findings of every moment of the learning period."""
    recording = seen.recording
    for i in range(recording.learn_windows):
        yield from recording.between(i)
        yield seen.t_ns[i], seen.found[i]
    yield from recording.learned_after()


def judged_moments(seen: Seen, i: int) -> Iterator[tuple[int, Detections]]:
    """Time and findings of window `i`, after those of the moments before it not learned from."""
    skipped = len(seen.recording.learned_after()) if i == seen.recording.learn_windows else 0
    yield from seen.recording.between(i)[skipped:]
    yield seen.t_ns[i], seen.found[i]


def judged_by(workload: Workload, profile: Profile) -> Callable[[int, Detections], Detections]:
    """(t_ns, found) -> judged, one moment after the other, as a pipeline does."""
    follower = None if workload.follow is None else workload.follow(profile)

    def judge_one(t_ns: int, found: Detections) -> Detections:
        judged = workload.judge(found, profile)
        return follower.update(judged, t_ns) if follower is not None and judged else judged

    return judge_one


def worst(of_moments: Iterable[Detections]) -> Detections:
    """What was worst in several moments, on each level of urgency; all there is of one moment."""
    each = [found for found in of_moments if found]
    if len(each) < 2:
        return each[0] if each else ()
    by_level: dict[str, Detection] = {}
    for detection in itertools.chain(*each):
        known = by_level.setdefault(detection.level, detection)
        by_level[detection.level] = max(known, detection, key=lambda one: one.score)
    return tuple(by_level.values())
