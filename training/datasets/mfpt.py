"""MFPT: seeded faults of a bearing's races at several loads, one file per recording.

E. Bechhoefer, Society for Machinery Failure Prevention Technology, "Condition Based Maintenance
Fault Database". Read from files `*.npz` with `gs` int16 (samples,), `gs_scale` (g per count), `fs`
(Hz), `shaft_hz` and `load_lbs`. The fault stands in the file's name alone, and only the score
looks at it.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from contract import bearings
from contract.bearings import Part
from contract.faults import name_fault
from contract.spec import Floats
from training.datasets import DataError, DataSet
from training.protocols import Bench, Measured, Row

LICENCE = (
    "Creative Commons Attribution-NonCommercial-ShareAlike 4.0; E. Bechhoefer, Society for "
    "Machinery Failure Prevention Technology"
)
NO_FAULT = "no bearing fault"
_LABELS: dict[str, Part | None] = {
    "inner": "inner",
    "outer": "outer",
    "ball": "ball",
    "baseline": None,
    "normal": None,
}
_KEYS = ("gs", "gs_scale", "fs", "shaft_hz", "load_lbs")
_DB_PER_NEPER = 20.0 / np.log(10.0)


@dataclass(frozen=True, eq=False)
class Signal:
    """One recording.

    Attributes:
        name: of its file.
        truth: the damaged part, by the file's name; None: a good bearing.
        x: (samples,) float32, g.
        rate_hz: sample rate.
        shaft_hz: turns per second.
        load_lbs: on the bearing.
    """

    name: str
    truth: Part | None
    x: Floats
    rate_hz: float
    shaft_hz: float
    load_lbs: float


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return any(folder.glob("*RaceFault_*.npz"))


def open_folder(folder: Path) -> DataSet:
    """All recordings of a folder. There is nothing to train on: single windows, hardly a good one.

    Raises:
        DataError: no recording in the folder, a damaged file, or one whose name tells no fault.
    """
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise DataError(f"{folder}: no *.npz in it; fix: copy the data set there again")
    signals = [_read(file) for file in files]
    return DataSet(
        name="mfpt",
        recordings=(),
        licence=LICENCE,
        shareable=False,
        measure=partial(measure, signals),
        needs_bundle=False,
    )


def measure(signals: list[Signal], bench: Bench) -> Measured:
    """Name the fault of every recording by the envelope method.

    Args:
        signals: to name.
        bench: shows how far it is.

    Returns:
        `files` and `named_correctly`; `margin_db_min`, by how many dB the worst named one was
        clear of the next part and of the threshold.
    """
    bearing = bearings.find("NICE")
    rows: list[Row] = []
    margins = []
    for one in bench.each(signals, lambda one: one.name):
        fault = name_fault(one.x, rate_hz=one.rate_hz, shaft_hz=one.shaft_hz, bearing=bearing)
        margins.append(fault.margin * _DB_PER_NEPER)
        rows.append(
            {
                "name": one.name,
                "load_lbs": one.load_lbs,
                "fault": one.truth or NO_FAULT,
                "named": fault.part or NO_FAULT,
                "rate_hz": round(fault.rate_hz, 2),
                "margin_db": round(margins[-1], 1),
            }
        )
    metrics = {
        "files": float(len(rows)),
        "named_correctly": float(sum(row["named"] == row["fault"] for row in rows)),
        "margin_db_min": round(min(margins), 1),
    }
    return Measured(metrics, tuple(rows))


def _read(file: Path) -> Signal:
    labels = {part for word, part in _LABELS.items() if word in file.stem.lower()}
    if len(labels) != 1:
        raise DataError(
            f"{file}: its name tells no fault; fix: have one of {', '.join(_LABELS)} in it"
        )
    try:
        with np.load(io.BytesIO(file.read_bytes())) as archive:
            held = {key: archive[key] for key in _KEYS}
        if held["gs"].ndim != 1 or not np.issubdtype(held["gs"].dtype, np.integer):
            raise ValueError(f"'gs' is {held['gs'].dtype} {held['gs'].shape}, not int16 (samples,)")
        rate_hz, shaft_hz = float(held["fs"]), float(held["shaft_hz"])
        if not (rate_hz > 0 and shaft_hz > 0) or len(held["gs"]) < rate_hz:
            raise ValueError("'fs' or 'shaft_hz' is not above 0, or 'gs' is shorter than a second")
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = str(error).strip("'\"").splitlines()[0] or type(error).__name__
        raise DataError(f"{file}: {why}; fix: copy this file again") from None
    x = held["gs"].astype(np.float32) * np.float32(held["gs_scale"])
    return Signal(file.stem, labels.pop(), x, rate_hz, shaft_hz, float(held["load_lbs"]))
