"""`vedette evaluate NAME --compare`: the shipped detector among all published methods."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge import bench
from edge.bundle import Bundle
from export import device
from training import compare, methods
from training.compare import Result, Told
from training.datasets import DataError, DataSet, Recording
from training.metrics import replay

SHIPPED = "shipped"
_BENCH_S = 0.5


def chosen(asked: str) -> list[methods.Method]:
    """The methods that `--compare` names.

    Raises:
        DataError: one is unknown.
    """
    known = methods.load()
    names = list(known) if asked == "all" else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in known:
            raise DataError(
                f"--compare: no method {name!r}; fix: all, or some of {', '.join(sorted(known))}"
            )
    return [known[name] for name in dict.fromkeys(names)]


def run(
    bundle: Bundle, dataset: DataSet, wanted: Sequence[methods.Method], *, out: Path | None
) -> dict[str, object]:
    """Compare on a whole data set, with a progress bar, a table and, if asked for, a page.

    Args:
        bundle: the shipped detector, opened, so verified.
        dataset: its recordings are watched.
        wanted: methods to compare it with.
        out: HTML file to write; None: none.

    Returns:
        what `--json` prints.

    Raises:
        DataError: the data set has no recordings to watch, or too short a healthy start.
    """
    from training import compare_page
    from training.console import console, progress, say

    if not dataset.recordings:
        raise DataError(
            f"{dataset.name}: holds no raw windows in order; fix: compare on another data set"
        )
    start = time.monotonic()
    steps = len(compare.FEATURES) * (1 + len(wanted)) * len(dataset.recordings)
    results = []
    with progress() as bars:
        total = steps + len(dataset.recordings)
        task = bars.add_task(f"comparing on {dataset.name}", total=total, note="")
        for result in _results(bundle, dataset, wanted):
            if isinstance(result, Result):
                results.append(result)
            else:
                bars.update(task, note=result)
                bars.advance(task)
        bars.update(task, note="")
    seconds = time.monotonic() - start
    console.print(_table(results, f"{dataset.name}, {seconds:.0f} s"))
    for note in compare_page.notes(results):
        say(note)
    if out is not None:
        command = " ".join(["vedette", *sys.argv[1:]])
        page = compare_page.write(
            out, dataset=dataset.name, results=results, command=command, seconds=seconds
        )
        say(f"report: {page}")
    return {
        "dataset": dataset.name,
        "workload": bundle.workload.name,
        "compare": [result.row() for result in results],
        "alarm": {"hits": compare.HITS, "of": compare.OF, "mads": compare.BEYOND},
        "seconds": round(seconds, 3),
    }


def _results(
    bundle: Bundle, dataset: DataSet, wanted: Sequence[methods.Method]
) -> Iterator[Result | str]:
    """Every result when it is there; between them, a line for each step that is done."""
    recordings = dataset.recordings
    told: list[Told] = []
    for recording in recordings:
        told.append(shipped(bundle, recording))
        yield f"{SHIPPED} {recording.name}"
    pipeline_us = bench.measure(bundle, seconds=_BENCH_S)["us"]["pipeline"]["p50"]
    yield Result(SHIPPED, "own", tuple(told), pipeline_us, None)
    for made in compare.FEATURES:
        seen = []
        for recording in recordings:
            with _named(recording):
                seen.append(compare.rows(bundle.workload, made, recording))
            yield f"{made.name} features {recording.name}"
        features_us = compare.features_us(made, recordings[0])
        for method in wanted:
            told = []
            for recording, rows in zip(recordings, seen, strict=True):
                with _named(recording):
                    told.append(compare.tell(method, recording, rows))
                yield f"{method.name} {made.name} {recording.name}"
            learned = seen[0][: recordings[0].learn_windows]
            detector_us = compare.detector_us(method, learned)
            yield Result(
                method.name, made.name, tuple(told), features_us + detector_us, detector_us
            )


@contextmanager
def _named(recording: Recording) -> Iterator[None]:
    """Say in which recording there was too little to learn from or to make features of."""
    try:
        yield
    except ValueError as error:
        raise DataError(
            f"{recording.name}: {error}; fix: compare on longer windows and healthy starts"
        ) from None


def shipped(bundle: Bundle, recording: Recording) -> Told:
    """The shipped detector on one recording: the device's own pipeline, learning and policy."""
    watched = device.watch(bundle, recording)
    point = bundle.manifest.operating_point
    alarms = replay(bundle.workload, watched, point)
    return Told(recording, watched.scores, point.threshold, alarms.is_raised)


def _table(results: Sequence[Result], title: str) -> object:
    """One line per method and feature set."""
    from rich.table import Table

    from training.compare_page import COLUMNS, cells

    table = Table(title=title, title_justify="left")
    for heading in COLUMNS.values():
        is_text = heading in {"method", "features"}
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=is_text)
    for result in results:
        table.add_row(*cells(result))
    return table
