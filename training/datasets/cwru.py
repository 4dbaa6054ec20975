"""CWRU: bearings with faults made by spark erosion, and one healthy recording.

Case Western Reserve University Bearing Data Center, K. A. Loparo. Read from files `*.npz` with `DE`
and, where there is one, `FE` int16 (samples,), accelerometers at the drive and the fan end,
`DE_scale` and `FE_scale` (g per count) and `fs` (Hz). A file whose name begins with `normal` is of
the healthy machine.

Protocol: overlapping windows go through the bundle's own stages; the detector learns on the first
half of the healthy windows and is tested on the second half and on every file with a fault. The
faults are far from incipient, so a perfect result proves the plumbing and nothing more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from contract import novelty, npz
from contract.spec import Array, Floats, Window
from training.datasets import DataError, DataSet, Recording
from training.metrics import auroc
from training.protocols import Bench, Measured, Row

LICENCE = 'unstated; "all credits for the dataset belong to CWRU", Bearing Data Center'
WINDOW = 2560  # samples
HOP = WINDOW // 2
_ENDS = ("DE", "FE")


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    files = sorted(folder.glob("*.npz"))
    return any(_is_healthy(file.stem) for file in files) and all("DE" in _keys(f) for f in files)


def open_folder(folder: Path) -> DataSet:
    """All recordings of a folder. There is nothing to train on: three healthy seconds.

    Raises:
        DataError: no healthy recording, none with a fault, or a damaged file.
    """
    arrays = {file.stem: _read(file) for file in sorted(folder.glob("*.npz"))}
    healthy = sorted(name for name in arrays if _is_healthy(name))
    faulty = sorted(set(arrays) - set(healthy))
    if not healthy or not faulty:
        missing = "normal*.npz" if not healthy else "recording with a fault"
        raise DataError(f"{folder}: no {missing} in it; fix: copy the data set there again")
    ends = [end for end in _ENDS if all(end in one for one in arrays.values())]
    recordings = {name: _recording(name, one, ends) for name, one in arrays.items()}
    return DataSet(
        name="cwru",
        recordings=(),
        licence=LICENCE,
        shareable=False,
        measure=partial(
            measure, [recordings[name] for name in healthy], [recordings[name] for name in faulty]
        ),
        compared=tuple(
            _life([recordings[name] for name in healthy], recordings[name]) for name in faulty
        ),
    )


def measure(healthy: Sequence[Recording], faulty: Sequence[Recording], bench: Bench) -> Measured:
    """Learn on the first half of the healthy windows, tell the second half from every fault.

    Args:
        healthy: in time order.
        faulty: one recording per fault.
        bench: runs them.

    Returns:
        `auroc_min` and `tpr_min` over the files with a fault; `fpr` of the healthy windows that
        were not learned from; `files`, and how many windows were learned and tested.
    """
    all_healthy = [*healthy, *faulty]
    vectors = {r.name: _vectors(r, bench) for r in bench.each(all_healthy, lambda r: r.name)}
    windows = np.concatenate([vectors[recording.name] for recording in healthy])
    half = len(windows) // 2
    learned = novelty.learn(windows[:half])
    # the window at the border shares samples with the last one learned
    negative = novelty.scores(learned, windows[half + 1 :])
    rows: list[Row] = []
    for recording in faulty:
        positive = novelty.scores(learned, vectors[recording.name])
        rows.append(
            {
                "name": recording.name,
                "windows": len(positive),
                "auroc": auroc(negative, positive),
                "tpr": float((positive >= 1).mean()),
                "lowest_score": float(positive.min()),
            }
        )
    return Measured(
        {
            "auroc_min": min(float(row["auroc"] or 0) for row in rows),
            "tpr_min": min(float(row["tpr"] or 0) for row in rows),
            "fpr": float((negative >= 1).mean()),
            "files": float(len(rows)),
            "learned_windows": float(half),
            "tested_windows": float(len(negative)),
        },
        tuple(rows),
    )


def _vectors(recording: Recording, bench: Bench) -> Floats:
    """(windows, features) float32: what the bundle's stages say of each window, all channels."""
    found = bench.see(recording).found
    return np.stack(
        [np.concatenate([d.vector for d in one if d.vector is not None]) for one in found]
    )


def _recording(name: str, arrays: Mapping[str, Array], ends: Sequence[str]) -> Recording:
    data = np.column_stack(
        [arrays[end] * np.float32(arrays[f"{end}_scale"]) for end in ends]
    ).astype(np.float32)
    windows = (len(data) - WINDOW) // HOP + 1
    return Recording(
        name=name,
        dataset="cwru",
        life=(np.arange(1, windows + 1) / windows).astype(np.float32),
        learn_windows=windows // 2,
        onset=None,
        digest=hashlib.sha256(data.tobytes()).hexdigest(),
        window=partial(_window, name, data, float(arrays["fs"])),
    )


def _life(healthy: Sequence[Recording], fault: Recording) -> Recording:
    """All healthy windows and then those of a fault, as if one machine had failed at once."""
    parts = [*healthy, fault]
    places = [(part, i) for part in parts for i in range(len(part))]
    before = len(places) - len(fault)

    def window(i: int) -> Window:
        part, number = places[i]
        hop_ns = part.window(1).t_ns - part.window(0).t_ns
        return replace(part.window(number), source=fault.name, seq=i, t_ns=(i + 2) * hop_ns)

    return Recording(
        name=fault.name,
        dataset=fault.dataset,
        life=(np.arange(1, len(places) + 1) / len(places)).astype(np.float32),
        learn_windows=before // 2,
        onset=(before + 0.5) / len(places),  # before the first window with the fault
        digest=hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(),
        window=window,
    )


def _window(name: str, data: Floats, rate_hz: float, i: int) -> Window:
    """Window `i` of a recording, in g."""
    end = i * HOP + WINDOW
    return Window(name, i, int(end / rate_hz * 1e9), 0, data[end - WINDOW : end], rate_hz)


def _is_healthy(name: str) -> bool:
    return name.lower().startswith("normal")


def _keys(file: Path) -> set[str]:
    """Names of the arrays; none where the file cannot be read."""
    try:
        return set(npz.read(file))
    except (OSError, ValueError):
        return set()


def _read(file: Path) -> dict[str, Array]:
    try:
        arrays = npz.read(file)
        samples = {end: arrays[end] for end in _ENDS if end in arrays or end == "DE"}
        for end, one in samples.items():
            if one.ndim != 1 or not np.issubdtype(one.dtype, np.integer):
                raise ValueError(f"{end!r} is {one.dtype} {one.shape}, not integers (samples,)")
            if float(arrays[f"{end}_scale"]) <= 0:
                raise ValueError(f"'{end}_scale' is not above 0")
        least = WINDOW + 2 * novelty.LEAST_ROWS * HOP
        if len(arrays["DE"]) < least or len({len(one) for one in samples.values()}) > 1:
            raise ValueError(
                f"'DE' has {len(arrays['DE'])} samples, not {least} or as many as 'FE'"
            )
        if float(arrays["fs"]) <= 0:
            raise ValueError("'fs' is not above 0")
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    return arrays
