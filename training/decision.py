"""Thresholds of a line: what passes, what is rejected, and what a person decides.

Two thresholds by the rule of the reject option (Chow, IEEE Trans. Information Theory, 1970) on
scores of parts that were not learned from: a missed defect costs most, a good part rejected less,
to decide what people could not decide less still, a look by a person little, and no more than a
share of the parts may be sent there. Each threshold is an order statistic of its class, so that it
holds for parts like these (split conformal prediction: Vovk et al., 2005): of n defects that none
is below, the next one is below with a probability of at most 1 / (n + 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contract.spec import Array, OperatingPoint
from training.inspection_metrics import Decided, miss_bound
from training.parts import DEFECT, DOUBTFUL, GOOD

MISS, FALSE_REJECT, DOUBTED, REVIEW = 3.0, 1.0, 0.2, 0.05  # costs, in good parts rejected
_TO_A_PERSON = 0.2  # of the parts, at most
_FALSE_REJECTS = 0.04  # of the good parts, at most
_CANDIDATES = 400
# Of the good parts, at most: the next defect may be fainter than all that were measured on, and a
# look at a few good parts is cheap.
_PASSED = 0.97
# Shares of good parts below the thresholds, where no defect is known: what differs as one good part
# in ten does is worth a look, what differs as hardly one in a hundred does is rejected.
_LOOKED_AT, _REJECTED = 0.1, 0.01


def choose(decided: Sequence[Decided], *, items: int) -> OperatingPoint:
    """Thresholds of least cost.

    Args:
        decided: parts not learned from, with their scores.
        items: that they are of.

    Returns:
        below `clear_threshold` a part passes, from `threshold` on it is rejected. `measured`:
        `recall`, `false_reject_rate` and `to_a_person` on these very parts, `defects` and `good`,
        and what may be claimed: `miss_bound`, `false_reject_bound`, upper ends with 95 %
        confidence.
    """
    of = {
        label: np.sort([one.part.score for one in decided if one.shown.label == label])
        for label in (GOOD, DEFECT, DOUBTFUL)
    }
    everything = np.sort([one.part.score for one in decided])
    good, defects = of[GOOD], of[DEFECT]
    if len(defects):
        low, high = _cheapest(good, defects, of[DOUBTFUL])
        low = min(low, _order(good, _PASSED))
    else:
        low = float(np.nextafter(good[max(int(len(good) * (1 - _LOOKED_AT)) - 1, 0)], np.inf))
        high = _order(good, 1 - _REJECTED)
    missed, rejected = int((defects < low).sum()), int((good >= high).sum())
    between = float(((everything >= low) & (everything < high)).mean())
    measured = {
        "good": float(len(good)),
        "defects": float(len(defects)),
        "false_reject_rate": rejected / max(len(good), 1),
        "false_reject_bound": miss_bound(rejected, len(good)),
        "to_a_person": between,
    }
    if len(defects):
        measured |= {
            "recall": 1.0 - missed / len(defects),
            "miss_bound": miss_bound(missed, len(defects)),
        }
    return OperatingPoint(
        threshold=high,
        clear_threshold=low,
        chosen_on=f"{len(decided)} pictures of {items} items not learned from",
        measured=measured,
    )


def _cheapest(good: Array, defects: Array, doubtful: Array) -> tuple[float, float]:
    """Both thresholds; of those that cost the same, those farthest from each other."""
    everything = np.sort(np.concatenate([good, defects, doubtful]))
    tried = _midway(everything)
    missed = np.searchsorted(defects, tried, "left")
    rejected = len(good) - np.searchsorted(good, tried, "left")
    below = np.searchsorted(everything, tried, "left")
    between = below[None, :] - below[:, None]  # low, high
    doubts = np.searchsorted(doubtful, tried, "left")
    decided = len(doubtful) - (doubts[None, :] - doubts[:, None])
    cost = MISS * missed[:, None] + FALSE_REJECT * rejected[None, :]
    cost = cost + DOUBTED * decided + REVIEW * between
    allowed = (between >= 0) & (between <= _TO_A_PERSON * len(everything))
    few = rejected <= _FALSE_REJECTS * len(good)
    cost = np.where(allowed & few[None, :], cost, np.inf)
    low, high = np.nonzero(cost <= cost.min() + 1e-9)
    widest = int(np.argmax(high - low))
    return float(tried[low[widest]]), float(tried[high[widest]])


def _midway(everything: Array) -> Array:
    """Thresholds to try: between neighbouring scores, and beyond them all, sorted."""
    scores = np.unique(everything)
    if len(scores) > _CANDIDATES:
        scores = np.unique(np.quantile(scores, np.linspace(0, 1, _CANDIDATES)))
    step = float(np.diff(scores).mean()) if len(scores) > 1 else 1.0
    middle = (scores[1:] + scores[:-1]) / 2
    # close to the neighbours too, so that a wide gap can be left to a person whole
    near = np.concatenate([scores[:-1] + np.minimum(np.diff(scores) / 2, step) * 0.1, middle])
    return np.sort(np.concatenate([[scores[0] - step], near, [scores[-1] + step]]))


def _order(good: Array, share: float) -> float:
    """What a good part like these stays below with that probability, if they are enough."""
    k = min(int(np.ceil((len(good) + 1) * share)), len(good))
    return float(np.nextafter(good[k - 1], np.inf))
