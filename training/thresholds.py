"""Operating points: thresholds found by replaying the workload's own policy, never typed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from contract.spec import Array, OperatingPoint, Workload
from training.metrics import replay
from training.watch import Watched

CLEAR = 0.8  # of the threshold: far enough below it not to flicker


def silent_threshold(workload: Workload, healthy: Sequence[Watched]) -> float:
    """The lowest score that, as threshold, lets the policy raise nothing.

    Args:
        workload: has the policy.
        healthy: recordings cut to windows known to be healthy.

    Returns:
        one of the scores; the highest where no score is silent, 0.0 where there is none.
    """
    scores = np.unique(np.concatenate([w.scores[np.isfinite(w.scores)] for w in healthy]))
    # a policy raises less the higher the threshold, so halving finds the edge
    low, high = 0, len(scores)
    while low < high:
        middle = (low + high) // 2
        if _raises(workload, healthy, float(scores[middle])):
            low = middle + 1
        else:
            high = middle
    return float(scores[min(low, len(scores) - 1)]) if len(scores) else 0.0


def cut(watched: Watched, keep: Callable[[Watched], Array]) -> Watched:
    """The watched recording with nothing found outside of the windows kept."""
    kept = keep(watched)
    found = tuple(f if k else () for f, k in zip(watched.found, kept, strict=True))
    return replace(watched, found=found)


def _raises(workload: Workload, healthy: Sequence[Watched], threshold: float) -> bool:
    point = OperatingPoint(threshold, CLEAR * threshold, "", {})
    return any(replay(workload, watched, point).times_raised for watched in healthy)
