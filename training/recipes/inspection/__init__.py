"""What all ways to learn to inspect parts share: pictures, metrics and the decision.

Data: `--data DIR` with labelled pictures of parts (`training.datasets.inspect_parts`). Split by
item; a fifth of the items is kept apart, to choose the best epoch and the thresholds on.

Command: vedette train inspection --data DIR --method edge

Each file in this folder defines `METHODS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from contract import defects, drift_learn, workloads
from contract.inspection import Part
from contract.spec import Array, OperatingPoint
from training import datasets, decision, inspection_metrics, inspection_report, parts
from training.datasets import DataError, DataSet
from training.parts import GOOD, Item
from training.recipes import Recipe
from training.watch import Seen, Watched, judge

_WORKLOAD = workloads.load("inspection")
_ANY = OperatingPoint(1.0, 1.0, chosen_on="nothing yet", measured={})


def sources(root: Path, _seed: int) -> tuple[DataSet, ...]:
    """The folder itself.

    Raises:
        DataError: it holds no pictures of parts.
    """
    dataset = datasets.open_folder(root)
    if not any(isinstance(one, Item) for one in dataset.recordings):
        raise DataError(
            f"{root}: no pictures of parts; fix: --data with a folder of good and defective ones"
        )
    if len(dataset.recordings) < 3:
        raise DataError(
            f"{root}: {len(dataset.recordings)} items, at least 3 are needed to keep one apart; "
            "fix: more items, or a column `item` in labels.csv that tells them apart"
        )
    return (dataset,)


def learn(
    training: Sequence[Seen], apart: Sequence[Seen], given: dict[str, Array]
) -> dict[str, Array]:
    """What good parts look like, for drift to be told; nothing where they are too few.

    Args:
        training: of the items learned from.
        apart: of those kept apart, whose scores are like a device's.
        given: what the scores are judged by.
    """
    rows = []
    for seen, is_apart in (*((one, False) for one in training), *((one, True) for one in apart)):
        labels = parts.labels(parts.items([seen.recording]))
        for part, label in zip(_parts(seen), labels, strict=True):
            if label == GOOD:
                score = _score(part, given) if is_apart else np.nan
                rows.append((part.looks, score, seen.recording.name))
    if len(rows) < drift_learn.LEAST_PARTS:
        return {}
    looks, scores, names = zip(*rows, strict=True)
    return drift_learn.learn(looks, np.array(scores), items=names)


def _parts(seen: Seen) -> list[Part]:
    return [one for found in seen.found for one in found if isinstance(one, Part)]


def _score(part: Part, given: dict[str, Array]) -> float:
    assert part.features is not None
    return defects.score(defects.heat(part.features, given))


def measure(watched: Sequence[Watched]) -> dict[str, float]:
    """See `training.inspection_metrics.figures`."""
    return inspection_metrics.figures(inspection_metrics.of_watched(watched))


def tolerances(stated: Mapping[str, float], measured: Mapping[str, float]) -> dict[str, float]:
    """One defect of those kept apart may fall behind all good parts: of few it is no sign.

    Neither is it when pairs change places that int8 ranks by chance. Nothing is asked where no
    defect was kept apart, for nothing can be said then.
    """
    few = min(measured["defects"], measured["good"])
    if not few:
        return {}
    by_chance = measured["too_close"] / 2.0
    return {name: max(most, 1.0 / few) + by_chance for name, most in stated.items()}


def operating_point(seen: Sequence[Seen]) -> OperatingPoint:
    """Thresholds by `training.decision`, of the parts given."""
    decided = inspection_metrics.of_watched([judge(_WORKLOAD, one, _ANY) for one in seen])
    return decision.choose(decided, items=len(seen))


RECIPE = Recipe(
    sources=sources,
    stages={},
    metrics=measure,
    bigger_is_better={"auroc": True, "ap": True},
    operating_point=operating_point,
    group="item",
    sections=inspection_report.sections,
    learn=learn,
    tolerances=tolerances,
    tests=False,
    chosen_on=("validation",),
    onednn=True,
)
