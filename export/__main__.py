"""`vedette export RUN`: a trained run in, a verified int8 bundle out, or a reason why not."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from contract.manifest import Manifest
from training import run as runs
from training.datasets import DataError
from training.face_protocols import EMBED
from training.job import Job, reopen

_FACES = "faces"
_EXAMPLE = """example:
  vedette export runs/machine_condition/20300101-120000
  vedette export --published faces --data data

exit codes: 0 done, 1 failed or refused by the parity gate, 2 wrong usage
"""


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="Quantize a run's models, compare them with the float ones, write a bundle.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "run", metavar="RUN", type=Path, nargs="?", help="a folder made by vedette train"
    )
    what.add_argument(
        "--published",
        choices=[_FACES],
        help="of weights that others published, which are fetched; nothing is trained",
    )
    add("--data", type=Path, metavar="DIR", help="with --published: root of the data sets")
    add("--out", type=Path, metavar="DIR", help="the bundle's folder (default: bundles/NAME)")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


def _of_run(job: Job, out: Path, bars: Progress) -> Manifest:
    """The bundle of a run; of faces, with published weights for the stages that are not trained."""
    from export import build, published
    from export.fold_norm import folded
    from training import backend
    from training.recipes.faces import pictures

    if job.run.workload != _FACES:
        return build.build(job, out, bars)
    build.check(job, out)
    model = folded(backend.load(job.folder / f"{EMBED}.keras"))
    weights = job.recipe.stages[EMBED].weights
    trained = published.Trained(model, job.run.splits, weights)
    try:
        people = pictures(Path(job.run.data_root))  # the run's own are chips of them
        return published.build(people, out, bars, trained=trained)
    except DataError:
        raise
    except ValueError as error:  # no threshold keeps strangers out
        raise DataError(
            f"{job.folder}: {error}; no bundle written; fix: train longer, or on more people"
        ) from None


def main(verb: str, argv: Sequence[str]) -> int:
    """Run the verb; the exit code is returned."""
    asked = _parser(verb).parse_args(argv)

    from edge.errors import VedetteError
    from export import published
    from export.convert import ConversionError
    from export.parity import ParityError
    from training.console import fail, print_json, progress, say
    from training.weights import faces

    start = time.monotonic()
    try:
        if asked.published:
            out = asked.out or Path("bundles", asked.published)
            with progress() as bars:
                sources = faces.sources(runs.data_root(asked.data))
                made = published.build(sources, out, bars)
        else:
            job = reopen(asked.run)
            out = asked.out or Path("bundles", job.run.workload)
            with progress() as bars:
                made = _of_run(job, out, bars)
    except (DataError, VedetteError, ConversionError, ParityError, OSError) as error:
        return fail(verb, error)
    except KeyboardInterrupt:
        return fail(verb, f"interrupted, nothing written; fix: vedette {verb} {' '.join(argv)}")
    for name, metrics in made.metrics.items():
        say(f"{name:<8} " + ", ".join(f"{metric} {value:.4g}" for metric, value in metrics.items()))
    say(f"bundle   {out}")
    if asked.run:
        say(f"report   {asked.run / runs.REPORT}")
    engines = sorted({engine for stage in made.stages.values() for engine in stage})
    if asked.json:
        print_json(
            {
                "bundle": str(out),
                "workload": made.workload,
                "model_id": {engine: made.model_id(engine) for engine in engines},
                "bytes": {
                    "float": sum(made.float_bytes.values()),
                    **{e: sum(s[e].bytes for s in made.stages.values()) for e in engines},
                },
                "metrics": made.metrics,
                "tolerances": made.tolerances,
                "threshold": made.operating_point.threshold,
                "seconds": round(time.monotonic() - start, 3),
            }
        )
    return 0


if __name__ == "__main__":
    sys.exit(main("export", sys.argv[1:]))
