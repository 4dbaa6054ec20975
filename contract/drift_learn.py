"""What the pictures of good parts look like, and how far they wander when nothing drifts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np

from contract.drift import FIGURES, LAST, NOT_FOLLOWED, PREFIX, STEPS, figures, ranks
from contract.ops.looks import Looks, moved, shift
from contract.spec import Array, Floats

LEAST_PARTS = 20
RUNS, RUN_PARTS = 20, 2000  # none of them may hold a message
_TOP = 2.3  # rank of 99 %: most of the last parts above that is drift, whatever was seen before
_ENOUGH = 200  # views, evenly over all: their mean hardly changes with more
_ALIGNED, _FOLDS = 3, 4  # rounds
LEAST_ITEMS, _MOST_ITEMS = 4, 40
_PLACE = [FIGURES.index("right"), FIGURES.index("down")]
# Shares of a side that the middle half of the places spans: 0.04 to 0.07 of pictures of surfaces
# that have no pose and along tubes, at most 0.02 where a holder gives one.
_ANYWHERE = 0.035
# Changes that do not matter, below which a limit never lies: pictures all alike would tell of any.
_LEAST = {
    "light": 0.06,
    "contrast": 0.05,
    "focus": 0.02,
    "right": 1 / 512,
    "down": 1 / 512,
    "rank": 0.25,
}


def learn(
    looks: Sequence[Looks], scores: Array, *, items: Sequence[Hashable] | None = None
) -> dict[str, Array]:
    """Where the figures of good parts lie, and the limits beyond which they have drifted.

    A limit is the farthest that a median of as many parts as `contract.drift` looks back on ever
    was from the median of other items, in 20 runs of 2,000 parts: in each run half of the items are
    learned from and the other half is drawn from, an item at a time with all its parts, for the
    pictures of one item or lot look alike.

    Args:
        looks: of n good parts, at least 20, in the order in which they were taken.
        scores: (n,) by the model as the device runs it; NaN of a part that was not passed, or that
            the model was learned from. With fewer than 20 scores those are not followed.
        items: of each part, what it was taken of or with; without, each is its own.

    Returns:
        By names beginning with `drift.`: `view` (VIEW, VIEW) float32, where the parts lie; `centre`
        (6,) float64 by `contract.drift.FIGURES`; `limits` (3, 6) float64 by
        `contract.drift.LAST`, `NOT_FOLLOWED` where a figure tells nothing of these parts, such as
        the place of parts that lie anyhow; `steps` (101,) float64, quantiles of the scores.

    Raises:
        ValueError: too few parts.
    """
    n = len(looks)
    if n < LEAST_PARTS:
        raise ValueError(f"{n} good parts are too few to tell drift: at least {LEAST_PARTS}")
    items = range(n) if items is None else items
    groups = _groups(items)
    views = np.stack([one.view for one in looks])
    view = _aligned(views)
    rows = np.stack([figures(one, view) for one in looks])
    rows[:, _PLACE] = _places(views, groups, view)
    limits = _limits(rows, groups, FIGURES[:-1])
    low, high = np.quantile(rows[:, _PLACE], (0.25, 0.75), axis=0)
    limits[:, _PLACE] = np.where(high - low < _ANYWHERE, limits[:, _PLACE], NOT_FOLLOWED)
    steps, rank_limits = _of_scores(scores, items)
    return {
        PREFIX + "view": view,
        PREFIX + "centre": np.append(np.median(rows, axis=0), 0.0),
        PREFIX + "limits": np.column_stack([limits, rank_limits]),
        PREFIX + "steps": steps,
    }


def _of_scores(scores: Array, items: Sequence[Hashable]) -> tuple[Array, Array]:
    """(STEPS,) quantiles of the scores of passed parts, (len(LAST), 1) limits of their ranks."""
    passed = np.flatnonzero(np.isfinite(scores)).tolist()
    if len(passed) < LEAST_PARTS:
        return np.zeros(STEPS), np.full((len(LAST), 1), NOT_FOLLOWED)
    of_passed = scores[passed].astype(np.float64)
    steps = np.quantile(of_passed, np.linspace(0.0, 1.0, STEPS))
    groups = _groups([items[k] for k in passed])
    limits = _limits(ranks(of_passed, steps)[:, None], groups, FIGURES[-1:])
    return steps, np.minimum(limits, _TOP)


def _limits(rows: Array, groups: Sequence[Array], names: Sequence[str]) -> Array:
    """(len(LAST), d) how far medians of figures go when nothing drifts."""
    wandering = _beyond(len(rows), len(groups)) * _wandering(rows, groups)
    limits: Array = np.maximum(wandering, [_LEAST[name] for name in names])
    return limits


def _aligned(views: Floats) -> Floats:
    """(VIEW, VIEW) float32 mean of (n, VIEW, VIEW) views, each moved to where the mean lies."""
    views = views[:: -(-len(views) // _ENOUGH)]
    mean = np.asarray(views.mean(axis=0), np.float32)
    for _ in range(_ALIGNED):
        shifts = [shift(view, mean) for view in views]
        back = [moved(view, -r, -d) for view, (r, d) in zip(views, shifts, strict=True)]
        mean = np.asarray(np.mean(back, axis=0), np.float32)
    return mean


def _places(views: Floats, groups: Sequence[Array], view: Floats) -> Array:
    """(n, 2) how far right and down views lie of a mean of other items' views, put where `view` is.

    Of pictures without a common pose, a mean that holds one of them lies where that one does.
    """
    places = np.zeros((len(views), 2))
    for fold in range(_FOLDS):
        mine = np.concatenate(groups[fold::_FOLDS])
        others = _aligned(np.delete(views, mine, axis=0))
        places[mine] = [shift(views[k], others) for k in mine]
        places[mine] += shift(others, view)
    return places


def _groups(items: Sequence[Hashable]) -> list[Array]:
    """Indices of the parts of each item, neighbours put together where the items are many.

    What was taken soon after each other looks alike: of many single parts a run is drawn.
    """
    n = len(items)
    by_item: dict[Hashable, list[int]] = {}
    for row, item in enumerate(items):
        by_item.setdefault(item, []).append(row)
    if len(by_item) < LEAST_ITEMS:
        return np.array_split(np.arange(n), LEAST_ITEMS)
    whole = [np.array(group) for group in by_item.values()]
    ends = np.cumsum([len(group) for group in whole])
    # the item that ends in the k-th of so many equal shares belongs to the k-th run
    runs = np.ceil(ends * _MOST_ITEMS / n) if len(whole) > _MOST_ITEMS else ends
    return [
        np.concatenate([whole[k] for k in np.flatnonzero(runs == run)]) for run in np.unique(runs)
    ]


def _beyond(n: int, items: int) -> Array:
    """(len(LAST), 1) how much farther medians go in a run than in what was seen, at least 1.

    A run has more items than were seen. What is normally distributed goes so much farther, and of
    few items it is not known well how widely it is distributed: Student's t, by the first term of
    its expansion (Fisher, 1925). The more items lie in one median, the less it depends on one.
    """
    seen, run = (
        NormalDist().inv_cdf(1.0 - 0.5 / (k + 1.0)) for k in (items, RUN_PARTS * items / n)
    )
    run *= 1.0 + (run * run + 1.0) / (4.0 * (items - 1.0))
    within = np.maximum(np.array(LAST) * items / n, 1.0)
    return (1.0 + max(run / seen - 1.0, 0.0) / np.sqrt(within))[:, None]


def _wandering(rows: Array, groups: Sequence[Array]) -> Array:
    """(len(LAST), d) farthest that medians of the last parts were from those learned.

    Args:
        rows: (n, d).
        groups: indices of rows, by item.
    """
    rng = np.random.default_rng(0)
    farthest = np.zeros((len(LAST), rows.shape[1]))
    for run in range(RUNS):
        order = rng.permutation(len(groups))
        half = len(groups) // 2
        centre = np.median(rows[np.concatenate([groups[k] for k in order[:half]])], axis=0)
        others = [groups[k] for k in order[half:]]
        drawn: list[Array] = []
        while sum(map(len, drawn)) < RUN_PARTS:
            items = [others[k] for k in rng.permutation(len(others))]
            # as they came, for neighbours are alike; and anew, for few neighbours are all there are
            drawn += [rng.choice(item, len(item)) for item in items] if run % 2 else items
        stream = rows[np.concatenate(drawn)]
        for k, last in enumerate(LAST):
            windows = np.lib.stride_tricks.sliding_window_view(stream, last, axis=0)
            away = np.abs(np.median(windows, axis=-1) - centre).max(axis=0)
            farthest[k] = np.maximum(farthest[k], away)
    return farthest
