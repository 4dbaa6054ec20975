"""How well scores tell people apart, with the words and definitions of ISO/IEC 19795-1:2021.

A comparison scores two pictures; at or above the threshold they match. FMR is the share of
comparisons of different persons that match, FNMR the share of comparisons of one person that do
not. A search compares one picture with everybody enrolled. FPIR is the share of searches for people
who are not enrolled that return anybody, FNIR the share of searches for enrolled people that do not
return them. -inf as a score stands for a face that was not found: it never matches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Floats

CONFIDENCE = 0.95
FOLDS = 10


def cosines(rows: Floats, columns: Floats) -> Array:
    """Cosine of the angle between every two embeddings.

    Args:
        rows: (n, d) float32.
        columns: (m, d) float32.

    Returns:
        (n, m) float64 in [-1, 1]; 0.0 with an embedding of length zero.
    """
    return _unit(rows) @ _unit(columns).T


def paired_cosines(first: Floats, second: Floats) -> Array:
    """Cosine of the angle between the embeddings of each pair.

    Args:
        first: (n, d) float32.
        second: (n, d) float32.

    Returns:
        (n,) float64 in [-1, 1]; 0.0 with an embedding of length zero.
    """
    return np.einsum("nd,nd->n", _unit(first), _unit(second))


def _unit(rows: Floats) -> Array:
    wide = np.asarray(rows, np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)


def match_rate(scores: Array, threshold: float) -> float:
    """Share of comparisons that match: FMR over different persons, 1 - FNMR over the same.

    Args:
        scores: (n,) not empty.
        threshold: a score at or above it matches.
    """
    return float(np.mean(scores >= threshold))


def threshold_at(impostor: Array, rate: float) -> float:
    """The lowest threshold at which at most this share matches.

    With fewer than 1 / `rate` scores none may match: the threshold is just above the highest.

    Args:
        impostor: (n,) scores of different persons, not empty.
        rate: 0 to 1, of them that may match.
    """
    allowed = int(rate * len(impostor) + 1e-9)
    if allowed >= len(impostor):
        return -math.inf
    return float(np.nextafter(np.sort(impostor)[-1 - allowed], math.inf))


def tar_at_fmr(genuine: Array, impostor: Array, fmr: float) -> float:
    """True accept rate, 1 - FNMR, at the lowest threshold whose FMR is at most `fmr`.

    Args:
        genuine: (n,) scores of the same person, not empty.
        impostor: (m,) scores of different persons, not empty.
        fmr: 0 to 1.
    """
    return match_rate(genuine, threshold_at(impostor, fmr))


def eer(genuine: Array, impostor: Array) -> float:
    """Equal error rate: FMR and FNMR where they cross, on a straight line between two thresholds.

    Args:
        genuine: (n,) scores of the same person, not empty.
        impostor: (m,) scores of different persons, not empty.
    """
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    thresholds = np.append(thresholds, np.nextafter(thresholds[-1], math.inf))
    fnmr = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    fmr = 1 - np.searchsorted(np.sort(impostor), thresholds, side="left") / len(impostor)
    ahead = fmr - fnmr  # falls from 1 to -1
    after = int(np.argmax(ahead <= 0))
    before = after - 1
    share = ahead[before] / (ahead[before] - ahead[after])
    return float(fmr[before] + share * (fmr[after] - fmr[before]))


def ten_fold(scores: Array, is_same: Array, fold: Array) -> Array:
    """Accuracy on each fold at the threshold that is best on all the others.

    Huang, Ramesh, Berg, Learned-Miller, "Labeled Faces in the Wild", UMass report 07-49, 2007. All
    thresholds between two scores are tried, where published code often tries a grid; of equally
    good ones the middle one is taken.

    Args:
        scores: (n,) of comparisons.
        is_same: (n,) bool, of the same person.
        fold: (n,) int, which fold each belongs to; at least two.

    Returns:
        (folds,) share of comparisons decided right, in the order of the folds' numbers.
    """
    right = []
    for number in np.unique(fold):
        inside = fold == number
        threshold = best_threshold(scores[~inside], is_same[~inside])
        right.append(np.mean((scores[inside] >= threshold) == is_same[inside]))
    return np.array(right)


def best_threshold(scores: Array, is_same: Array) -> float:
    """The threshold that decides most comparisons right, in the middle of the equally good.

    Args:
        scores: (n,) of comparisons, not empty.
        is_same: (n,) bool, of the same person.
    """
    finite = np.unique(scores[np.isfinite(scores)])
    if not len(finite):
        return 0.0
    tried = np.concatenate([finite[:1], (finite[:-1] + finite[1:]) / 2, finite[-1:] + 1e-9])
    missed = np.searchsorted(np.sort(scores[is_same]), tried, side="left")
    refused = np.searchsorted(np.sort(scores[~is_same]), tried, side="left")
    best = np.flatnonzero((refused - missed) == (refused - missed).max())
    return float(tried[best[len(best) // 2]])


def exact_interval(hits: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a rate by the binomial distribution itself.

    Clopper and Pearson, Biometrika 26(4), 1934. It holds for independent trials; comparisons that
    share a person are not, so over all pairs it is too narrow, if anything.

    Args:
        hits: 0 to `of`.
        of: trials, at least 1.
        confidence: of the two-sided interval.

    Returns:
        lower and upper limit of the rate.
    """
    tail = (1 - confidence) / 2
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, of + 1)))])
    counts = np.arange(of + 1)
    ways = logs[of] - logs[counts] - logs[of - counts]

    def chance(rate: float, least: int, most: int) -> float:
        """Of `least` to `most` hits."""
        some = slice(least, most + 1)
        log = ways[some] + counts[some] * math.log(rate) + (of - counts[some]) * math.log1p(-rate)
        return float(np.exp(log).sum())

    lower = _crossing(lambda rate: chance(rate, hits, of) < tail) if hits else 0.0
    upper = _crossing(lambda rate: chance(rate, 0, hits) > tail) if hits < of else 1.0
    return lower, upper


