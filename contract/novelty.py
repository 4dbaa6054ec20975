"""Has this machine left its healthy state? Learned on the device from its own start, no labels.

One detector and one operating point for every kind of feature row: log band levels of a spectrum,
or logs of currents and flows. A score of 1 is the device's own threshold.

    learned = learn(rows)          # (n, d) healthy rows in time order -> arrays to keep
    novelty = Novelty(learned)
    score = novelty.score(row)     # causal; >= 1: this is not how the machine was
    novelty.moved                  # (d,) by how many of its spreads each feature has moved
    novelty.recent                 # what to keep across a restart: Novelty(learned, recent)

How: the healthy rows are gathered around one centre per operating condition (a speed, a load),
found from the rows themselves. A new row is compared with the nearest centre; the mean of the last
`AVERAGED` differences is judged two ways, and the larger counts:

- broad: Mahalanobis length over all features, per feature, the covariance shrunk towards a
  multiple of the identity (Ledoit and Wolf, J. Multivariate Analysis 88, 2004), so that it works
  with fewer rows than features. Averaging before the length finds a small lasting shift (Lowry et
  al., Technometrics 34, 1992).
- narrow: the feature that moved farthest, in spreads: a new tone in one band.

Each has its own threshold, measured on rows left out in blocks: neighbours in time are nearly the
same row, so a threshold from rows that were learned, or from rows left out one by one, is too low.
It is never lower than a fixed number of spreads, because ten healthy minutes do not show how far a
healthy machine drifts in a day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from contract.spec import Array

AVERAGED = 5  # rows: two of a fan's, one second each of a pump's
LEAST_ROWS = 16  # to learn from

_QUANTILE = 0.98  # of the left-out rows
_MARGIN = 1.4  # times that quantile
_FLOORS = (1.75, 2.5)  # spreads: broad, narrow
_BLOCK = 5 * AVERAGED  # rows left out together: longer than a change of condition is felt
_MOST_CENTRES = 8
_APART = 3.5  # noises, root mean square over the features: farther is another condition
_LEAST_MEMBERS = 5  # rows of a condition; fewer are a change of condition
_ODD = 0.1  # share of the healthy rows, the oddest, that spread and covariance do without
_LEAST_SPREAD = 0.005  # of a log level: a feature that stood still must not alarm at its first move
_LEAST_VARIANCE = 1e-4  # in spreads squared: of windows that are all the same there is none
_FARTHEST = 20.0  # spreads; more says nothing more, and one wild row must not rule the mean

Learned = dict[str, Array]


def learn(rows: Array) -> Learned:
    """What a healthy machine's feature rows look like, and this device's own thresholds.

    Args:
        rows: (n, d) float, finite, in time order, n >= LEAST_ROWS; logs of levels, so that
            differences are ratios.

    Returns:
        `centres` (conditions, d) and `spread` (d,) in the unit of the rows, `whiten` (d, d) for
        differences in spreads, `thresholds` (2,): broad, narrow; all float32.

    Raises:
        ValueError: too few rows.
    """
    if len(rows) < LEAST_ROWS:
        raise ValueError(f"{len(rows)} rows are too few to learn from; need {LEAST_ROWS}")
    rows = np.asarray(rows, np.float64)
    learned = _fit(rows)
    thresholds = _MARGIN * np.quantile(_left_out(rows), _QUANTILE, axis=0)
    # the median of few rows is itself uncertain: its variance is pi/2 times that of their mean
    rows_each = len(rows) / len(learned["centres"])
    uncertainty = np.sqrt(1 + np.pi / 2 * AVERAGED / rows_each)
    thresholds = np.maximum(thresholds, np.multiply(_FLOORS, uncertainty))
    return {**learned, "thresholds": thresholds.astype(np.float32)}


class Novelty:
    """Scores rows one after another. Not shared between threads.

    Attributes:
        moved: (d,) mean of the last differences from the healthy state, in spreads of each feature.
        recent: (up to AVERAGED, d) float32, these differences.
    """

    def __init__(self, learned: Mapping[str, Array], recent: Array | None = None) -> None:
        """Go on from `recent`, where a restart must not forget the last rows.

        Args:
            learned: by `learn`.
            recent: of an earlier one.
        """
        self._unit = (1 / learned["spread"]).astype(np.float32)
        self._centres = learned["centres"] * self._unit
        self._whiten, self._thresholds = learned["whiten"], learned["thresholds"]
        features = learned["spread"].shape[0]
        self.recent: Array = np.empty((0, features), np.float32) if recent is None else recent

    @property
    def moved(self) -> Array:
        """(d,) float32; zeros before the first row. The first rows are as noisy as all later."""
        mean: Array = self.recent.sum(axis=0) / math.sqrt(AVERAGED * max(len(self.recent), 1))
        return mean

    def score(self, row: Array) -> float:
        """How far the machine is from its healthy state; 1 is the device's own threshold.

        Args:
            row: (d,) float, finite.
        """
        differences = row * self._unit - self._centres
        nearest = differences[np.einsum("ij,ij->i", differences, differences).argmin()]
        difference = np.minimum(np.maximum(nearest, -_FARTHEST), _FARTHEST).astype(np.float32)
        self.recent = np.concatenate([self.recent[1 - AVERAGED :], difference[None]])
        moved = self.moved
        white = moved @ self._whiten
        broad = math.sqrt(white @ white / len(white)) / self._thresholds[0]
        narrow = np.abs(moved).max() / self._thresholds[1]
        return float(max(broad, narrow))


def scores(learned: Mapping[str, Array], rows: Array) -> Array:
    """(n,) what `Novelty` says to (n, d) rows, one after another, much faster."""
    moved = _trailing_mean(_differences(rows, learned))
    highest: Array = (_lengths(moved, learned) / learned["thresholds"]).max(axis=1)
    return highest


def conditions(rows: Array) -> Array:
    """Which operating condition (a speed, a load) each healthy row was in.

    Args:
        rows: (n, d) float, finite, in time order.

    Returns:
        (n,) int from 0; all 0 where there is one condition, or too few rows to tell.
    """
    if len(rows) < LEAST_ROWS:
        return np.zeros(len(rows), dtype=int)
    scaled = np.asarray(rows, np.float64) / _noise(np.asarray(rows, np.float64))
    nearest = _squares(scaled, _conditions(scaled)).argmin(axis=1)
    labels: Array = np.unique(nearest, return_inverse=True)[1]
    return labels


def _fit(rows: Array) -> Learned:
    """Centres, spread and whitening of (n, d) rows."""
    noise = _noise(rows)
    centres = _conditions(rows / noise) * noise
    differences = _differences(rows, {"centres": centres, "spread": noise})
    scale = np.maximum(1.4826 * np.median(np.abs(differences), axis=0), 0.5)
    kept = np.ones(len(rows), dtype=bool)
    for _ in range(2):  # the rows of a change of condition are no measure of the spread within one
        length = np.square(np.clip(differences / scale, -6, 6)).sum(axis=1)
        kept = length <= np.quantile(length, 1 - _ODD)
        scale = np.maximum(differences[kept].std(axis=0), 1.0)
    values, vectors = np.linalg.eigh(_covariance(differences[kept] / scale))
    return {
        "centres": centres.astype(np.float32),
        "spread": (noise * scale).astype(np.float32),
        "whiten": (vectors / np.sqrt(np.maximum(values, _LEAST_VARIANCE))).astype(np.float32),
    }


def _noise(rows: Array) -> Array:
    """(d,) standard deviation from one row to the next; steps between conditions do not count.

    The mean square of the smaller nine tenths of the steps; of normal steps that is 0.625 of all.
    """
    squares = np.sort(np.square(np.diff(rows, axis=0)), axis=0)[: max(int(0.9 * len(rows)), 1)]
    noise: Array = np.maximum(np.sqrt(squares.mean(axis=0) / 2 / 0.625), _LEAST_SPREAD)
    return noise


def _conditions(rows: Array) -> Array:
    """(conditions, d) centres: k-medians, begun with the row farthest from all centres so far.

    Args:
        rows: (n, d) in noises.
    """
    calm = np.array([np.median(rows[max(i - 2, 0) : i + 3], axis=0) for i in range(len(rows))])
    begin = np.square(calm - np.median(calm, axis=0)).mean(axis=1).argmin()
    centres = calm[[begin]]
    while len(centres) < _MOST_CENTRES:
        away = _squares(calm, centres).min(axis=1)
        if away.max() < _APART**2:
            break
        centres = np.vstack([centres, calm[away.argmax()]])
    for _ in range(30):
        nearest = _squares(rows, centres).argmin(axis=1)
        members = np.bincount(nearest, minlength=len(centres))
        kept = np.flatnonzero(members >= min(_LEAST_MEMBERS, members.max()))
        centres = np.array([np.median(rows[nearest == one], axis=0) for one in kept])
    return centres


def _squares(rows: Array, centres: Array) -> Array:
    """(n, centres) mean square difference over the features."""
    squares: Array = np.square(rows[:, None] - centres).mean(axis=2)
    return squares


def _covariance(x: Array) -> Array:
    """(d, d) covariance of centred rows, shrunk as Ledoit and Wolf (2004) found to be best."""
    sample = x.T @ x / len(x)
    level = np.trace(sample) / len(sample)
    target = level * np.eye(len(sample))
    distance = np.square(sample - target).sum()
    squares = np.square(x)
    error = (squares.T @ squares / len(x) - np.square(sample)).sum() / len(x)
    share = min(error / distance, 1.0) if distance > 0 else 1.0
    shrunk: Array = (1 - share) * sample + share * target
    return shrunk


def _differences(rows: Array, learned: Mapping[str, Array]) -> Array:
    """(n, d) in spreads, from the nearest centre."""
    scaled, centres = rows / learned["spread"], learned["centres"] / learned["spread"]
    nearest = _squares(scaled, centres).argmin(axis=1)
    differences: Array = np.clip(scaled - centres[nearest], -_FARTHEST, _FARTHEST)
    return differences


def _lengths(moved: Array, learned: Mapping[str, Array]) -> Array:
    """(n, 2) broad and narrow length of (n, d) mean differences."""
    broad = np.sqrt(np.square(moved @ learned["whiten"]).mean(axis=1))
    return np.column_stack([broad, np.abs(moved).max(axis=1)])


def _left_out(rows: Array) -> Array:
    """(n, 2) lengths of rows that were not learned from: left out in blocks, one after another."""
    block = max(min(_BLOCK, len(rows) // 5), 1)
    judged = []
    for start in range(0, len(rows), block):
        learned = _fit(np.delete(rows, np.s_[start : start + block], axis=0))
        first = max(start - AVERAGED + 1, 0)
        differences = _differences(rows[first : start + block], learned)
        judged.append(_lengths(_trailing_mean(differences), learned)[start - first :])
    return np.concatenate(judged)


def _trailing_mean(rows: Array) -> Array:
    """(n, d) `Novelty.moved` after each row."""
    sums = np.cumsum(np.vstack([np.zeros((1, rows.shape[1])), rows]), axis=0)
    end = np.arange(1, len(rows) + 1)
    begin = np.maximum(end - AVERAGED, 0)
    means: Array = (sums[end] - sums[begin]) / np.sqrt(AVERAGED * (end - begin))[:, None]
    return means
