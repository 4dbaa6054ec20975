"""`vedette evaluate NAME --compare`: the shipped detector among all published methods."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

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
    return [known[name] for name in check(asked, list(known))]


def check(asked: str, known: Sequence[str]) -> list[str]:
    """The names that `--compare` gives, each once.

    Raises:
        DataError: one is unknown.
    """
    names = known if asked == "all" else [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in known:
            raise DataError(
                f"--compare: no method {name!r}; fix: all, or some of {', '.join(sorted(known))}"
            )
    return list(dict.fromkeys(names))


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

    recordings = dataset.recordings or dataset.compared
    if not recordings:
        raise DataError(
            f"{dataset.name}: holds no raw windows in order; fix: compare on another data set"
        )
    start = time.monotonic()
    steps = (1 + len(compare.FEATURES) * (1 + len(wanted))) * len(recordings)
    results = []
    with progress() as bars:
        task = bars.add_task(f"comparing on {dataset.name}", total=steps, note="")
        for result in _results(bundle, recordings, wanted):
            if isinstance(result, Result):
                results.append(result)
            else:
                bars.update(task, note=result)
                bars.advance(task)
        bars.update(task, note="")
    seconds = time.monotonic() - start
    console.print(_table(results, f"{dataset.name}, {seconds:.0f} s"))
    say(
        f"of {len(recordings)} recordings; first, lasts: alarm in % of life, median; "
        "false: % of windows in alarm at 15-30 % of life"
    )
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
    bundle: Bundle, recordings: Sequence[Recording], wanted: Sequence[methods.Method]
) -> Iterator[Result | str]:
    """Every result when it is there; between them, a line for each step that is done."""
    of_device: dict[str, list[Told]] = defaultdict(list)
    for recording in recordings:
        for name, one in shipped(bundle, recording).items():
            of_device[name].append(one)
        yield f"{SHIPPED} {recording.name}"
    pipeline_us = bench.measure(bundle, seconds=_BENCH_S)["us"]["pipeline"]["p50"]
    for name, each in of_device.items():
        yield Result(name, "own", tuple(each), pipeline_us, None)
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


def shipped(bundle: Bundle, recording: Recording) -> dict[str, Told]:
    """The shipped detector on one recording: the device's own pipeline, learning and policy.

    Returns:
        by name: all messages, and those of level `alarm` alone.
    """
    watched = device.watch(bundle, recording)
    point = bundle.manifest.operating_point
    alarms = replay(bundle.workload, watched, point)
    urgent = [[d.score for d in found if d.level == "alarm"] for found in watched.found]
    scores = np.array([max(each, default=np.nan) for each in urgent])
    return {
        SHIPPED: Told(recording, watched.scores, point.threshold, alarms.is_raised),
        f"{SHIPPED}_alarm": Told(recording, scores, point.threshold, alarms.is_alarm),
    }


def _table(results: Sequence[Result], title: str) -> object:
    """A line per method, a section per feature set; columns of which nothing is known are left out.

    Short enough for 80 columns where the onset of the fault is unknown.
    """
    from rich.table import Table

    rows = [result.row() for result in results]
    shown = {key: how for key, how in _SHOWN.items() if any(row[key] is not None for row in rows)}
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading, _ in shown.values():
        table.add_column(heading, justify="right")
    section = ""
    for row in rows:
        if row["features"] != section:
            section = str(row["features"])
            table.add_section()
            table.add_row(f"{section}:")
        values = (row[key] for key in shown)
        texts = (how(value) for (_, how), value in zip(shown.values(), values, strict=True))
        table.add_row(f" {row['method']}", *texts)
    return table


def _number(form: str, *, scale: float = 1.0) -> Callable[[Any], str]:
    def text(value: Any) -> str:
        if value is None:
            return "-"
        if abs(value) >= 100_000:
            return f"{value:.0e}"
        return format(scale * value, form if abs(value) < 1000 else ",.0f")

    return text


_SHOWN = {
    "found": ("found", _number(".0f")),
    "first_alarm": ("first\n%", _number(".0f", scale=100.0)),
    "first_alarm_false_as_1": ("false\nas 1", _number(".0f", scale=100.0)),
    "sustained_alarm": ("lasts\n%", _number(".0f", scale=100.0)),
    "false_share": ("false\n%", _number(".1f", scale=100.0)),
    "false_recordings": ("with\nany", _number(".0f")),
    "contrast": ("con-\ntrast", _number(".3g")),
    "auc": ("AUC", _number(".2f")),
    "pauc": ("pAUC", _number(".2f")),
    "window_us": ("us", _number(",.0f")),
    "detector_us": ("of\nit", _number(",.0f")),
}
