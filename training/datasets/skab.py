"""SKAB: one water pump, many experiments, each with one fault made by hand.

Katser and Kozitsin, Skoltech Anomaly Benchmark, doi 10.34740/KAGGLE/DSV/1693952, 2020. Read from
files `*.csv` or `*.csv.gz`, a row a second, with columns `Accelerometer1RMS`, `Accelerometer2RMS`
(g), `Current` (A), `Volume Flow RateRMS` (l/min) and `anomaly`, 1 while the fault was there;
without that column nothing was wrong. Pressure, voltage and the temperatures are not used: they
tell of the mains, the weather and how long the pump has run.

Protocol: learn on the first 400 rows of each file, judge the others; rates pooled over all files
with a fault. Nothing is chosen on these files: the detector has one setting for all data sets.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO, cast

import numpy as np

from contract import novelty
from contract.spec import Array
from training.datasets import DataError, DataSet
from training.protocols import Bench, Measured, Row

LICENCE = "GPL v3.0; I. D. Katser and V. O. Kozitsin, Skoltech Anomaly Benchmark (SKAB), 2020"
COLUMNS = ("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Volume Flow RateRMS")
LEARN_ROWS = 400
_LABEL = "anomaly"
_EPS = 1e-3  # in each sensor's unit: a flow of zero has a logarithm too


@dataclass(frozen=True, eq=False)
class Experiment:
    """One file.

    Attributes:
        name: of the file.
        levels: (n, 4) log levels of `COLUMNS`.
        is_faulty: (n,) bool.
    """

    name: str
    levels: Array
    is_faulty: Array


@dataclass(frozen=True)
class _Counts:
    """How many rows were judged how: alarms in time, false alarms, missed, silent rightly."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    silent: int = 0

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.hit + other.hit,
            self.false + other.false,
            self.missed + other.missed,
            self.silent + other.silent,
        )

    @property
    def f1(self) -> float:
        return 2 * self.hit / max(2 * self.hit + self.false + self.missed, 1)

    @property
    def far(self) -> float:
        return self.false / max(self.false + self.silent, 1)

    @property
    def mar(self) -> float:
        return self.missed / max(self.missed + self.hit, 1)


def _files(folder: Path) -> list[Path]:
    return sorted({*folder.glob("*.csv"), *folder.glob("*.csv.gz")})


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return any(set(COLUMNS) <= set(_heading(file)) for file in _files(folder))


def open_folder(folder: Path) -> DataSet:
    """All experiments of a folder. There are no samples to train on, only levels.

    Raises:
        DataError: no experiment in the folder, or a damaged one.
    """
    files = [file for file in _files(folder) if set(COLUMNS) <= set(_heading(file))]
    experiments = [_read(file) for file in files]
    if not any(one.is_faulty.any() for one in experiments):
        raise DataError(f"{folder}: no experiment with a fault; fix: copy the data set there again")
    return DataSet(
        name="skab",
        recordings=(),
        licence=LICENCE,
        shareable=False,
        measure=partial(measure, experiments),
        needs_bundle=False,
    )


def measure(experiments: Sequence[Experiment], bench: Bench) -> Measured:
    """Learn and judge each experiment by itself.

    Args:
        experiments: to judge.
        bench: shows how far it is.

    Returns:
        Pooled over the rows after learning of all experiments with a fault: `f1`, `far` (share of
        healthy rows in alarm), `mar` (share of faulty rows missed); `f1_whole_file` and
        `far_whole_file`, the rows of the learning period counting as silent; `experiments`, and
        `found`: in alarm at any time of the fault; `far_healthy_runs`, of files without a fault,
        where there are any.
    """
    rows: list[Row] = []
    judged, whole, healthy = _Counts(), _Counts(), _Counts()
    for one in bench.each(experiments, lambda one: one.name):
        scores = novelty.scores(novelty.learn(one.levels[:LEARN_ROWS]), one.levels)
        is_alarm = scores >= 1
        is_alarm[:LEARN_ROWS] = False
        after = _count(is_alarm[LEARN_ROWS:], one.is_faulty[LEARN_ROWS:])
        if one.is_faulty.any():
            judged, whole = judged + after, whole + _count(is_alarm, one.is_faulty)
        else:
            healthy += after
        rows.append(
            {
                "name": one.name,
                "rows": len(scores),
                "faulty_rows": int(one.is_faulty.sum()),
                "f1": after.f1 if one.is_faulty.any() else None,
                "far": after.far,
                "first_alarm_after_s": _delay_s(is_alarm, one.is_faulty),
            }
        )
    metrics = {
        "f1": judged.f1,
        "far": judged.far,
        "mar": judged.mar,
        "f1_whole_file": whole.f1,
        "far_whole_file": whole.far,
        "experiments": float(sum(bool(row["faulty_rows"]) for row in rows)),
        "found": float(sum(row["first_alarm_after_s"] is not None for row in rows)),
    }
    if healthy != _Counts():
        metrics["far_healthy_runs"] = healthy.far
    return Measured(metrics, tuple(rows))


def _count(is_alarm: Array, is_faulty: Array) -> _Counts:
    return _Counts(
        int((is_alarm & is_faulty).sum()),
        int((is_alarm & ~is_faulty).sum()),
        int((~is_alarm & is_faulty).sum()),
        int((~is_alarm & ~is_faulty).sum()),
    )


def _delay_s(is_alarm: Array, is_faulty: Array) -> float | None:
    """Rows, so seconds, from the begin of the fault to the first alarm while it is there."""
    found = np.flatnonzero(is_alarm & is_faulty)
    return float(found[0] - is_faulty.argmax()) if len(found) else None


def _heading(file: Path) -> list[str]:
    """Names of the columns; none where the file cannot be read."""
    try:
        with _open(file) as lines:
            return next(csv.reader(lines, delimiter=_delimiter(file)), [])
    except (OSError, EOFError, UnicodeDecodeError):
        return []


def _delimiter(file: Path) -> str:
    with _open(file) as lines:
        return ";" if ";" in lines.readline() else ","


def _open(file: Path) -> TextIO:
    return cast("TextIO", gzip.open(file, "rt") if file.suffix == ".gz" else file.open())


def _read(file: Path) -> Experiment:
    try:
        with _open(file) as lines:
            rows = list(csv.DictReader(lines, delimiter=_delimiter(file)))
        levels = np.array([[float(row[column]) for column in COLUMNS] for row in rows])
        is_faulty = np.array([float(row.get(_LABEL, 0)) > 0 for row in rows])
        if len(rows) <= LEARN_ROWS:
            raise ValueError(f"{len(rows)} rows, but {LEARN_ROWS} are learned from")
        if not np.isfinite(levels).all():
            raise ValueError("not all values are numbers")
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    name = file.name.removesuffix(".gz").removesuffix(".csv")
    return Experiment(name, np.log(np.maximum(levels, _EPS)), is_faulty)
