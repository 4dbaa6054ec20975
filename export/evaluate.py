"""`vedette evaluate NAME`: a bundle through the device's own code on a whole data set."""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from contract import workloads
from contract.fold import Model
from contract.manifest import MANIFEST
from contract.spec import Floats, ImageSpec, OperatingPoint, Workload
from edge.bundle import Bundle
from edge.errors import VedetteError
from export import device
from training import datasets, recipes, trade_page
from training.datasets import DataError, DataSet, Recording
from training.datasets.synthetic import run_to_failure as simulated
from training.face_protocols import EMBED
from training.leave_one_out import LeaveOneOut
from training.protocols import SURROGATE_HOURS, Bench, Row
from training.splits import SPLITS
from training.trade_off import Trade
from training.watch import Seen, Watched

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")
_PUBLISHED = "faces"  # of networks that others trained
_SIMULATED, _SEED = 6, 77  # machines; recipes train on those of other seeds
_CHECKOUT = Path(__file__).resolve().parents[1]
_EXAMPLE = """example:
  vedette evaluate machine_condition --data data/pronostia
  vedette evaluate machine_condition --data data/pronostia --engine onnx --json
  vedette evaluate machine_condition --data data/pronostia --leave-one-out --out trade-off.html
  vedette evaluate machine_condition --data data/pronostia --compare all --out compared.html
  vedette evaluate faces --data data/faces_caltech_in_out --compare all

exit codes: 0 done, 1 failed, 2 wrong usage
"""


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"vedette {verb}",
        description="Run a bundle over a data set through the device's own code and measure it. "
        "The data set is recognised by the name of its folder, or else by the files in it: "
        + ", ".join(datasets.names()),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help=f"the workload: {', '.join(workloads.names())}")
    add(
        "--data",
        type=Path,
        metavar="DIR",
        required=True,
        help="the data set's folder; with --compare also `simulated`, made on the spot",
    )
    add("--bundle", type=Path, metavar="DIR", help="default: bundles/NAME, made if missing")
    add("--engine", choices=["tflite", "onnx"], help="default: the first one installed")
    add(
        "--compare",
        metavar="all|NAME,...",
        help="the published methods too, of novelty or of recognising faces: one table on this "
        "data set",
    )
    add(
        "--out",
        type=Path,
        metavar="FILE.html",
        help="a page: with --compare the picture of every life, else, for runs to failure, what "
        "other thresholds would give: early against silent",
    )
    add(
        "--leave-one-out",
        action="store_true",
        help="make model and operating point again without each recording, and judge it by those",
    )
    add("--json", action="store_true", help="one JSON object on stdout at the end")
    return parser


def _asked(verb: str, argv: Sequence[str]) -> argparse.Namespace:
    """The command line, refused where its parts do not go together."""
    parser = _parser(verb)
    asked = parser.parse_args(argv)
    if asked.name not in workloads.names():
        parser.error(f"no workload {asked.name!r}; known: {', '.join(workloads.names())}")
    if asked.leave_one_out and (asked.bundle or asked.engine or asked.compare):
        parser.error("--leave-one-out makes its own models; leave the other options out")
    if asked.leave_one_out and asked.name not in recipes.names():
        parser.error(f"--leave-one-out: {asked.name} has no recipe that is quick enough")
    if asked.compare and asked.out and asked.name == "faces":
        parser.error("--compare of faces draws no page; leave --out out")
    return asked


def main(verb: str, argv: Sequence[str]) -> int:
    """Run the verb; the exit code is returned."""
    asked = _asked(verb, argv)

    from training.console import fail, print_json, say

    try:
        dataset = _open(asked.data, compare=bool(asked.compare))
        if asked.leave_one_out and not dataset.recordings:
            raise DataError(f"{asked.data}: no lives to leave out; fix: without --leave-one-out")
        bundle, about = None, {"engine": "float, everything made again without each recording"}
        if not asked.leave_one_out:
            bundle, about = _bundle(asked, dataset)
        if asked.compare:
            return _compare(bundle, dataset, asked)
        found = evaluate(bundle, dataset, left_out=asked.name if asked.leave_one_out else None)
        if asked.out and not found.trades:
            raise DataError(f"{asked.data}: no runs to failure to draw; fix: without --out")
    except (DataError, VedetteError, OSError) as error:
        return fail(verb, error)
    except KeyboardInterrupt:
        return fail(verb, f"interrupted; fix: run vedette {verb} again")
    _show(found, dataset)
    say("  ".join(f"{metric} {value:.4g}" for metric, value in found.metrics.items()))
    if asked.out:
        _draw(found, dataset, asked.out, about, command=" ".join(["vedette", verb, *argv]))
        say(f"early against silent, at other thresholds: {asked.out}")
    if asked.json:
        print_json(
            {
                "dataset": dataset.name,
                "workload": asked.name,
                "metrics": found.metrics,
                **about,
                "recordings": found.rows,
                "trade_off": [dataclasses.asdict(one) for one in found.trades],
                "seconds": round(found.seconds, 3),
            }
        )
    return 0


