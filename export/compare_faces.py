"""`vedette evaluate faces --compare`: the shipped embedding among published recognisers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contract.manifest import ModelFile
from contract.spec import Array, Detection, Floats
from edge.bundle import Bundle
from edge.engines import open_engine
from edge.pipeline import run_rows
from export import device
from export.compare import check
from training import backend, face_baselines, face_compare, people
from training.datasets import DataError
from training.datasets import faces_caltech_in_out as caltech
from training.face_baselines import Baseline, Fitted
from training.face_compare import ENROLLED, SHIPPED, Rates, Result, Shown
from training.face_protocols import EMBED

WORKLOAD = "faces"
_TIMED = 25  # faces
_SEED = 0


def run(bundle: Bundle, folder: Path, asked: str) -> dict[str, object]:
    """Compare on the pictures of `faces_caltech_in_out`, with a progress bar and a table.

    Args:
        bundle: the shipped one, opened, so verified.
        folder: of the data set.
        asked: what `--compare` names.

    Returns:
        what `--json` prints.

    Raises:
        DataError: another data set, too few people, or an unknown method.
    """
    from training.console import console, progress, say

    known = face_baselines.load()
    names = check(asked, [*known, SHIPPED])
    start = time.monotonic()
    if not caltech.is_here(folder):
        raise DataError(
            f"{folder}: has no places; fix: compare on {caltech.NAME}, the people met in and out"
        )
    everybody = people.in_folder(folder, caltech.NAME, caltech.COLUMNS)
    backend.quiet()
    results: list[Result] = []
    with progress() as bars:
        task = bars.add_task("finding faces", total=len(everybody), note="")
        engines = {bundle.engine: bundle.engines}
        seen = []
        for person in everybody:
            bars.update(task, note=person.name)
            seen.append(device.see(bundle.workload, engines, person.recording)[bundle.engine])
            bars.advance(task)
        pictures = face_compare.shown(everybody, seen)
        groups = {count: len(face_compare.sixes(pictures, count)) for count in ENROLLED}
        if not any(groups.values()):
            raise DataError(f"{folder}: has no six people with pictures enough; fix: add people")
        total = len(names) * sum(groups.values())
        task = bars.add_task("comparing", total=total, note="")
        for count in [some for some, number in groups.items() if number]:
            for name in names:
                method = known.get(name, face_compare.shipped)
                own = [one.p0 for one in method.published if one.p0 > 0]
                if name == SHIPPED:
                    own = [bundle.manifest.operating_point.threshold]
                for step in face_compare.compare(method, pictures, count, own=own, seed=_SEED):
                    if isinstance(step, Result):
                        results.append(step)
                    else:
                        bars.update(task, note=f"from {count} pictures: {step}")
                        bars.advance(task)
        bars.update(task, note="")
    first = {one.method: one.fitted for one in reversed(results)}
    face_ms = {name: _face_ms(bundle, known.get(name), first[name], pictures) for name in names}
    seconds = time.monotonic() - start
    console.print(_table(results, face_ms, f"{caltech.NAME}, {seconds:.0f} s"))
    say(
        f"{', '.join(f'{n} sixes from {c} pictures each' for c, n in groups.items() if n)}; right: "
        "of those named; named: of the pictures of a six; strangers: pictures of all others that "
        f"were named; ms: for a face that was found, one thread; seed {_SEED}. Chosen: on other "
        "sixes. Published: six other people, on a Raspberry Pi of 2015"
    )
    return {
        "dataset": caltech.NAME,
        "workload": bundle.workload.name,
        "compare": [one.row() | {"face_ms": face_ms[one.method]} for one in results],
        "published": {
            name: [
                {field: getattr(one, field) for field in one.__dataclass_fields__}
                for one in known[name].published
            ]
            for name in names
            if name in known
        },
        "seed": _SEED,
        "seconds": round(seconds, 3),
    }


def _face_ms(
    bundle: Bundle, method: Baseline | None, fitted: Fitted, pictures: Sequence[Shown]
) -> float:
    """Median milliseconds from a found face to who it is, one face after the other.

    A network runs on the device's engine, as float, since so it was published.
    """
    found = [(one, one.face) for one in pictures if one.face is not None][:_TIMED]
    if method is None:
        stage = next(one for one in bundle.workload.stages if one.name == EMBED)

        def name_shipped(one: Shown, face: Detection) -> None:
            chips = stage.preprocess(one.window, (face,))
            outputs = run_rows(bundle.engines[EMBED], chips)
            (again,) = stage.postprocess(one.window, (face,), chips, outputs)
            assert again.vector is not None
            fitted.classify(again.vector[None])

        return _median_ms(name_shipped, found)
    classify = fitted.classify if fitted.model is None else _on_engine(fitted.model)
    return _median_ms(lambda one, face: classify(method.see(one.window.data, face)[None]), found)


def _on_engine(model: object) -> Callable[[Floats], Array]:
    """A Keras network on LiteRT."""
    from export import tflite

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.tflite")
        tflite.convert_float16(model, file)
        exact = file.with_suffix(".float.tflite")
        about = ModelFile(exact.name, "", exact.stat().st_size, *tflite.ends(exact))
        engine = open_engine("tflite", exact.read_bytes(), about)
    return lambda rows: run_rows(engine, rows)


def _median_ms(
    name: Callable[[Shown, Detection], object], found: Sequence[tuple[Shown, Detection]]
) -> float:
    name(*found[0])  # warms the caches
    times = []
    for one in found:
        start = time.perf_counter_ns()
        name(*one)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times)) / 1e6


def _table(results: Sequence[Result], face_ms: dict[str, float], title: str) -> object:
    """A line for each method and each way to choose p0; below, what was published of it."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading in ("p0", "right %", "named", "named %", "strangers", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for count in dict.fromkeys(one.enrolled_from for one in results):
        of_count = [one for one in results if one.enrolled_from == count]
        table.add_section()
        table.add_row(f"from {count} pictures:")
        for one in of_count:
            ms = f"{face_ms[one.method]:.1f}"
            rates = {f"{np.mean(one.p0):.2f}, chosen": one.at_p0} if one.at_p0 else {}
            rates |= {f"{p:.3g}": at for p, at in one.at_own.items()} | {"none": one.at_0}
            for limit, at in rates.items():
                table.add_row(f" {one.method}", limit, *_cells(at), ms)
    table.add_section()
    table.add_row("published:")
    known = face_baselines.load()
    for name in dict.fromkeys(one.method for one in results if one.method in known):
        for of in known[name].published:
            table.add_row(
                f" {name}", f"{of.p0:g}", f"{100 * of.accuracy:.2f}",
                f"{of.accepted}/{of.pictures}", f"{100 * of.accepted / of.pictures:.1f}", "",
                f"{of.classify_ms:.0f}",
            )  # fmt: skip
    return table


def _cells(at: Rates) -> list[str]:
    row = at.row("")
    return [
        f"{100 * row['accuracy']:.2f}",
        f"{at.accepted}/{at.pictures}",
        f"{100 * row['enrolment_rate']:.1f}",
        f"{at.strangers_accepted}/{at.strangers}",
    ]
