"""IMS: four bearings on one shaft run to failure; how loud each was, a row every ten minutes.

Lee, Qiu, Yu, Lin and Rexnord Technical Services, "Bearing Data Set", IMS, University of
Cincinnati, NASA Prognostics Data Repository, 2007. Read from files `*.csv` with a first column
`datetime` and columns `b1`, `b2` ... or, where a bearing has two sensors, `b1a`, `b1b` ...: mean
absolute acceleration in g; and from `failures.csv` with columns `file`, `bearing` and `failed`
(1: defective at the end), which only the score looks at.

What all bearings of a shaft do at once is speed, load or temperature, not damage. So every sensor
is compared with the other bearings: its rise in log level since the learning period, less the
median rise of the others; a causal median of eight hours ignores spikes; rows of a standstill are
left out. The threshold is the device's own: twice the range that median had while learning, at
least 3 %. Only a rise above it counts, and each bearing tells once.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from contract.lives import LEARN_SHARE
from contract.spec import Array
from training.datasets import DataError, DataSet
from training.protocols import Bench, Measured, Row

LICENCE = (
    "openly distributed by NASA; cite J. Lee, H. Qiu, G. Yu, J. Lin and Rexnord Technical Services "
    "(2007), IMS, University of Cincinnati, Bearing Data Set, NASA Prognostics Data Repository"
)
FAILURES = "failures.csv"
MEDIAN_ROWS = 48  # eight hours
MARGIN = 2.0  # times the range of the learning period
LEAST_RISE = 0.03  # nepers: 3 %, less is no message whatever was learned
_RANGE = (0.02, 0.98)  # quantiles
_STANDSTILL = 1.0  # nepers below the learned level, median over the sensors
_EPS = 1e-6  # g


@dataclass(frozen=True, eq=False)
class Shaft:
    """One run to failure.

    Attributes:
        name: of its file.
        bearings: names of the bearings, by sensor.
        levels: (n, sensors) log levels.
        failed: names of the bearings that were defective at the end.
    """

    name: str
    bearings: tuple[str, ...]
    levels: Array
    failed: frozenset[str]


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return {"file", "bearing", "failed"} <= set(_lines(folder / FAILURES)[0])


def open_folder(folder: Path) -> DataSet:
    """All runs that `failures.csv` names and that lie in the folder. There are no samples.

    Raises:
        DataError: no run in the folder, or a damaged file.
    """
    failures = folder / FAILURES
    heading, *lines = _lines(failures)
    try:
        failed: dict[str, set[str]] = {}
        for line in lines:
            row = dict(zip(heading, line, strict=True))
            those = failed.setdefault(row["file"], set())
            if int(row["failed"]):
                those.add(row["bearing"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{failures}: {error}; fix: copy this file again") from None
    shafts = [
        _read(folder / name, frozenset(those))
        for name, those in sorted(failed.items())
        if (folder / name).exists()
    ]
    if not shafts:
        raise DataError(f"{folder}: no run of {FAILURES} in it; fix: copy the data set there again")
    return DataSet(
        name="ims_features",
        recordings=(),
        licence=LICENCE,
        shareable=False,
        measure=partial(measure, shafts),
        needs_bundle=False,
    )


def measure(shafts: Sequence[Shaft], bench: Bench) -> Measured:
    """When each bearing first stood out from its neighbours.

    Args:
        shafts: all runs.
        bench: shows how far it is.

    Returns:
        `failing_bearings`; `found_before_095`: of these, with a message between 0.30 and 0.95 of
        life; `false_before_030`: bearings, failing or not, with one earlier;
        `healthy_before_failing`: healthy bearings with one before the first failing bearing of
        their shaft has; `median_first_message_fraction` of the failing ones, never or too early
        counting 1.0.
    """
    rows: list[Row] = []
    for shaft in bench.each(shafts, lambda shaft: shaft.name):
        first = first_messages(shaft)
        first_failing = min((first[b] or 1.0 for b in shaft.failed), default=1.0)
        for bearing, fraction in first.items():
            is_failing = bearing in shaft.failed
            rows.append(
                {
                    "name": f"{shaft.name} {bearing}",
                    "failed": is_failing,
                    "first_message_fraction": fraction,
                    "before_failing": not is_failing and (fraction or 1.0) < first_failing,
                }
            )
    failing = [_fraction(row) for row in rows if row["failed"]]
    return Measured(
        {
            "failing_bearings": float(len(failing)),
            "found_before_095": float(sum(0.30 <= at < 0.95 for at in failing)),
            "false_before_030": float(sum(_fraction(row) < 0.30 for row in rows)),
            "healthy_before_failing": float(sum(bool(row["before_failing"]) for row in rows)),
            "median_first_message_fraction": float(
                np.median([at if at >= 0.30 else 1.0 for at in failing])
            ),
        },
        tuple(rows),
    )


def first_messages(shaft: Shaft, *, learn_share: float = LEARN_SHARE) -> dict[str, float | None]:
    """By bearing the fraction of life at its first message; None: never.

    Args:
        shaft: one run.
        learn_share: share of the life that is learned from.
    """
    life = np.arange(1, len(shaft.levels) + 1) / len(shaft.levels)
    is_learned = life <= learn_share
    risen = shaft.levels - np.median(shaft.levels[is_learned], axis=0)
    is_running = np.median(risen, axis=1) > -_STANDSTILL
    life, is_learned = life[is_running], is_learned[is_running]
    apart = _trailing_median(_less_the_others(risen[is_running], shaft.bearings))
    calm = apart[is_learned]
    low, high = np.quantile(calm[MEDIAN_ROWS // 2 :], _RANGE, axis=0)
    threshold = np.maximum(MARGIN * (high - low), LEAST_RISE)
    is_told = (apart - np.median(calm, axis=0) >= threshold) & ~is_learned[:, None]
    first: dict[str, float | None] = {}
    for bearing in sorted(set(shaft.bearings)):
        own = np.array([one == bearing for one in shaft.bearings])
        told = is_told[:, own].any(axis=1)
        first[bearing] = float(life[told.argmax()]) if told.any() else None
    return first


def _less_the_others(risen: Array, bearings: Sequence[str]) -> Array:
    """(n, sensors) each less the median over the other bearings, of two sensors their mean."""
    names = sorted(set(bearings))
    of = np.array([names.index(one) for one in bearings])
    means = np.stack([risen[:, of == i].mean(axis=1) for i in range(len(names))], axis=1)
    others = [np.median(np.delete(means, i, axis=1), axis=1) for i in range(len(names))]
    less: Array = risen - np.stack(others, axis=1)[:, of]
    return less


def _trailing_median(x: Array) -> Array:
    """(n, sensors) median of each row and those before it, MEDIAN_ROWS at most."""
    return np.stack(
        [np.median(x[max(i + 1 - MEDIAN_ROWS, 0) : i + 1], axis=0) for i in range(len(x))]
    )


def _fraction(row: Mapping[str, str | float | bool | None]) -> float:
    return float(row["first_message_fraction"] or 1.0)


def _lines(file: Path) -> list[list[str]]:
    """Lines of a table, at least one; an empty one where the file cannot be read."""
    try:
        with file.open() as lines:
            return list(csv.reader(lines)) or [[]]
    except (OSError, UnicodeDecodeError):
        return [[]]


def _read(file: Path, failed: frozenset[str]) -> Shaft:
    heading, *lines = _lines(file)
    try:
        if len(heading) < 1 + 3 or heading[0] != "datetime":
            raise ValueError(f"columns {heading}, not 'datetime' and three bearings or more")
        bearings = tuple(column.rstrip("ab") or column for column in heading[1:])
        if unknown := failed - set(bearings):
            raise ValueError(f"no bearing {min(unknown)!r}, but {FAILURES} says it failed")
        x = np.array([[float(value) for value in line[1:]] for line in lines])
        if x.shape != (len(lines), len(bearings)) or len(x) < 10 * MEDIAN_ROWS:
            raise ValueError(f"a table {x.shape}, not {10 * MEDIAN_ROWS} rows of {len(bearings)}")
        if not np.isfinite(x).all() or (x < 0).any():
            raise ValueError("NaN or negative levels")
    except ValueError as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    return Shaft(file.stem, bearings, np.log(x + _EPS), failed)
