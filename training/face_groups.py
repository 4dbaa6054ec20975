"""Groups of people at one and the same threshold: how differently verification serves them.

Thresholds of their own would hide it: NISTIR 8280 (Grother, Ngan, Hanaoka, 2019). The counts stand
beside every rate: with a few dozen pairs an interval reaches over most of what one would like to
know, and nothing beyond it may be claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from contract.spec import Array
from training.face_pairs import Pairs
from training.protocols import Row
from training.verification import exact_interval, match_rate, over_persons, spread, threshold_at

OVERALL_FMR = 0.01
EVERYBODY = "all"
MIXED = "two groups"
_SEED = 0


def table(pairs: Pairs, groups: Sequence[str], threshold: float) -> tuple[Row, ...]:
    """A row for each group, one for pairs across groups and one for all pairs.

    Args:
        pairs: all.
        groups: of each person.
        threshold: shipped.

    Returns:
        for each: `persons`; `genuine_pairs` of one person, `false_non_matches` of them at the
        shipped threshold and the exact interval of this rate; the same of `impostor_pairs`, of two
        persons of the group, and `false_matches`; ending on `_at_1pct` the same at the threshold
        at which 1 % of all impostor pairs match, with an interval over persons as well.
    """
    global_threshold = threshold_at(pairs.impostor, OVERALL_FMR)
    rows = []
    for name, which in {**_by_group(pairs, groups), EVERYBODY: np.ones(len(pairs), bool)}.items():
        some = pairs.only(which)
        row: Row = {"name": name, "persons": len(np.unique([some.first, some.second]))}
        for suffix, limit in (("", threshold), ("_at_1pct", global_threshold)):
            row |= _wrong(some, some.is_same, "fnmr", limit, suffix)
            row |= _wrong(some, ~some.is_same, "fmr", limit, suffix)
        rows.append(row)
    return tuple(rows)


def _wrong(pairs: Pairs, of: Array, rate: str, threshold: float, suffix: str) -> Row:
    """Counts, rate and intervals of one kind of error."""
    kind, error = _WORDS[rate]
    some = pairs.only(of)
    is_wrong = some.scores < threshold if rate == "fnmr" else some.scores >= threshold
    low, high = exact_interval(int(is_wrong.sum()), len(some)) if len(some) else (None, None)
    row: Row = {} if suffix else {kind: len(some)}
    row |= {
        error + suffix: int(is_wrong.sum()),
        rate + suffix: float(is_wrong.mean()) if len(some) else None,
        f"{rate}{suffix}_low": low,
        f"{rate}{suffix}_high": high,
    }
    if suffix:
        low, high = (
            over_persons(is_wrong, some.first, some.second, seed=_SEED)
            if len(some)
            else (None, None)
        )
        row |= {f"{rate}{suffix}_persons_low": low, f"{rate}{suffix}_persons_high": high}
    return row


_WORDS: Mapping[str, tuple[str, str]] = {
    "fnmr": ("genuine_pairs", "false_non_matches"),
    "fmr": ("impostor_pairs", "false_matches"),
}


def differences(pairs: Pairs, groups: Sequence[str]) -> dict[str, float]:
    """How far the groups are apart at the one threshold at which 1 % of all impostor pairs match.

    Args:
        pairs: all.
        groups: of each person.

    Returns:
        `threshold_at_1pct`; `fmr_at_1pct`, what it is over all pairs; `fmr_max`, the highest of a
        group; `fmr_max_over_overall`, its ratio to that over all pairs; of the groups' accuracies,
        one less the mean of FMR and FNMR: `group_accuracy_sd`, `group_accuracy_gap` and
        `group_ser`. What a set is too small for is left out.
    """
    threshold = threshold_at(pairs.impostor, OVERALL_FMR)
    fmr, accuracy = {}, []
    for name, which in _by_group(pairs, groups).items():
        some = pairs.only(which)
        if name != MIXED and len(some.impostor):
            fmr[name] = match_rate(some.impostor, threshold)
            if len(some.genuine):
                fnmr = float(np.mean(some.genuine < threshold))
                accuracy.append(1 - (fmr[name] + fnmr) / 2)
    overall = match_rate(pairs.impostor, threshold)
    metrics = {"threshold_at_1pct": threshold, "fmr_at_1pct": overall}
    if fmr:
        metrics["fmr_max"] = max(fmr.values())
    if fmr and overall:
        metrics["fmr_max_over_overall"] = max(fmr.values()) / overall
    if accuracy:
        of_groups = spread(accuracy)
        metrics["group_accuracy_sd"] = of_groups.sd
        metrics["group_accuracy_gap"] = of_groups.gap
        if of_groups.ser is not None:
            metrics["group_ser"] = of_groups.ser
    return metrics


def _by_group(pairs: Pairs, groups: Sequence[str]) -> dict[str, Array]:
    """(n,) bool for each group, both persons of it; then the pairs across groups."""
    of_person = np.array(groups)
    first, second = of_person[pairs.first], of_person[pairs.second]
    within = {str(name): (first == name) & (second == name) for name in np.unique(of_person)}
    return {**within, MIXED: first != second}
