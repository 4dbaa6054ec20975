"""Operating points: thresholds found by replaying the workload's own policy, never typed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contract.spec import OperatingPoint, Workload
from training.metrics import replay
from training.watch import Watched

CLEAR = 0.8  # of the threshold: far enough below it not to flicker


def silent_threshold(workload: Workload, healthy: Sequence[Watched]) -> float:
    """The lowest score that, as threshold, lets the policy raise nothing.

    Args:
        workload: has the policy.
        healthy: recordings of which only windows known to be healthy were judged.

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


def _raises(workload: Workload, healthy: Sequence[Watched], threshold: float) -> bool:
    point = OperatingPoint(threshold, CLEAR * threshold, "", {})
    return any(replay(workload, watched, point).times_raised for watched in healthy)
