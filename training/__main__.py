"""`vedette train NAME`: learn from recordings, write a run with its report."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from contract.spec import Workload
from training import datasets
from training import job as jobs
from training import run as runs
from training.datasets import DataError
from training.job import Job
from training.recipes import methods, with_methods
from training.recipes import names as recipe_names
from training.splits import SPLITS
from training.watch import Seen, judge, lean, see

if TYPE_CHECKING:
    from training.report import Section

_EXAMPLE = """example:
  vedette train machine_condition --seed 1
  vedette train machine_condition --resume runs/machine_condition/20300101-120000
  vedette train faces --method mobilefacenet-arcface --data people

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
    known = [*recipe_names(), *with_methods()]
    add("name", metavar="NAME", help=f"the workload: {', '.join(known)}")
    ways = "; ".join(f"{name}: {', '.join(methods(name))}" for name in with_methods())
    add("--method", metavar="NAME", help=f"how, where there are several ways; {ways}")
    data = "folder that holds the data sets (default: $VEDETTE_DATA, then ./data)"
    add("--data", type=Path, metavar="DIR", help=data)
    add("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/NAME/TIME)")
    add("--seed", type=int, help="of splits, weights and order (default: 0)")
    add("--epochs", type=int, help="instead of the recipe's")
    add("--all", action="store_true", help="keep nothing apart: for a bundle to be shipped")
    add("--resume", type=Path, metavar="RUN", help="go on with an interrupted run")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


def _asked(verb: str, argv: Sequence[str]) -> argparse.Namespace:
    """The command line, refused where its parts do not go together."""
    parser = _parser(verb)
    asked = parser.parse_args(argv)
    known = [*recipe_names(), *with_methods()]
    if asked.name not in known:
        parser.error(f"no recipe {asked.name!r}; known: {', '.join(known)}")
    others = (asked.out, asked.epochs, asked.data, asked.all or None, asked.seed, asked.method)
    if asked.resume and any(other is not None for other in others):
        parser.error("--resume takes everything else from the run; leave the other options out")
    ways = methods(asked.name)
    if not asked.resume and (asked.method or "") not in (ways or [""]):
        parser.error(f"--method: {asked.name} is trained by {', '.join(ways) or 'its one recipe'}")
    if (asked.epochs is not None and asked.epochs < 1) or (asked.seed or 0) < 0:
        parser.error("--epochs must be at least 1, --seed at least 0")
    return asked


def main(verb: str, argv: Sequence[str]) -> int:
    """Run the verb; the exit code is returned."""
    asked = _asked(verb, argv)

    from training.console import fail, print_json, say

    folder = asked.resume or asked.out or Path("runs", asked.name, time.strftime("%Y%m%d-%H%M%S"))
    try:
        if asked.resume:
            job = jobs.reopen(folder)
        else:
            job = jobs.begin(
                asked.name,
                folder,
                data=asked.data,
                seed=asked.seed or 0,
                epochs=asked.epochs,
                uses_all=asked.all,
                command=shlex.join(["vedette", verb, *argv]),
                method=asked.method or "",
            )
        if job.run.workload != asked.name:
            raise DataError(f"{folder}: a run of {job.run.workload}; fix: name that workload")
        run = _train(job)
    except (DataError, OSError) as error:
        return fail(verb, error)
    except KeyboardInterrupt:
        return fail(verb, f"interrupted; fix: vedette {verb} {asked.name} --resume {folder}")
    apart = run.metrics.get("test", run.metrics["validation"])
    test = ", ".join(f"{name} {value:.4g}" for name, value in apart.items())
    group = job.recipe.group
    on = f"on {group}s it was trained with" if run.uses_all else f"on {group}s never seen"
    say(f"trained in {run.seconds:.1f} s; {on}: {test}")
    known = {source.name for source in run.sources} & set(datasets.names())
    if not known and not run.method:
        say(
            f"warning: no recordings below {run.data_root}, so it learned from simulated machines: "
            "enough to see it work, not for a real machine; fix: --data DIR"
        )
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


def _train(job: Job) -> runs.Run:
    """Fit every stage, measure on machines kept apart, write models and report."""
    from training import backend
    from training.console import progress

    if job.recipe.onednn:
        backend.with_onednn()
    start = time.monotonic()
    history, models = {}, {}
    explained: list[Section] = []
    with progress() as bars:
        _prepare(job, bars)
        for stage, recipe in job.recipe.stages.items():
            examples = {
                which: recipe.data(job.recordings(which)) for which in ("training", "validation")
            }
            total = (job.run.epochs or recipe.epochs) if recipe.epochs else 0
            task = bars.add_task(f"training {stage}", total=total, note="starting Keras")

            from training import loop

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
            if recipe.explain is not None:
                bars.update(task, note="explaining")
                explained += recipe.explain(model, job.recordings("validation"))
        return _measure(job, history, models, explained, start=start, bars=bars)


def _prepare(job: Job, bars: Any) -> None:
    """What the recipe makes of every recording once."""
    if job.recipe.prepare is None:
        return
    recordings = [one for dataset in job.datasets for one in dataset.recordings]
    task = bars.add_task("preparing", total=len(recordings), note="")
    for recording in recordings:
        bars.update(task, note=f"{recording.dataset} {recording.name}")
        job.recipe.prepare(recording)
        bars.advance(task)
    bars.update(task, note="")


def _input_shape(workload: Workload, stage: str) -> tuple[int, ...]:
    """Of one row of a stage with a model."""
    (shape,) = (s.input_shape for s in workload.stages if s.name == stage)
    assert shape is not None
    return shape


def _measure(
    job: Job,
    history: Mapping[str, Any],
    models: Mapping[str, Any],
    explained: Sequence[Section],
    *,
    start: float,
    bars: Any,
) -> runs.Run:
    """Watch every recording, measure on those kept apart; the finished run."""
    from training import report

    total = sum(len(job.recordings(which)) for which in SPLITS)
    task = bars.add_task("measuring", total=total, note="")
    seen: dict[str, list[Seen]] = {which: [] for which in SPLITS}
    for which, found in seen.items():
        for recording in job.recordings(which):
            bars.update(task, note=recording.name)
            one = see(job.workload, models, recording)
            found.append(lean(one) if job.recipe.sections else one)
            bars.advance(task)
    bars.update(task, note="report")
    chosen_on = [one for which in job.chosen_on for one in seen[which]]
    given = jobs.learn(job.recipe, seen["training"], chosen_on)
    seen = {which: [replace(one, given=given) for one in of] for which, of in seen.items()}
    point = job.recipe.operating_point([one for which in job.chosen_on for one in seen[which]])
    apart = {
        which: [judge(job.workload, one, point) for one in seen[which]]
        for which in ("validation", "test")
        if seen[which]
    }
    run = msgspec.structs.replace(
        job.run,
        history=history,
        metrics={which: job.recipe.metrics(watched) for which, watched in apart.items()},
        operating_point=point,
        seconds=time.monotonic() - start,
        is_finished=True,
    )
    watched = [one for of in apart.values() for one in of]
    report.write(job.folder, run, job.workload, models, watched, job.recipe, explained)
    runs.write(job.folder, run)
    bars.update(task, note="")
    return run


if __name__ == "__main__":
    sys.exit(main("train", sys.argv[1:]))
