"""A run together with everything needed to work on it: definition, recipe and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract import workloads
from contract.spec import Array, Workload
from training import run as runs
from training.datasets import DataError, DataSet, Recording
from training.recipes import Recipe
from training.recipes import load as load_recipe
from training.watch import Seen


@dataclass(frozen=True)
class Job:
    """A run's folder, what was asked for, and what that means here."""

    folder: Path
    run: runs.Run
    workload: Workload
    recipe: Recipe
    datasets: tuple[DataSet, ...]

    @property
    def chosen_on(self) -> tuple[str, ...]:
        """The splits whose machines the operating point is chosen on."""
        if self.recipe.chosen_on:
            return self.recipe.chosen_on
        return ("training",) if self.run.uses_all else ("training", "validation")

    def recordings(self, which: str) -> tuple[Recording, ...]:
        """The recordings of one split, as the run was begun with."""
        names = set(self.run.splits[which])
        known = [one for dataset in self.datasets for one in dataset.recordings]
        return tuple(one for one in known if f"{one.dataset}/{one.name}" in names)


def learn(recipe: Recipe, training: Sequence[Seen], apart: Sequence[Seen]) -> dict[str, Array]:
    """What travels with the models of a recipe, to judge by; empty of most.

    Args:
        recipe: of the job.
        training: seen recordings that the models were trained on.
        apart: those that the operating point is chosen on.
    """
    given: dict[str, Array] = {}
    for stage in recipe.stages.values():
        if stage.learn is not None:
            given |= stage.learn(training)
    return given if recipe.learn is None else given | recipe.learn(training, apart, given)


def begin(
    name: str,
    folder: Path,
    *,
    data: Path | None,
    seed: int,
    epochs: int | None,
    uses_all: bool,
    command: str,
    method: str = "",
) -> Job:
    """A fresh run, its `run.json` written.

    Args:
        name: of the workload.
        folder: of the run; must not hold anything yet.
        data: root of the data sets; None: `VEDETTE_DATA`, else `./data`.
        seed: of splits, weights and order.
        epochs: instead of the recipe's.
        uses_all: keep nothing apart.
        command: what the person typed.
        method: how to train, where the workload knows several ways.

    Raises:
        DataError: the folder is in use, or the data cannot be read.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: not empty; fix: name another --out, or --resume it")
    recipe = load_recipe(name, method)
    workload = recipe.workload or workloads.load(name)
    root = runs.data_root(data)
    datasets = recipe.sources(root, seed)
    run = runs.Run(
        workload=name,
        revision=workload.revision,
        seed=seed,
        epochs=epochs,
        data_root=str(root),
        sources=runs.describe_sources(datasets),
        splits=runs.describe_splits(datasets, seed=seed, uses_all=uses_all, tests=recipe.tests),
        uses_all=uses_all,
        created=runs.now(),
        command=command,
        commit=runs.commit(),
        versions=runs.versions(),
        method=method,
    )
    folder.mkdir(parents=True, exist_ok=True)
    runs.write(folder, run)
    return Job(folder, run, workload, recipe, datasets)


def reopen(folder: Path) -> Job:
    """A run that is there already, with the very data it was begun with.

    Raises:
        DataError: not a run, made for another revision, or its data changed.
    """
    run = runs.read(folder)
    try:
        recipe = load_recipe(run.workload, run.method)
        workload = recipe.workload or workloads.load(run.workload)
    except LookupError as error:
        raise DataError(f"{folder}: {error}; fix: install the version that made it") from None
    if workload.revision != run.revision:
        raise DataError(
            f"{folder}: trained for revision {run.revision} of {workload.name}, this is revision "
            f"{workload.revision}; fix: vedette train {workload.name}"
        )
    datasets: Sequence[DataSet] = recipe.sources(Path(run.data_root), run.seed)
    runs.check_same_data(run, datasets)
    return Job(folder, run, workload, recipe, tuple(datasets))
