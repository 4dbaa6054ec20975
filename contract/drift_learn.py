"""What the pictures of good parts look like, and how far they wander when nothing drifts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np

from contract.drift import FIGURES, LAST, PREFIX, STEPS, figures, ranks
from contract.ops.looks import REACH, VIEW, Looks, moved, shift
from contract.spec import Array, Floats

LEAST_PARTS = 20
RUNS, RUN_PARTS = 20, 2000  # none of them may hold a message
_ALIGNED, _FOLDS = 3, 4  # rounds
LEAST_ITEMS, _MOST_ITEMS = 4, 40
_PLACE = [FIGURES.index("right"), FIGURES.index("down")]
# Wandering so far, in shares of a side, a place says nothing: a part could be anywhere.
_ANYWHERE = REACH / VIEW / 2
# Changes that do not matter, below which a limit never lies: pictures all alike would tell of any.
_LEAST = {
    "light": 0.06,
    "contrast": 0.05,
    "blown": 0.005,
    "focus": 0.02,
    "right": 1 / 512,
    "down": 1 / 512,
    "rank": 0.1,
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
        scores: (n,) by the model as the device runs it; NaN of a part that was not passed.
        items: of each part, what it was taken of or with; without, each is its own.

    Returns:
        By names beginning with `drift.`: `view` (VIEW, VIEW) float32, where the parts lie; `centre`
        (7,) float64 by `contract.drift.FIGURES`; `limits` (2, 7) float64 by
        `contract.drift.LAST`, infinite where a figure tells nothing of these parts, such as the
        place of parts that lie anyhow; `steps` (101,) float64, quantiles of the scores.

    Raises:
        ValueError: too few parts, or none was passed.
    """
    n = len(looks)
    if n < LEAST_PARTS:
        raise ValueError(f"{n} good parts are too few to tell drift: at least {LEAST_PARTS}")
    passed = scores[np.isfinite(scores)].astype(np.float64)
    if not len(passed):
        raise ValueError(f"none of {n} good parts was passed: the threshold rejects them all")
    groups = _groups(n, items)
    views = np.stack([one.view for one in looks])
    view = _aligned(views)
    steps = np.quantile(passed, np.linspace(0.0, 1.0, STEPS))
    found = np.stack([figures(one, view) for one in looks])
    found[:, _PLACE] = _places(views, groups, view)
    rank = np.where(np.isfinite(scores), ranks(np.nan_to_num(scores), steps), 0.5)
    rows = np.column_stack([found, rank])
    wandering = _beyond(n, len(groups)) * _wandering(rows, groups)
    limits = np.maximum(wandering, [_LEAST[name] for name in FIGURES])
    for name in ("right", "down"):
        column = FIGURES.index(name)
        limits[limits[:, column] >= _ANYWHERE, column] = np.inf
    return {
        PREFIX + "view": view,
        PREFIX + "centre": np.median(rows, axis=0),
        PREFIX + "limits": limits,
        PREFIX + "steps": steps,
    }


def _aligned(views: Floats) -> Floats:
    """(VIEW, VIEW) float32 mean of (n, VIEW, VIEW) views, each moved to where the mean lies."""
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


def _groups(n: int, items: Sequence[Hashable] | None) -> list[Array]:
    """Indices of the parts of each item, neighbours put together where the items are many.

    What was taken soon after each other looks alike: of many single parts a run is drawn.
    """
    by_item: dict[Hashable, list[int]] = {}
    for row, item in enumerate(range(n) if items is None else items):
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


def _beyond(n: int, items: int) -> float:
    """How much farther items go in a run than the farthest of those learned from, at least 1.

    A run has more items than were seen; what is normally distributed goes so much farther.
    """
    far = [NormalDist().inv_cdf(1.0 - 0.5 / (k + 1.0)) for k in (items, RUN_PARTS * items / n)]
    return max(far[1] / far[0], 1.0)


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
