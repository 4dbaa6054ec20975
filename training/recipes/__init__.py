"""The registry: a file in this folder that defines `RECIPE` trains the workload of its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.spec import Floats, OperatingPoint

if TYPE_CHECKING:
    from training.datasets import DataSet, Recording
    from training.watch import Seen, Watched

Examples = tuple[Floats, Floats]


@dataclass(frozen=True)
class StageRecipe:
    """How the model of one stage is trained.

    Attributes:
        data: recordings of one split -> inputs (n, *input_shape) and targets (n, ...), float32.
        model: input shape, training inputs -> an uncompiled Keras model.
        augment: one epoch's examples from all of them, fresh with every epoch's generator.
        loss: a Keras loss by name.
        epochs, batch, learning_rate: the rate falls to zero along half a cosine.
        calibration: recordings of the training split -> inputs (n, *input_shape) to quantize with,
            where the training examples do not show all that a device will see.
    """

    data: Callable[[Sequence[Recording]], Examples]
    model: Callable[[tuple[int, ...], Floats], Any]
    augment: Callable[[Floats, Floats, np.random.Generator], Examples]
    loss: str
    epochs: int
    batch: int
    learning_rate: float
    calibration: Callable[[Sequence[Recording]], Floats] | None = None


@dataclass(frozen=True)
class Recipe:
    """How a workload is trained and measured.

    Attributes:
        sources: root of all data, seed -> the data sets to learn from; never empty.
        stages: one for each stage with a model.
        metrics: watched recordings kept apart -> numbers by name; at least those the workload
            names a tolerance for.
        bigger_is_better: for each of these metrics, in which direction it is good.
        operating_point: seen recordings that are not kept for the test -> thresholds and scales,
            with the rates measured there.
    """

    sources: Callable[[Path, int], tuple[DataSet, ...]]
    stages: Mapping[str, StageRecipe]
    metrics: Callable[[Sequence[Watched]], dict[str, float]]
    bigger_is_better: Mapping[str, bool]
    operating_point: Callable[[Sequence[Seen]], OperatingPoint]


def names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Recipe:
    """The recipe for the workload called `name`.

    Raises:
        LookupError: no file of that name is in this folder.
    """
    if name not in names():
        raise LookupError(f"no recipe {name!r}; known: {', '.join(names())}")
    recipe = importlib.import_module(f"{__name__}.{name}").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe
