"""PRONOSTIA: bearings run to failure, one file per bearing.

Nectoux et al., "PRONOSTIA: An experimental platform for bearings accelerated degradation tests",
IEEE International Conference on Prognostics and Health Management, 2012. Read from files
`bearing*.npz` with `acc` int16 (snapshots, samples, channels), `scale` (g per count), `fs` (Hz),
`index` (number of each kept snapshot, from 1), `n_total` (snapshots in the life) and `interval_s`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from contract.lives import LEARN_SHARE, healthy_start
from contract.spec import Array, Window
from training.datasets import DataError, DataSet, Recording
from training.metrics import run_to_failure
from training.protocols import over_lives

LICENCE = (
    "IEEE PHM 2012 challenge data, FEMTO-ST Institute; licence unstated by its distributors, who "
    "ask to cite P. Nectoux et al., PRONOSTIA, IEEE PHM 2012"
)
_KEYS = ("acc", "scale", "fs", "index", "n_total", "interval_s")


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return any(folder.glob("bearing*.npz"))


def open_folder(folder: Path, *, learn_share: float = LEARN_SHARE) -> DataSet:
    """All bearings of a folder.

    Args:
        folder: holds one `bearing*.npz` per bearing.
        learn_share: share of the life, at least 50 snapshots, that a device learns from.

    Raises:
        DataError: no bearing in the folder, or a damaged file.
    """
    files = sorted(folder.glob("bearing*.npz"))
    if not files:
        raise DataError(f"{folder}: no bearing*.npz in it; fix: copy the data set there again")
    recordings = tuple(_read(file, learn_share) for file in files)
    return DataSet(
        name="pronostia",
        recordings=recordings,
        licence=LICENCE,
        shareable=False,
        measure=partial(over_lives, recordings, run_to_failure),
    )


def _read(file: Path, learn_share: float) -> Recording:
    """One bearing's life; the whole file is read so that damage shows before anything starts."""
    try:
        raw = file.read_bytes()
        with np.load(io.BytesIO(raw)) as archive:
            life = {key: archive[key] for key in _KEYS}
        _check(life)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = str(error).strip("'\"").splitlines()[0] or type(error).__name__
        raise DataError(f"{file}: {why}; fix: copy this file again") from None
    index, total = life["index"].astype(np.int64), int(life["n_total"])
    return Recording(
        name=file.stem,
        dataset="pronostia",
        life=(index / total).astype(np.float32),
        learn_windows=healthy_start(index, total, share=learn_share),
        onset=None,
        digest=hashlib.sha256(raw).hexdigest(),
        window=partial(_window, file.stem, life),
    )


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


def _window(name: str, life: dict[str, Array], i: int) -> Window:
    """Kept snapshot `i` of a bearing, in g."""
    t_s = (int(life["index"][i]) - 1) * float(life["interval_s"])
    data = life["acc"][i].astype(np.float32) * np.float32(life["scale"])
    return Window(name, i, int(t_s * 1e9), 0, data, float(life["fs"]))
