"""Read an `.npz` file that may be damaged, or no such file at all."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from contract.spec import Array

# What NumPy lets through from below when the bytes are not what they claim to be.
_DAMAGED = (TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read(path: Path) -> dict[str, Array]:
    """All arrays of a file, by name; pickled objects are refused.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is damaged or no such file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except _DAMAGED as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