def _crossing(is_below: Callable[[float], bool]) -> float:
    """The rate from 0 to 1 up to which something holds."""
    low, high = 0.0, 1.0
    for _ in range(60):  # to the last bit of a double
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return high


def over_persons(
    is_hit: Array,
    first: Array,
    second: Array,
    *,
    seed: int,
    resamples: int = 1000,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Interval of a rate over pairs if other persons of the same kind had been met.

    Bootstrap by person, not by pair, since the pairs of one person go wrong together: Bolle, Ratha,
    Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap", CVIU 93(1),
    2004. A pair counts as often as both its persons were drawn. Without a single hit it can but
    say 0 to 0: then the exact interval is the one to quote.

    Args:
        is_hit: (n,) bool, what happened in each pair; not empty.
        first: (n,) int, person of one picture.
        second: (n,) int, person of the other.
        seed: of the draws.
        resamples: how many.
        confidence: of the two-sided interval.

    Returns:
        lower and upper limit of the rate.
    """
    names, both = np.unique([first, second], return_inverse=True)
    first, second = both.reshape(2, -1)
    persons = len(names)
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(0, persons, persons), minlength=persons)
        weight = np.where(first == second, times[first], times[first] * times[second])
        if weight.sum():
            rates.append((weight * is_hit).sum() / weight.sum())
    if not rates:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Spread:
    """How differently groups are served: the measures of the Racial Faces in the Wild papers.

    Wang and Deng, "Mitigating Bias in Face Recognition using Skewness-Aware Reinforcement
    Learning", CVPR 2020.

    Attributes:
        sd: standard deviation of the groups' accuracies, over all groups (n, not n - 1).
        gap: highest less lowest accuracy.
        ser: skewed error ratio, highest over lowest error; None where a group has no error.
    """

    sd: float
    gap: float
    ser: float | None


def spread(accuracies: Sequence[float]) -> Spread:
    """The spread of several groups' accuracies.

    Args:
        accuracies: 0 to 1, one for each group, at least one.
    """
    errors = 1 - np.array(accuracies)
    least, most = float(errors.min()), float(errors.max())
    return Spread(float(errors.std()), most - least, most / least if least > 0 else None)


def fnir_at_fpir(enrolled: Array, strangers: Array, fpir: float) -> float:
    """Share of searches for enrolled people in vain, where this share of strangers is named.

    Args:
        enrolled: (n,) score of the right person, -inf where somebody else scored higher; not empty.
        strangers: (m,) highest score of each search for somebody not enrolled; not empty.
        fpir: 0 to 1; the lowest threshold is taken whose FPIR is at most this.
    """
    return 1 - match_rate(enrolled, threshold_at(strangers, fpir))
