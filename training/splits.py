"""Training, validation and test: by machine, person or page, never by sample.

Two windows of one machine are nearly the same window; a split by sample would let a model be
tested on what it has learned.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from training.datasets import DataSet, Recording

SPLITS = ("training", "validation", "test")
_KEPT_APART = 0.2  # share of the groups for validation, and as many for test
_DEALS = 200  # tried where groups differ in what they hold


def split(
    names: Sequence[str],
    *,
    seed: int,
    uses_all: bool = False,
    tests: bool = True,
    classes: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, list[str]]:
    """Deal groups out, the same for the same names and seed on every machine.

    Args:
        names: of the groups of one data set.
        seed: of the run.
        uses_all: nothing is kept apart: validation and test are parts of training.
        tests: whether any are kept for test.
        classes: how many rows of each class a group has, by name. Of many deals the one is taken
            whose splits hold most nearly the same share of every class (a stratified group split).

    Returns:
        names by split, sorted; validation and test hold at least one group each as soon as there
        are three.
    """
    groups = sorted(set(names))
    apart = max(round(_KEPT_APART * len(groups)), 1) if len(groups) >= 3 else 0
    ends = [apart, 2 * apart] if tests else [apart]
    dealt = _deal(groups, f"{seed}")
    if apart and classes and any(classes.values()):
        deals = [dealt, *(_deal(groups, f"{seed}/{number}") for number in range(1, _DEALS))]
        total = _rows(groups, classes)
        dealt = min(deals, key=lambda deal: _unevenness(deal, ends, classes, total))
    return {
        "training": sorted(dealt if uses_all else dealt[ends[-1] :]),
        "validation": sorted(dealt[:apart]),
        "test": sorted(dealt[apart : ends[-1]]),
    }


def _deal(groups: Sequence[str], salt: str) -> list[str]:
    """In an order of hashes: a new group leaves that of the others as it was."""
    return sorted(groups, key=lambda name: hashlib.sha256(f"{salt}/{name}".encode()).digest())


def _unevenness(
    dealt: Sequence[str],
    ends: Sequence[int],
    classes: Mapping[str, Mapping[str, int]],
    total: Mapping[str, int],
) -> float:
    """How far at most the share of a class that is kept apart is from what it should be.

    Args:
        dealt: names of all groups.
        ends: of what is kept apart, from the start on.
        classes: as in `split`.
        total: rows of each class in all groups.
    """
    parts = [_rows(dealt[end - ends[0] : end], classes) for end in ends]
    return max(abs(part[one] / total[one] - _KEPT_APART) for part in parts for one in total)


def _rows(groups: Sequence[str], classes: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in groups:
        found.update(classes[name])
    return found


def recordings(
    datasets: Sequence[DataSet],
    which: str,
    *,
    seed: int,
    uses_all: bool = False,
    tests: bool = True,
) -> tuple[Recording, ...]:
    """The recordings of one split, each data set dealt out by itself.

    Args:
        datasets: all data of a recipe.
        which: one of `SPLITS`.
        seed: of the run.
        uses_all: as in `split`.
        tests: likewise.
    """
    chosen = []
    for dataset in datasets:
        classes = {one.name: one.classes for one in dataset.recordings}
        dealt = split(list(classes), seed=seed, uses_all=uses_all, tests=tests, classes=classes)
        of_split = set(dealt[which])
        chosen += [one for one in dataset.recordings if one.name in of_split]
    return tuple(chosen)
