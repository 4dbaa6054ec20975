"""Cooling fans: spectra at several speeds, in several rooms, with and without damage.

Sunaga, Kondo, Matsutani, "Addressing Gap between Training Data and Deployed Environment by
On-Device Learning", IEEE Micro 43(6), 2023. Read from files `SIZE_SPEEDS_TYPE_ROOM[_REPEAT].npz`
with `spectra` float (n, 512): amplitudes 0 to 1 of lines 1 Hz apart, a spectrum every 2 s. SPEEDS
are letters h, m, l, o (high, medium, low, off); a recording of several goes through them in this
order, equally long at each. TYPE is `normal` or names a damage.

Protocol: a device learns in the room it is in, from the first normal recording through most
speeds (8 minutes); no other room, fan or damage plays a part. It is tested on the other normal
recordings of these speeds and on every damaged fan of this size in this room.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from contract import novelty, npz
from contract.spec import Array
from training.datasets import DataError, DataSet
from training.metrics import auroc
from training.protocols import Bench, Measured, Row

LICENCE = (
    "unstated by its authors (GitHub matutani/cooling-fan), who ask to cite Sunaga, Kondo, "
    "Matsutani, IEEE Micro 43(6), 2023"
)
NORMAL = "normal"
N_BANDS = 32
_EPS = 0.01  # amplitude; half of what a fan at rest shows
_NAME = re.compile(r"(\d+cm)_([hmlo]+)_([a-zA-Z]+\d*)_([a-zA-Z]+)(?:_(\d+))?")


@dataclass(frozen=True, eq=False)
class Spectra:
    """One recording.

    Attributes:
        name: of its file.
        size, speeds, kind, room, repeat: as its name says; `kind` is `normal` or a damage.
        levels: (n, N_BANDS) log levels.
        is_running: (n,) bool, False while the fan is off.
    """

    name: str
    size: str
    speeds: str
    kind: str
    room: str
    repeat: int
    levels: Array
    is_running: Array


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return any(_NAME.fullmatch(file.stem) for file in folder.glob("*.npz"))


def open_folder(folder: Path) -> DataSet:
    """All recordings of a folder. There are no samples to train on, only spectra.

    Raises:
        DataError: a damaged file, or no normal fan to learn from.
    """
    spectra = [_read(file) for file in sorted(folder.glob("*.npz")) if _NAME.fullmatch(file.stem)]
    if not any(one.kind == NORMAL for one in spectra):
        raise DataError(
            f"{folder}: no SIZE_SPEEDS_normal_ROOM.npz in it; fix: copy the data set there again"
        )
    return DataSet(
        name="cooling_fan",
        recordings=(),
        licence=LICENCE,
        shareable=False,
        measure=partial(measure, spectra),
        needs_bundle=False,
    )


def measure(spectra: Sequence[Spectra], bench: Bench) -> Measured:
    """Learn in every room, for every size of fan; the damages of this size and room are found.

    Args:
        spectra: all recordings.
        bench: shows how far it is.

    Returns:
        Of the rows of running fans, the worst of all combinations: `auroc_after_learning_min`,
        `tpr_min` and `fpr_max` at the threshold the device chose itself; the same `_all_rows`,
        where a damage cannot be seen while the fan is off; `fpr_other_sessions_max`, of normal
        recordings at single speeds, up to an hour from the learning. A combination counts for what
        it has the recordings for.
    """
    places: dict[tuple[str, str], list[Spectra]] = defaultdict(list)
    for one in spectra:
        places[one.size, one.room].append(one)
    able = [those for those in places.values() if any(one.kind == NORMAL for one in those)]
    rows = [row for those in bench.each(able, lambda those: those[0].name) for row in _rows(those)]
    worst = {
        "auroc_after_learning_min": min(_column(rows, "auroc"), default=None),
        "tpr_min": min(_column(rows, "tpr"), default=None),
        "fpr_max": max(_column(rows, "fpr"), default=None),
        "auroc_all_rows_min": min(_column(rows, "auroc_all_rows"), default=None),
        "tpr_all_rows_min": min(_column(rows, "tpr_all_rows"), default=None),
        "fpr_all_rows_max": max(_column(rows, "fpr_all_rows"), default=None),
        "fpr_other_sessions_max": max(_column(rows, "fpr_other_sessions"), default=None),
    }
    metrics = {name: value for name, value in worst.items() if value is not None}
    return Measured({"combinations": float(len(rows)), **metrics}, tuple(rows))


def _rows(those: Sequence[Spectra]) -> Iterator[Row]:
    """One size of fan in one room: a row per damage, or one where no damage was recorded."""
    normal = sorted(
        (one for one in those if one.kind == NORMAL), key=lambda one: (-len(one.speeds), one.repeat)
    )
    first, *others = normal
    learned = novelty.learn(first.levels)
    known = [one for one in others if set(one.speeds) <= set(first.speeds)]
    healthy = [one for one in known if one.speeds == first.speeds]
    elsewhen = [one for one in known if one.speeds != first.speeds]
    for kind in sorted({one.kind for one in those} - {NORMAL}) or [""]:
        damaged = [
            one for one in those if one.kind == kind and set(one.speeds) <= set(first.speeds)
        ]
        row: Row = {
            "name": f"{first.size} {first.room} {kind or '(healthy)'}",
            "learned_rows": len(first.levels),
            "conditions": len(learned["centres"]),
        }
        for suffix, only_running in (("", True), ("_all_rows", False)):
            negative = _scores(learned, healthy, only_running=only_running)
            positive = _scores(learned, damaged, only_running=only_running)
            both = len(negative) and len(positive)
            row["auroc" + suffix] = auroc(negative, positive) if both else None
            row["tpr" + suffix] = _hits(positive)
            row["fpr" + suffix] = _hits(negative)
        row["fpr_other_sessions"] = _hits(_scores(learned, elsewhen, only_running=True))
        yield row


def _scores(learned: novelty.Learned, those: Sequence[Spectra], *, only_running: bool) -> Array:
    """Scores of all recordings, each begun anew, one after another."""
    scores = [
        novelty.scores(learned, one.levels)[one.is_running | (not only_running)] for one in those
    ]
    return np.concatenate([np.empty(0), *scores])


def _hits(scores: Array) -> float | None:
    return float((scores >= 1).mean()) if len(scores) else None


def _column(rows: Sequence[Row], key: str) -> list[float]:
    return [value for row in rows if isinstance(value := row[key], float)]


def _read(file: Path) -> Spectra:
    found = _NAME.fullmatch(file.stem)
    assert found is not None
    size, speeds, kind, room, repeat = found.groups()
    try:
        spectra = npz.read(file)["spectra"].astype(np.float64)
        if spectra.ndim != 2 or spectra.shape[1] % N_BANDS or len(spectra) < novelty.LEAST_ROWS:
            raise ValueError(f"'spectra' is {spectra.shape}, not (spectra, lines)")
        if not np.isfinite(spectra).all() or (spectra < 0).any():
            raise ValueError("'spectra' has NaN or negative amplitudes")
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    # the mean of the logs: a line that drifts from one bin to the next must not count as new
    levels = np.log(spectra + _EPS).reshape(len(spectra), N_BANDS, -1).mean(axis=2)
    part = np.arange(len(spectra)) * len(speeds) // len(spectra)
    is_running = np.array([speeds[i] != "o" for i in part])
    return Spectra(file.stem, size, speeds, kind, room, int(repeat or 1), levels, is_running)
