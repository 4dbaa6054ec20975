"""`vedette train NAME`: learn from recordings, write a run with its report."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from contract import workloads
from contract.spec import Workload
from training import run as runs
from training.datasets import DataError, DataSet
from training.recipes import Recipe
from training.recipes import load as load_recipe
from training.recipes import names as recipe_names
from training.splits import SPLITS, recordings
from training.watch import Seen, judge, see

_EXAMPLE = """example:
  vedette train machine_condition --seed 1
  vedette train machine_condition --resume runs/machine_condition/20300101-120000

exit codes: 0 done, 1 failed or interrupted, 2 wrong usage
"""


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="Train a workload's model; Ctrl-C is safe, --resume goes on where it stopped.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help=f"the workload: {', '.join(recipe_names())}")
    data = "folder that holds the data sets (default: $VEDETTE_DATA, then ./data)"
    add("--data", type=Path, metavar="DIR", help=data)
    add("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/NAME/TIME)")
    add("--seed", type=int, help="of splits, weights and order (default: 0)")
    add("--epochs", type=int, help="instead of the recipe's")
    add("--resume", type=Path, metavar="RUN", help="go on with an interrupted run")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


def main(verb: str, argv: Sequence[str]) -> int:
    """Run the verb; the exit code is returned."""
    parser = _parser(verb)
    asked = parser.parse_args(argv)
    if asked.name not in recipe_names():
        parser.error(f"no recipe {asked.name!r}; known: {', '.join(recipe_names())}")
    if asked.resume and (asked.out or asked.epochs or asked.data or asked.seed is not None):
        parser.error("--resume takes everything else from the run; leave the other options out")
    if (asked.epochs is not None and asked.epochs < 1) or (asked.seed or 0) < 0:
        parser.error("--epochs must be at least 1, --seed at least 0")

    from training.console import fail, print_json, say

    folder = asked.resume or asked.out or Path("runs", asked.name, time.strftime("%Y%m%d-%H%M%S"))
    try:
        job = _resume(folder, asked.name) if asked.resume else _begin(folder, asked)
        run = _train(job)
    except (DataError, OSError) as error:
        return fail(verb, error)
    except KeyboardInterrupt:
        return fail(verb, f"interrupted; fix: vedette {verb} {asked.name} --resume {folder}")
    test = ", ".join(f"{name} {value:.4g}" for name, value in run.metrics["test"].items())
    say(f"trained in {run.seconds:.1f} s; on machines never seen: {test}")
    say(f"report   {folder / runs.REPORT}\nnext     vedette export {folder}")
    if asked.json:
        print_json(
            {
                "run": str(folder),
                "workload": run.workload,
                "seed": run.seed,
                "epochs": {stage: len(curves["loss"]) for stage, curves in run.history.items()},
                "metrics": run.metrics,
                "data": {source.name: source.digest for source in run.sources},
                "report": str(folder / runs.REPORT),
                "seconds": round(run.seconds, 3),
            }
        )
    return 0


@dataclass(frozen=True)
class _Job:
    """All that training one run needs."""

    folder: Path
    run: runs.Run
    workload: Workload
    recipe: Recipe
    datasets: tuple[DataSet, ...]


def _begin(folder: Path, asked: argparse.Namespace) -> _Job:
    """A fresh run in a folder of its own."""
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: not empty; fix: name another --out, or --resume it")
    workload, recipe = workloads.load(asked.name), load_recipe(asked.name)
    root, seed = runs.data_root(asked.data), asked.seed or 0
    datasets = recipe.sources(root, seed)
    run = runs.Run(
        workload=workload.name,
        revision=workload.revision,
        seed=seed,
        epochs=asked.epochs,
        data_root=str(root),
        sources=runs.describe_sources(datasets),
        splits=runs.describe_splits(datasets, seed=seed),
        created=runs.now(),
        command=shlex.join(["vedette", *sys.argv[1:]]),
        commit=runs.commit(),
        versions=runs.versions(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    runs.write(folder, run)
    return _Job(folder, run, workload, recipe, datasets)


def _resume(folder: Path, name: str) -> _Job:
    """An interrupted run, with the very data it was begun with."""
    run = runs.read(folder)
    if run.workload != name:
        raise DataError(f"{folder}: a run of {run.workload}, not of {name}; fix: name that one")
    workload, recipe = workloads.load(name), load_recipe(name)
    if run.revision != workload.revision:
        raise DataError(
            f"{folder}: made for revision {run.revision} of {name}, this is revision "
            f"{workload.revision}; fix: vedette train {name}"
        )
    datasets = recipe.sources(Path(run.data_root), run.seed)
    runs.check_same_data(run, datasets)
    return _Job(folder, run, workload, recipe, datasets)


def _train(job: _Job) -> runs.Run:
    """Fit every stage, measure on machines kept apart, write models and report."""
    from training.console import progress

    start = time.monotonic()
    history, models = {}, {}
    with progress() as bars:
        for stage, recipe in job.recipe.stages.items():
            examples = {
                which: recipe.data(recordings(job.datasets, which, seed=job.run.seed))
                for which in ("training", "validation")
            }
            total = job.run.epochs or recipe.epochs
            task = bars.add_task(f"training {stage}", total=total, note="starting Keras")

            from training import backend, loop

            def show(epoch: int, loss: float, val_loss: float, *, task: Any = task) -> None:
                note = f"loss {loss:.4f}  val {val_loss:.4f}"
                bars.update(task, completed=epoch, note=note)

            model, history[stage] = loop.fit(
                recipe,
                input_shape=_input_shape(job.workload, stage),
                training=examples["training"],
                validation=examples["validation"],
                seed=job.run.seed,
                epochs=job.run.epochs,
                checkpoint=job.folder / f"{stage}.checkpoint.npz",
                progress=show,
            )
            temporary = job.folder / f"{stage}.tmp.keras"
            model.save(temporary)
            temporary.replace(job.folder / f"{stage}.keras")
            models[stage] = backend.as_model(model)
        return _measure(job, history, models, start=start, bars=bars)


def _input_shape(workload: Workload, stage: str) -> tuple[int, ...]:
    """Of one row of a stage with a model."""
    (shape,) = (s.input_shape for s in workload.stages if s.name == stage)
    assert shape is not None
    return shape


def _measure(
    job: _Job, history: Mapping[str, Any], models: Mapping[str, Any], *, start: float, bars: Any
) -> runs.Run:
    """Watch every recording, measure on those kept apart; the finished run."""
    from training import report

    task = bars.add_task("measuring", total=sum(len(d.recordings) for d in job.datasets), note="")
    seen: dict[str, list[Seen]] = {which: [] for which in SPLITS}
    for which, found in seen.items():
        for recording in recordings(job.datasets, which, seed=job.run.seed):
            bars.update(task, note=recording.name)
            found.append(see(job.workload, models, recording))
            bars.advance(task)
    bars.update(task, note="report")
    point = job.recipe.operating_point([*seen["training"], *seen["validation"]])
    apart = {
        which: [judge(job.workload, one, point) for one in seen[which]]
        for which in ("validation", "test")
    }
    run = msgspec.structs.replace(
        job.run,
        history=history,
        metrics={which: job.recipe.metrics(watched) for which, watched in apart.items()},
        operating_point=point,
        seconds=time.monotonic() - start,
        is_finished=True,
    )
    report.write(job.folder, run, job.workload, models, [*apart["validation"], *apart["test"]])
    runs.write(job.folder, run)
    bars.update(task, note="")
    return run


if __name__ == "__main__":
    sys.exit(main("train", sys.argv[1:]))
