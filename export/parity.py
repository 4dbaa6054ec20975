"""The gate: the device's engines against the float model, on data kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from contract.spec import Floats, OperatingPoint, Workload
from training.metrics import sqnr_db
from training.recipes import Recipe
from training.watch import Seen, judge

FLOAT = "float"


class ParityError(RuntimeError):
    """A quantized model lost more than its workload tolerates."""


@dataclass(frozen=True)
class Comparison:
    """Float against every engine.

    Attributes:
        metrics: by engine and for `float`; engines also have `sqnr_db`.
        losses: by engine, then by metric: how much worse than float, positive is worse.
        outputs: by stage, then by engine and for `float`: all outputs in order, flattened.
        tolerances: by metric, what an engine may lose.
    """

    metrics: dict[str, dict[str, float]]
    losses: dict[str, dict[str, float]]
    outputs: dict[str, dict[str, Floats]]
    tolerances: dict[str, float]


def compare(
    workload: Workload,
    recipe: Recipe,
    seen: Mapping[str, Sequence[Seen]],
    point: OperatingPoint,
) -> Comparison:
    """Measure float model and engines on the same recordings.

    Args:
        workload: names the tolerances.
        recipe: has the metrics and their directions, and says what few data can tell.
        seen: recordings kept apart, by engine and for `float`.
        point: chosen for the engines, used for all.
    """
    metrics = {
        name: recipe.metrics([judge(workload, one, point) for one in recordings])
        for name, recordings in seen.items()
    }
    tolerances = dict(workload.tolerances)
    if recipe.tolerances is not None:
        tolerances = dict(recipe.tolerances(tolerances, metrics[FLOAT]))
    unknown = set(tolerances) - (set(metrics[FLOAT]) & set(recipe.bigger_is_better))
    if unknown:
        raise ParityError(
            f"{workload.name}: tolerance for {', '.join(sorted(unknown))}, which its recipe does "
            "not measure or give a direction for; fix: add it to `metrics` and `bigger_is_better`"
        )
    engines = [name for name in seen if name != FLOAT]
    losses = {
        name: {
            metric: (metrics[FLOAT][metric] - metrics[name][metric])
            * (1.0 if recipe.bigger_is_better[metric] else -1.0)
            for metric in tolerances
        }
        for name in engines
    }
    outputs = {
        stage: {name: _outputs(stage, recordings) for name, recordings in seen.items()}
        for stage in recipe.stages
    }
    for name in engines:
        ratios = [sqnr_db(by[FLOAT], by[name]) for by in outputs.values()]
        metrics[name]["sqnr_db"] = min(ratios)
    return Comparison(metrics, losses, outputs, tolerances)


def gate(compared: Comparison) -> None:
    """Refuse what lost more than is tolerated, or is not a number.

    Raises:
        ParityError: with metric, float, int8 and tolerance of everything that failed.
    """
    failed = [
        f"{metric} with {engine}: float {compared.metrics[FLOAT][metric]:.4g}, "
        f"int8 {compared.metrics[engine][metric]:.4g}, tolerance {compared.tolerances[metric]:.4g}"
        for engine, losses in compared.losses.items()
        for metric, loss in losses.items()
        if not loss <= compared.tolerances[metric]
    ]
    if failed:
        raise ParityError(
            f"{'; '.join(failed)}: no bundle written; fix: train longer, widen the calibration "
            "set, or choose layers that quantize better"
        )


def _outputs(stage: str, seen: Sequence[Seen]) -> Floats:
    """All outputs of one stage, flattened."""
    made = [outputs.ravel() for one in seen for _, outputs in one.passes[stage]]
    return np.concatenate(made)
