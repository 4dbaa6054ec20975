"""`vedette evaluate NAME`: a bundle through the device's own code on a whole data set."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract import workloads
from contract.manifest import MANIFEST
from edge.bundle import Bundle
from edge.errors import VedetteError
from export import device
from training import datasets
from training.datasets import DataError, DataSet
from training.metrics import Alarms, replay

_CHECKOUT = Path(__file__).resolve().parents[1]
_EXAMPLE = """example:
  vedette evaluate machine_condition --data data/pronostia
  vedette evaluate machine_condition --data data/pronostia --engine onnx --json

exit codes: 0 done, 1 failed, 2 wrong usage
"""


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="Run a bundle over a data set through the device's own code and measure it. "
        "The data set is recognised by the name of its folder: " + ", ".join(datasets.names()),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help=f"the workload: {', '.join(workloads.names())}")
    add("--data", type=Path, metavar="DIR", required=True, help="the data set's folder")
    add("--bundle", type=Path, metavar="DIR", help="default: bundles/NAME, made if missing")
    add("--engine", choices=["tflite", "onnx"], help="default: the first one installed")
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


def main(verb: str, argv: Sequence[str]) -> int:
    """Run the verb; the exit code is returned."""
    parser = _parser(verb)
    asked = parser.parse_args(argv)
    if asked.name not in workloads.names():
        parser.error(f"no workload {asked.name!r}; known: {', '.join(workloads.names())}")

    from training.console import fail, print_json, say

    try:
        dataset = datasets.open_folder(asked.data)
        folder = asked.bundle or _default_bundle(asked.name)
        bundle = Bundle.open(folder, asked.engine)
        if bundle.workload.name != asked.name:
            raise DataError(f"{folder}: a bundle of {bundle.workload.name}; fix: name another")
        found = evaluate(bundle, dataset)
    except (DataError, VedetteError, OSError) as error:
        return fail(verb, error)
    except KeyboardInterrupt:
        return fail(verb, f"interrupted; fix: run vedette {verb} again")
    _show(found, dataset)
    say("  ".join(f"{metric} {value:.4g}" for metric, value in found.metrics.items()))
    if asked.json:
        print_json(
            {
                "dataset": dataset.name,
                "workload": asked.name,
                "metrics": found.metrics,
                "bundle": str(folder),
                "model_id": bundle.model_id,
                "engine": bundle.engine,
                "recordings": [
                    {
                        "name": one.recording.name,
                        "split": found.splits[one.recording.name],
                        "learn_windows": one.recording.learn_windows,
                        "windows": len(one.recording),
                        "first_alarm_fraction": one.first_alarm,
                        "false_alarm_share_15_30": one.false_alarm_share,
                    }
                    for one in found.alarms
                ],
                "seconds": round(found.seconds, 3),
            }
        )
    return 0


@dataclass(frozen=True)
class Evaluation:
    """A bundle measured on a data set.

    Attributes:
        metrics: of the data set's own protocol.
        alarms: of each recording.
        splits: by recording: `training`, `validation`, `test`, or `unseen` where the bundle was
            made without it.
        seconds: it took.
    """

    metrics: dict[str, float]
    alarms: tuple[Alarms, ...]
    splits: Mapping[str, str]
    seconds: float


def evaluate(bundle: Bundle, dataset: DataSet) -> Evaluation:
    """Every recording through the device's pipeline and policy, with a progress bar.

    Args:
        bundle: opened, so verified.
        dataset: what to measure on.
    """
    from training.console import progress

    start = time.monotonic()
    alarms = []
    with progress() as bars:
        task = bars.add_task(f"evaluating {dataset.name}", total=len(dataset.recordings), note="")
        for recording in dataset.recordings:
            bars.update(task, note=recording.name)
            watched = device.watch(bundle, recording)
            alarms.append(replay(bundle.workload, watched, bundle.manifest.operating_point))
            bars.advance(task)
        bars.update(task, note="")
    return Evaluation(
        dataset.measure(alarms),
        tuple(alarms),
        {r.name: _split_of(bundle, f"{dataset.name}/{r.name}") for r in dataset.recordings},
        time.monotonic() - start,
    )


def _split_of(bundle: Bundle, group: str) -> str:
    """Where a group was when the bundle was made."""
    for which in ("training", "validation", "test"):
        if group in bundle.manifest.data.get(which, "").split(", "):
            return which
    return "unseen"


def _default_bundle(name: str) -> Path:
    """`bundles/NAME` here or in the checkout; trained and exported first where there is none.

    Raises:
        DataError: it could not be made; the reason stands above.
    """
    from training.console import say

    folder = Path("bundles", name)
    for known in (folder, _CHECKOUT / folder):
        if (known / MANIFEST).exists():
            return known
    say(f"no bundle in {folder} yet: training and exporting one first")
    with tempfile.TemporaryDirectory() as temporary:
        run = str(Path(temporary, "run"))
        for arguments in (["train", name, "--out", run], ["export", run, "--out", str(folder)]):
            done = subprocess.run([sys.executable, "-m", "vedette", *arguments], check=False)
            if done.returncode:
                raise DataError(f"{folder}: could not be made; fix: vedette {' '.join(arguments)}")
    return folder


def _show(found: Evaluation, dataset: DataSet) -> None:
    """A line per recording; those the bundle was made with are marked, for they flatter it."""
    from rich.table import Table

    from training.console import console

    table = Table(title=f"{dataset.name}, {found.seconds:.1f} s", title_justify="left")
    for heading in ("recording", "known to the bundle", "found"):
        table.add_column(heading)
    table.add_column("first alarm, % of life", justify="right")
    table.add_column("in alarm at 15-30 %, % of windows", justify="right")
    for one in found.alarms:
        first = one.first_alarm
        table.add_row(
            one.recording.name,
            {"test": "test only", "unseen": "no"}.get(
                found.splits[one.recording.name], found.splits[one.recording.name]
            ),
            "yes" if first is not None else "no",
            "-" if first is None else f"{100 * first:.0f}",
            f"{100 * one.false_alarm_share:.1f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main("evaluate", sys.argv[1:]))
