"""A training run on disk: what was asked, on which data, and what came out."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from contract.spec import OperatingPoint
from training.datasets import DataError, DataSet
from training.splits import SPLITS, recordings

RUN = "run.json"
REPORT = "report.html"


class Source(msgspec.Struct, frozen=True):
    """One data set of a run."""

    name: str
    digest: str
    recordings: int
    licence: str


class Run(msgspec.Struct, frozen=True):
    """`run.json`.

    Attributes:
        epochs: asked for on the command line; None: as the recipe says.
        data_root: the folder the data sets were looked for in.
        splits: groups by split, as `dataset/name`.
        history: by stage, `loss` and `val_loss` of each epoch.
        metrics: of the float model, by split.
        operating_point: of the float model, for the report; export chooses anew.
        uses_all: nothing was kept apart, see `training.splits`.
        is_finished: False while training or after an interruption.
        method: how it was trained, where the workload knows several ways.
    """

    workload: str
    revision: int
    seed: int
    epochs: int | None
    data_root: str
    sources: list[Source]
    splits: dict[str, list[str]]
    created: str
    command: str
    commit: str
    versions: dict[str, str]
    seconds: float = 0.0
    history: dict[str, dict[str, list[float]]] = {}
    metrics: dict[str, dict[str, float]] = {}
    operating_point: OperatingPoint | None = None
    uses_all: bool = False
    is_finished: bool = False
    method: str = ""


def describe_sources(datasets: Sequence[DataSet]) -> list[Source]:
    """What a run remembers of its data."""
    return [Source(d.name, d.digest, len(d.recordings), d.licence) for d in datasets]


def describe_splits(
    datasets: Sequence[DataSet], *, seed: int, uses_all: bool = False, tests: bool = True
) -> dict[str, list[str]]:
    """Which group went where, as `dataset/name`."""
    return {
        which: [
            f"{r.dataset}/{r.name}"
            for r in recordings(datasets, which, seed=seed, uses_all=uses_all, tests=tests)
        ]
        for which in SPLITS
    }


def check_same_data(run: Run, datasets: Sequence[DataSet]) -> None:
    """Refuse to go on with other data than a run was begun with.

    Raises:
        DataError: a data set is missing, new or changed.
    """
    if describe_sources(datasets) != run.sources:
        then = ", ".join(f"{s.name} {s.digest[:12]}" for s in run.sources)
        now = ", ".join(f"{d.name} {d.digest[:12]}" for d in datasets)
        raise DataError(
            f"the data changed since this run: it had {then}; {run.data_root} now gives {now}; "
            f"fix: vedette train {run.workload}"
        )


def write(folder: Path, run: Run) -> None:
    """Replace `run.json` in one step."""
    temporary = folder / f"{RUN}.tmp"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    temporary.replace(folder / RUN)


def read(folder: Path) -> Run:
    """Read `run.json`.

    Raises:
        DataError: no run there, or a damaged one.
    """
    file = folder / RUN
    try:
        return msgspec.json.decode(file.read_bytes(), type=Run)
    except OSError as error:
        raise DataError(
            f"{file}: {error.strerror}; fix: give a folder made by vedette train"
        ) from None
    except msgspec.DecodeError as error:
        raise DataError(f"{file}: {error}; fix: vedette train again") from None


def data_root(given: Path | None) -> Path:
    """The folder that holds the data sets: as given, else `VEDETTE_DATA`, else `./data`.

    Raises:
        DataError: one was named and is not there.
    """
    named = given or (Path(path) if (path := os.environ.get("VEDETTE_DATA")) else None)
    if named is not None and not named.is_dir():
        origin = "--data" if given else "VEDETTE_DATA"
        raise DataError(f"{origin}: {named}: no such folder; fix: name the folder of the data sets")
    return (named or Path("data")).resolve()


def versions(*packages: str) -> dict[str, str]:
    """Python's version, and of those of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in ("vedette", "numpy", "keras", "tensorflow", "tensorflow-cpu", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit of the code that runs, `unknown` outside a repository; `+` after it: changed."""
    describe = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(
            describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def now() -> str:
    """The wall clock in RFC 3339, UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
