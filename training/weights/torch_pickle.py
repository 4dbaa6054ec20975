"""Tensors out of a file that PyTorch wrote before 1.6, without PyTorch and without running it.

The file is five pickles (a magic number, a protocol number, what machine wrote it, the object, the
keys of the storages) and then each storage's numbers (`torch/serialization.py`, `_legacy_load`).
A pickle may call anything; here it may build an ordered dictionary of tensors, and nothing else.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.spec import Array
from training.datasets import DataError

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_DAMAGED = (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, struct.error)


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies: in numbers of its storage, where it begins and how far each step is."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(file: Path) -> dict[str, Array]:
    """The tensors of a state dictionary by name, float32 or int64.

    Raises:
        DataError: not such a file, damaged, or it asks for more than tensors.
    """
    try:
        with file.open("rb") as opened:
            raw = io.BytesIO(opened.read())
        types: dict[str, np.dtype[Any]] = {}
        if _Unpickler(raw, types).load() != _MAGIC:
            raise ValueError("another magic number")
        for _ in ("protocol", "machine"):
            _Unpickler(raw, types).load()
        tensors: dict[str, _Tensor] = _Unpickler(raw, types).load()
        storages = {}
        for key in _Unpickler(raw, types).load():
            (numbers,) = struct.unpack("<q", raw.read(8))
            storages[key] = np.frombuffer(raw.read(numbers * types[key].itemsize), types[key])
            if len(storages[key]) != numbers:
                raise ValueError(f"storage {key} ends early")
        return {name: _taken(tensor, storages[tensor.storage]) for name, tensor in tensors.items()}
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; fix: fetch it again") from None
    except _DAMAGED as error:
        raise DataError(f"{file}: no tensors of PyTorch: {error}; fix: fetch it again") from None


def _taken(tensor: _Tensor, storage: Array) -> Array:
    steps = [(n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True)]
    if min((tensor.offset, *steps)) < 0 or tensor.offset + sum(steps) >= len(storage):
        raise ValueError(f"a tensor {tensor.shape} lies outside its storage")
    strides = [stride * storage.itemsize for stride in tensor.strides]
    seen = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides)
    return seen.copy()


class _Unpickler(pickle.Unpickler):
    """One that knows three names."""

    def __init__(self, raw: io.BytesIO, types: dict[str, np.dtype[Any]]) -> None:
        super().__init__(raw, encoding="utf-8")
        self._types = types

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        """The few things that a state dictionary consists of.

        Raises:
            UnpicklingError: anything else.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch" and name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        """The key of a storage; how its numbers are to be read is kept."""
        kind, of_type, key, *_ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"it asks for a {kind}")
        self._types[str(key)] = _TYPES[str(of_type)]
        return str(key)


def _rebuilt(
    storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