def _draw(
    found: Evaluation, dataset: DataSet, file: Path, about: Mapping[str, str], *, command: str
) -> None:
    trade_page.write(
        file,
        found.trades,
        dataset=dataset.name,
        judged_by=about.get("bundle", about["engine"]),
        recordings=len(found.rows),
        hours=SURROGATE_HOURS,
        command=command,
        seconds=found.seconds,
    )


def _bundle(asked: argparse.Namespace, dataset: DataSet) -> tuple[Bundle | None, dict[str, str]]:
    """The bundle that is measured, and what is said of it; none where the data set needs none."""
    if not (dataset.needs_bundle or asked.bundle or asked.compare):
        return None, {}
    folder = asked.bundle or _default_bundle(asked.name)
    bundle = Bundle.open(folder, asked.engine)
    if bundle.workload.name != asked.name:
        raise DataError(f"{folder}: a bundle of {bundle.workload.name}; fix: name another")
    about = {"bundle": str(folder), "model_id": bundle.model_id, "engine": bundle.engine}
    return bundle, about


def _open(data: Path, *, compare: bool) -> DataSet:
    """The data set in a folder, or machines that no bundle was made with, their onset known."""
    if compare and data == Path(simulated.NAME) and not data.exists():
        return simulated.simulate(_SIMULATED, seed=_SEED, windows=400)
    return datasets.open_folder(data)


def _compare(bundle: Bundle | None, dataset: DataSet, asked: argparse.Namespace) -> int:
    """The published methods beside the bundle; the exit code is returned."""
    from export import compare, compare_faces
    from training.console import print_json

    assert bundle is not None, "the caller opens one"
    if asked.name == compare_faces.WORKLOAD:
        compared = compare_faces.run(bundle, asked.data, asked.compare)
    else:
        compared = compare.run(bundle, dataset, compare.chosen(asked.compare), out=asked.out)
    if asked.json:
        print_json(compared)
    return 0


@dataclass(frozen=True)
class Evaluation:
    """A bundle measured on a data set.

    Attributes:
        metrics: of the data set's own protocol.
        rows: one for each recording, all with the same keys.
        trades: what other thresholds would have given; empty where the protocol tries none.
        seconds: it took.
    """

    metrics: dict[str, float]
    rows: tuple[Row, ...]
    trades: tuple[Trade, ...]
    seconds: float


def evaluate(bundle: Bundle | None, dataset: DataSet, *, left_out: str | None = None) -> Evaluation:
    """The data set's own protocol, with a progress bar.

    Args:
        bundle: opened, so verified; None where the data set needs none.
        dataset: what to measure on.
        left_out: name of a workload: its recipe makes a model without each recording instead.
    """
    from training.console import progress

    start = time.monotonic()
    with progress() as bars:
        bench: Bench = _Bench(bundle, bars, dataset.name)
        if left_out is not None:
            workload, recipe = workloads.load(left_out), recipes.load(left_out)
            bench = LeaveOneOut(workload, recipe, dataset, seed=0, shown=bench)
        measured = dataset.measure(bench)
        metrics = measured.metrics | _liveness(bundle, bench, dataset)
    return Evaluation(metrics, measured.rows, measured.trades, time.monotonic() - start)


def _liveness(bundle: Bundle | None, bench: Bench, dataset: DataSet) -> dict[str, float]:
    """How well pictures of faces are told, of a workload that looks for faces; else nothing."""
    if bundle is None or not isinstance(bundle.workload.input, ImageSpec):
        return {}
    from training import liveness_protocol

    return liveness_protocol.measure(bench, dataset.recordings)


