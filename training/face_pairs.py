"""Pictures compared two by two: what all protocols of verification share.

A face that was not found scores -inf: in ISO/IEC 19795-1 a failure to acquire, which matches
nobody. Rates over the pairs of found faces alone are given beside those that count it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Floats
from training.face_protocols import Met
from training.verification import (
    FOLDS,
    eer,
    exact_interval,
    match_rate,
    paired_cosines,
    tar_at_fmr,
    ten_fold,
)

FMRS = {"1e2": 1e-2, "1e3": 1e-3}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Comparisons of two pictures each.

    Attributes:
        scores: (n,) float64 cosines; -inf where a face was not found.
        first, second: (n,) int from 0, the person on each picture.
    """

    scores: Array
    first: Array
    second: Array

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def is_same(self) -> Array:
        """(n,) bool: one person on both pictures."""
        return self.first == self.second

    @property
    def genuine(self) -> Array:
        """(m,) scores of those of one person."""
        return self.scores[self.is_same]

    @property
    def impostor(self) -> Array:
        """(m,) scores of those of two persons."""
        return self.scores[~self.is_same]

    def only(self, which: Array) -> Pairs:
        """Some of them: (n,) bool."""
        return Pairs(self.scores[which], self.first[which], self.second[which])

    @property
    def found(self) -> Pairs:
        """Those whose faces were both found."""
        return self.only(np.isfinite(self.scores))

    @property
    def is_complete(self) -> bool:
        """Whether there are pairs of one person and pairs of two."""
        return bool(self.is_same.any() and not self.is_same.all())


def compare(met: Sequence[Met], pairs: Array, *, by_float: bool = False) -> Pairs:
    """Compare pictures.

    Args:
        met: everybody.
        pairs: (n, 2) int, numbers of pictures, counted through over all of `met`.
        by_float: with the embeddings of the float model.
    """
    vectors = [v for one in met for v in (one.floats if by_float else one.vectors)]
    persons = np.repeat(np.arange(len(met)), [len(one.vectors) for one in met])
    first, second = pairs.T
    return Pairs(_scores(vectors, first, second), persons[first], persons[second])


def _scores(vectors: Sequence[Floats | None], first: Array, second: Array) -> Array:
    is_found = np.array([vector is not None for vector in vectors])
    if not is_found.any():
        return np.full(len(first), -np.inf)
    place = np.cumsum(is_found) - 1
    rows = np.stack([vector for vector in vectors if vector is not None])
    both = is_found[first] & is_found[second]
    scores = np.full(len(first), -np.inf)
    scores[both] = paired_cosines(rows[place[first[both]]], rows[place[second[both]]])
    return scores


def verification(pairs: Pairs, threshold: float) -> dict[str, float]:
    """Error rates over all pairs, and at the shipped threshold.

    Args:
        pairs: of one person and of two, some of each with both faces found.
        threshold: shipped.

    Returns:
        `eer`, `tar_at_fmr_1e2`, `tar_at_fmr_1e3` over the pairs whose faces were found;
        `eer_misses_counted`, over all; `genuine_pairs` and `impostor_pairs`, all of them;
        `false_matches` and `false_non_matches` of these at the shipped threshold, as rates `fmr`
        and `fnmr` with exact intervals `_low` and `_high`. Where no such face was found at all,
        `eer` is 1.0 and nothing is accepted.
    """
    found = pairs.found
    is_complete = found.is_complete
    metrics = {
        "eer": eer(found.genuine, found.impostor) if is_complete else 1.0,
        "eer_misses_counted": eer(pairs.genuine, pairs.impostor) if is_complete else 1.0,
        "genuine_pairs": float(len(pairs.genuine)),
        "impostor_pairs": float(len(pairs.impostor)),
        "threshold": threshold,
    }
    for name, fmr in FMRS.items():
        tar = tar_at_fmr(found.genuine, found.impostor, fmr) if is_complete else 0.0
        metrics[f"tar_at_fmr_{name}"] = tar
    for rate, plural, wrong in (
        ("fmr", "false_matches", pairs.impostor >= threshold),
        ("fnmr", "false_non_matches", pairs.genuine < threshold),
    ):
        low, high = exact_interval(int(wrong.sum()), len(wrong))
        metrics |= {plural: float(wrong.sum()), rate: match_rate(wrong, 1)}
        metrics |= {f"{rate}_low": low, f"{rate}_high": high}
    return metrics


def eer_by_float(pairs: Pairs) -> dict[str, float]:
    """`eer_float`, over the same pairs with the float model; nothing where there is none."""
    found = pairs.found
    return {"eer_float": eer(found.genuine, found.impostor)} if found.is_complete else {}


def balanced_ten_fold(pairs: Pairs, *, seed: int) -> dict[str, float]:
    """Accuracy over ten folds, with as many pairs of two persons as of one.

    The larger kind is drawn from at random, and both are dealt out at random; folds are not apart
    by person, of which there are too few.

    Args:
        pairs: of one person and of two.
        seed: of the draw.

    Returns:
        `accuracy_10_fold`, its standard deviation over folds `accuracy_10_fold_sd`, and
        `accuracy_10_fold_pairs`; nothing with fewer than ten pairs of either kind.
    """
    rng = np.random.default_rng(seed)
    kinds = [rng.permutation(np.flatnonzero(pairs.is_same == kind)) for kind in (True, False)]
    each = min(len(kind) for kind in kinds)
    if each < FOLDS:
        return {}
    drawn = pairs.only(np.concatenate([kind[:each] for kind in kinds]))
    right = ten_fold(drawn.scores, drawn.is_same, np.arange(2 * each) % FOLDS)
    return {
        "accuracy_10_fold": float(right.mean()),
        "accuracy_10_fold_sd": float(right.std()),
        "accuracy_10_fold_pairs": float(2 * each),
    }
