"""PRONOSTIA: bearings run to failure, one file per bearing.

Nectoux et al., "PRONOSTIA: An experimental platform for bearings accelerated degradation tests",
IEEE International Conference on Prognostics and Health Management, 2012. Read from files
`bearing*.npz` with `acc` int16 (snapshots, samples, channels), `scale` (g per count), `fs` (Hz),
`index` (number of each kept snapshot, from 1), `n_total` (snapshots in the life) and `interval_s`.
Beside them may lie `bearing*_features.csv.gz` with figures of every snapshot, of which crest factor
(`h_crest`, `v_crest`) and RMS up to 1 kHz (`h_b0_1k`, `v_b0_1k`, g) stand for those whose samples
were not kept.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from contract.lives import LEARN_SHARE, healthy_start, learned_until
from contract.spec import Array, Detections, Window
from contract.workloads.machine_condition import partly_known
from training.datasets import DataError, DataSet, Recording
from training.protocols import LEARN_SHARES, early_and_silent

LICENCE = (
    "IEEE PHM 2012 challenge data, FEMTO-ST Institute; licence unstated by its distributors, who "
    "ask to cite P. Nectoux et al., PRONOSTIA, IEEE PHM 2012"
)
_SILENT = 1e-6  # g
_KEYS = ("acc", "scale", "fs", "index", "n_total", "interval_s")


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return any(folder.glob("bearing*.npz"))


def open_folder(folder: Path, *, learn_share: float = LEARN_SHARE) -> DataSet:
    """All bearings of a folder.

    Args:
        folder: holds one `bearing*.npz` per bearing, and perhaps its figures.
        learn_share: share of the life, at least 50 snapshots, that a device learns from.

    Raises:
        DataError: no bearing in the folder, or a damaged file.
    """
    files = sorted(folder.glob("bearing*.npz"))
    if not files:
        raise DataError(f"{folder}: no bearing*.npz in it; fix: copy the data set there again")
    by_share = [_read(file, (learn_share, *LEARN_SHARES)) for file in files]
    lives = {share: tuple(one[share] for one in by_share) for share in by_share[0]}
    return DataSet(
        name="pronostia",
        recordings=lives[learn_share],
        licence=LICENCE,
        shareable=False,
        measure=partial(early_and_silent, lives),
    )


def _read(file: Path, learn_shares: Sequence[float]) -> dict[float, Recording]:
    """One bearing's life by the share of it that is learned from.

    The whole file is read, so that damage shows before anything starts.
    """
    try:
        raw = file.read_bytes()
        with np.load(io.BytesIO(raw)) as archive:
            life = {key: archive[key] for key in _KEYS}
        _check(life)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = str(error).strip("'\"").splitlines()[0] or type(error).__name__
        raise DataError(f"{file}: {why}; fix: copy this file again") from None
    index, total = life["index"].astype(np.int64), int(life["n_total"])
    between = _between(file.with_name(f"{file.stem}_features.csv.gz"), life)
    return {
        share: Recording(
            name=file.stem,
            dataset="pronostia",
            life=(index / total).astype(np.float32),
            learn_windows=healthy_start(index, total, share=share),
            onset=None,
            digest=hashlib.sha256(raw).hexdigest(),
            window=partial(_window, file.stem, life),
            between=between.__getitem__,
            learn_until_ns=_t_ns(life, learned_until(total, share=share)),
        )
        for share in learn_shares
    }


def _check(life: dict[str, Array]) -> None:
    """Refuse a file whose arrays do not belong together.

    Raises:
        ValueError: says what is wrong.
    """
    acc, index = life["acc"], life["index"]
    if acc.ndim != 3 or 0 in acc.shape or not np.issubdtype(acc.dtype, np.integer):
        raise ValueError(f"'acc' is {acc.dtype} {acc.shape}, not integers (snapshots, samples, 2)")
    if index.shape != acc.shape[:1] or index[0] < 1 or (np.diff(index) <= 0).any():
        raise ValueError("'index' does not number the snapshots of 'acc' upwards from 1")
    if int(life["n_total"]) < index[-1] or not float(life["fs"]) > 0:
        raise ValueError("'n_total' or 'fs' is too small")


def _between(file: Path, life: dict[str, Array]) -> list[list[tuple[int, Detections]]]:
    """For each kept snapshot the figures of those before it whose samples were not kept."""
    index = life["index"].astype(np.int64)
    found: list[list[tuple[int, Detections]]] = [[] for _ in index]
    if not file.exists():
        return found
    kept = set(index.tolist())
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                number = int(row["index"])
                at = int(np.searchsorted(index, number))
                if number in kept or at == len(index):
                    continue
                crest = np.array([float(row[f"{axis}_crest"]) for axis in "hv"], np.float32)
                level = np.array([float(row[f"{axis}_b0_1k"]) for axis in "hv"], np.float32)
                if not (np.isfinite(crest + level).all() and crest.min() > 0):
                    continue  # a dead channel: on a device such a window is refused
                known = partly_known(np.log(crest), np.log(np.maximum(level, _SILENT)))
                found[at].append((_t_ns(life, number), known))
    except (OSError, EOFError, zlib.error, KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    return found


def _window(name: str, life: dict[str, Array], i: int) -> Window:
    """Kept snapshot `i` of a bearing, in g."""
    data = life["acc"][i].astype(np.float32) * np.float32(life["scale"])
    return Window(name, i, _t_ns(life, life["index"][i]), 0, data, float(life["fs"]))


def _t_ns(life: dict[str, Array], number: float) -> int:
    """When the snapshot of a number was taken."""
    return int((float(number) - 1.0) * float(life["interval_s"]) * 1e9)
