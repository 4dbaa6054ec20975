"""Training, validation and test: by machine, person or page, never by sample.

Two windows of one machine are nearly the same window; a split by sample would let a model be
tested on what it has learned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from training.datasets import DataSet, Recording

SPLITS = ("training", "validation", "test")
_KEPT_APART = 0.2  # share of the groups for validation, and as many for test


def split(
    names: Sequence[str], *, seed: int, uses_all: bool = False, tests: bool = True
) -> dict[str, list[str]]:
    """Deal groups out, the same for the same names and seed on every machine.

    Args:
        names: of the groups of one data set.
        seed: of the run.
        uses_all: nothing is kept apart: validation and test are parts of training.
        tests: whether any are kept for test.

    Returns:
        names by split, sorted; validation and test hold at least one group each as soon as there
        are three.
    """
    # hashes, not a generator: a new group leaves the order of the others as it was
    dealt = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    apart = max(round(_KEPT_APART * len(dealt)), 1) if len(dealt) >= 3 else 0
    tested = 2 * apart if tests else apart
    return {
        "training": sorted(dealt if uses_all else dealt[tested:]),
        "validation": sorted(dealt[:apart]),
        "test": sorted(dealt[apart:tested]),
    }


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
        names = [recording.name for recording in dataset.recordings]
        of_split = set(split(names, seed=seed, uses_all=uses_all, tests=tests)[which])
        chosen += [one for one in dataset.recordings if one.name in of_split]
    return tuple(chosen)
