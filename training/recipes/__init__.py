"""The registry: a file in this folder that defines `RECIPE` trains the workload of its name.

Where there are several ways to train one, a folder of the workload's name holds them: its
`__init__.py` defines `RECIPE`, all that they share, with `stages` empty; every file beside it
defines `METHODS`, stages by the name of the method.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.spec import Array, Floats, OperatingPoint, Workload

if TYPE_CHECKING:
    from training.datasets import DataSet, Recording
    from training.report import Section
    from training.run import Run
    from training.watch import Seen, Watched
    from training.weights import Weight

Examples = tuple[Any, Floats]  # inputs are float32 too, or give such


@dataclass(frozen=True)
class StageRecipe:
    """How the model of one stage is trained.

    Attributes:
        data: recordings of one split -> inputs (n, *input_shape) and targets (n, ...), float32.
        model: input shape, training inputs -> an uncompiled Keras model.
        augment: one epoch's examples from all of them, fresh with every epoch's generator.
        loss: a Keras loss by name, or (targets, outputs) -> a number for each row.
        epochs, batch, learning_rate: the rate falls to zero along half a cosine.
        calibration: recordings of the training split -> inputs (n, *input_shape) to quantize with,
            where the training examples do not show all that a device will see.
        by_batch: `augment` is given one batch after the other, and `data` may give inputs of any
            type that has a length and gives the rows of an array of numbers, so that they need not
            all be in memory.
        head: model, training targets -> what is fitted: the model with more on top, which is not
            kept.
        schedule: training targets, share of the training done (0 to 1) -> those of this epoch.
        validate: model without its head, validation examples -> what takes the place of the
            validation loss; the lower the better.
        optimizer: learning rate, steps of an epoch, epochs -> a Keras optimizer, instead of Adam
            along the cosine.
        rows: model, training examples, generator -> which rows an epoch goes over, in which order,
            instead of each once.
        steps: batches of an epoch, instead of as many as there are rows for.
        learn: seen recordings of training -> arrays that travel with the model, by which what it
            gives is judged; of a model that nothing of is fitted, `epochs` is 0.
        settles: share of the epochs before the best is looked for: with few examples kept apart
            chance favours an early one.
        explain: the trained Keras model, recordings kept for validation -> sections of the report
            on what it looks at.
        weights: published ones that it begins with or learns from; the bundle tells their terms.
    """

    data: Callable[[Sequence[Recording]], Examples]
    model: Callable[[tuple[int, ...], Floats], Any]
    augment: Callable[[Any, Floats, np.random.Generator], Examples]
    loss: str | Callable[[Any, Any], Any]
    epochs: int
    batch: int
    learning_rate: float
    calibration: Callable[[Sequence[Recording]], Floats] | None = None
    by_batch: bool = False
    head: Callable[[Any, Floats], Any] | None = None
    schedule: Callable[[Floats, float], Floats] | None = None
    validate: Callable[[Any, Examples], float] | None = None
    optimizer: Callable[[float, int, int], Any] | None = None
    rows: Callable[[Any, Examples, np.random.Generator], Array] | None = None
    steps: int | None = None
    learn: Callable[[Sequence[Seen]], dict[str, Array]] | None = None
    settles: float = 0.0
    explain: Callable[[Any, Sequence[Recording]], list[Section]] | None = None
    weights: Sequence[Weight] = ()


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
        group: what one recording is of, in one word.
        workload: as training sees it, where that is not the whole of it: recordings may hold what
            the stages before have made.
        prepare: done once for each recording before anything else, beside a bar.
        sections: run, watched recordings kept apart -> sections of the report, instead of those
            about lives.
        tests: whether a fifth of the groups is kept for test; without, it is learned from, and
            what is measured is measured on those kept for validation.
        chosen_on: the splits whose groups the operating point is chosen on; empty: all that are
            not kept for test.
        learn: seen recordings of training, those that the operating point is chosen on, and what
            the stages have learned -> more arrays that travel with the models; None: there are
            none.
        tolerances: the workload's, metrics of the float model -> what is tolerated on data as few
            as these; None: the workload's.
        onednn: whether its networks are trained with `training.backend.with_onednn`.
    """

    sources: Callable[[Path, int], tuple[DataSet, ...]]
    stages: Mapping[str, StageRecipe]
    metrics: Callable[[Sequence[Watched]], dict[str, float]]
    bigger_is_better: Mapping[str, bool]
    operating_point: Callable[[Sequence[Seen]], OperatingPoint]
    group: str = "machine"
    workload: Workload | None = None
    prepare: Callable[[Recording], object] | None = None
    sections: Callable[[Run, Sequence[Watched]], list[Section]] | None = None
    tests: bool = True
    chosen_on: tuple[str, ...] = ()
    learn: Callable[[Sequence[Seen], Sequence[Seen], dict[str, Array]], dict[str, Array]] | None = (
        None
    )
    tolerances: Callable[[Mapping[str, float], Mapping[str, float]], Mapping[str, float]] | None = (
        None
    )
    onednn: bool = False


def names() -> list[str]:
    """Workloads that a single recipe trains, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def with_methods() -> list[str]:
    """Workloads that there are several ways to train, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)


def methods(name: str) -> list[str]:
    """Names of the ways to train a workload, sorted; empty where there is but its recipe."""
    return sorted(_methods(name)) if name in with_methods() else []


def load(name: str, method: str = "") -> Recipe:
    """The recipe for the workload called `name`.

    Args:
        name: of the workload.
        method: one of `methods`; empty where there are none.

    Raises:
        LookupError: no such workload, or no such method.
    """
    known = [*names(), *with_methods()]
    if name not in known:
        raise LookupError(f"no recipe {name!r}; known: {', '.join(known)}")
    recipe = importlib.import_module(f"{__name__}.{name}").RECIPE
    assert isinstance(recipe, Recipe)
    if name in names() and not method:
        return recipe
    of_method = _methods(name) if name in with_methods() else {}
    if method not in of_method:
        asked = f"no method {method!r}" if method else "no method named"
        raise LookupError(f"{name}: {asked}; known: {', '.join(sorted(of_method)) or 'none'}")
    return replace(recipe, stages=of_method[method])


def _methods(name: str) -> dict[str, Mapping[str, StageRecipe]]:
    """Stages by method, of all files in a workload's folder."""
    package = importlib.import_module(f"{__name__}.{name}")
    return {
        method: stages
        for file in pkgutil.iter_modules(package.__path__)
        for method, stages in importlib.import_module(
            f"{package.__name__}.{file.name}"
        ).METHODS.items()
    }