@dataclass(frozen=True, eq=False)
class _Bench:
    """A bundle on the test bench: what `training.protocols.Bench` asks for.

    Attributes:
        bundle: runs the recordings; None where the data set needs none.
        bars: show a person how far it is.
        name: of the data set.
    """

    bundle: Bundle | None
    bars: Progress
    name: str

    @property
    def workload(self) -> Workload:
        """What watches."""
        return self._bundle.workload

    def see(self, recording: Recording) -> Seen:
        """What the stages find in a recording, through the bundle's engine."""
        self._refuse_what_it_does_not_take(recording)
        engines = {self._bundle.engine: self._bundle.engines}
        return device.see(self.workload, engines, recording)[self._bundle.engine]

    def watch(self, recording: Recording) -> Watched:
        """A recording through the bundle as on a device."""
        self._refuse_what_it_does_not_take(recording)
        return device.watch(self._bundle, recording)

    def _refuse_what_it_does_not_take(self, recording: Recording) -> None:
        """Some protocols make recordings as they go, so this is known no earlier."""
        takes_pictures = isinstance(self.workload.input, ImageSpec)
        if (recording.window(0).data.ndim == 3) != takes_pictures:
            what = "pictures" if takes_pictures else "signals"
            raise DataError(
                f"{self.name}: {self.workload.name} takes {what}; fix: another data set"
            )

    def point(self, _recording: Recording) -> OperatingPoint:
        """The bundle's own."""
        return self._bundle.manifest.operating_point

    @property
    def _bundle(self) -> Bundle:
        assert self.bundle is not None, "a data set whose protocol runs recordings needs a bundle"
        return self.bundle

    def float_outputs(self, stage: str, inputs: Floats) -> Floats | None:
        """What the float model of a stage gives, where it is one that others published."""
        model = self._published.get(stage)
        return None if model is None else model(inputs)

    @cached_property
    def _published(self) -> Mapping[str, Model]:
        from training import backend
        from training.weights import faces

        is_trained_here = "training" in self._bundle.manifest.data
        if self.workload.name != "faces" or is_trained_here:
            return {}
        backend.quiet()
        try:
            return {EMBED: backend.as_model(faces.embedding())}
        except DataError as error:  # it is only compared with
            from training.console import say

            say(f"float figures are left out: {error}")
            return {}

    def split_of(self, recording: Recording) -> str:
        """Where the recording was when the bundle was made."""
        group = f"{recording.dataset}/{recording.name}"
        for which in SPLITS:
            if self.bundle and group in self.bundle.manifest.data.get(which, "").split(", "):
                return which
        return "unseen"

    def each(self, things: Sequence[T], named: Callable[[T], str]) -> Iterable[T]:
        """The same things, beside a bar."""
        task = self.bars.add_task(f"evaluating {self.name}", total=len(things), note="")
        for thing in things:
            self.bars.update(task, note=named(thing))
            yield thing
            self.bars.advance(task)
        self.bars.update(task, note="")


def _default_bundle(name: str) -> Path:
    """`bundles/NAME` here or in the checkout; made first where there is none.

    Raises:
        DataError: it could not be made; the reason stands above.
    """
    from training.console import say

    ways = recipes.methods(name)

    folder = Path("bundles", name)
    for known in (folder, _CHECKOUT / folder):
        if (known / MANIFEST).exists():
            return known
    if ways and name != _PUBLISHED:
        raise DataError(
            f"{folder}: no bundle, and {name} is learned from your own pictures; fix: vedette "
            f"train {name} --data DIR --method NAME, vedette export RUN, then --bundle"
        )
    say(f"no bundle in {folder} yet: making one first")
    with tempfile.TemporaryDirectory() as temporary:
        run, out = str(Path(temporary, "run")), ["--out", str(folder)]
        steps = [["train", name, "--out", run], ["export", run, *out]]
        if name not in recipes.names():
            steps = [["export", "--published", name, *out]]
        for arguments in steps:
            done = subprocess.run([sys.executable, "-m", "vedette", *arguments], check=False)
            if done.returncode:
                raise DataError(f"{folder}: could not be made; fix: vedette {' '.join(arguments)}")
    return folder


def _show(found: Evaluation, dataset: DataSet) -> None:
    """A line per recording; a `split` tells those the bundle was made with: they flatter it."""
    from rich.table import Table

    from training.console import console

    title = f"{dataset.name}, {found.seconds:.1f} s"
    table = Table(title=title, title_justify="left", padding=(0, 0))
    for key in found.rows[0] if found.rows else ():
        is_text = isinstance(found.rows[0][key], str)
        table.add_column(
            key.replace("_", " "),
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=key == "name",
        )
    for row in found.rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: str | float | bool | None) -> str:  # noqa: FBT001
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main("evaluate", sys.argv[1:]))
