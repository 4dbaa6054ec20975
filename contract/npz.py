"""Read an `.npz` file that may be damaged, made to do harm, or no such file at all."""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from contract.spec import Array

_MAX_ARRAYS = 256
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what NumPy writes
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What comes up from below when the bytes are not what they claim to be.
_DAMAGED = (
    *(TypeError, KeyError, EOFError, RuntimeError, SyntaxError, OverflowError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, RecursionError),
)


def read(path: Path) -> dict[str, Array]:
    """All arrays of a file, by name; pickled objects are refused.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is damaged or no such file.
    """
    with path.open("rb") as file:
        return _read(file, max_bytes=None)


def loads(raw: bytes, *, max_bytes: int) -> dict[str, Array]:
    """All arrays of a file's bytes that need not be believed, by name.

    Args:
        raw: of the file.
        max_bytes: most that the arrays may take together; more is refused before it is unpacked.

    Raises:
        ValueError: damaged, no such file, or too large.
    """
    # every entry begins with this; Python would keep half a kilobyte for each of a million
    if raw.count(b"PK\x01\x02") > 2 * _MAX_ARRAYS:
        raise ValueError(f"more than {_MAX_ARRAYS} arrays")
    return _read(io.BytesIO(raw), max_bytes=max_bytes)


def _read(file: IO[bytes], *, max_bytes: int | None) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            names = [member.filename.removesuffix(".npy") for member in members]
            if len(names) > _MAX_ARRAYS:
                raise ValueError(f"{len(names)} arrays, at most {_MAX_ARRAYS} are read")
            if len(set(names)) < len(names):
                raise ValueError(f"an array stands twice in {sorted(names)}")
            total = sum(member.file_size for member in members)
            if max_bytes is not None and total > max_bytes:
                raise ValueError(f"unpacks to {total} bytes, at most {max_bytes} are read")
            return {
                name: _array(archive, member) for name, member in zip(names, members, strict=True)
            }
    except _DAMAGED as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """One array, read-only; never more is unpacked or set aside than the directory says."""
    if member.compress_type not in _METHODS:  # others unpack without a bound
        raise ValueError(f"{member.filename}: compressed by method {member.compress_type}")
    with archive.open(member) as opened:
        raw = opened.read(member.file_size + 1)
    header = io.BytesIO(raw)
    version = np.lib.format.read_magic(header)
    if version not in _HEADERS:
        raise ValueError(f"{member.filename}: array format {version}")
    shape, is_fortran, dtype = _HEADERS[version](header)
    if dtype.hasobject:
        raise ValueError(f"{member.filename}: holds objects, not numbers")
    if math.prod(shape) * dtype.itemsize != len(raw) - header.tell():
        raise ValueError(f"{member.filename}: says {shape} {dtype}, holds {len(raw)} bytes")
    flat = np.frombuffer(raw, dtype, offset=header.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")
