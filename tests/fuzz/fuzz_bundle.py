"""Whatever lies in a bundle's directory is opened or refused with a BundleError of one line.

An input is the letter of one file and its bytes: M the manifest, G the golden vectors, O the model.
The hashes are made to fit, since a forger would. The model's runtime is C++ and sees only models
that are whole; `edge.proof` tries others in a process of its own.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import shutil
import tempfile
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from fakes import tiny_bundle
from fuzz import fuzz_manifest, tree

from contract import manifest, npz
from contract.manifest import GOLDEN, MANIFEST
from edge import onnx_file
from edge.bundle import Bundle
from edge.errors import BundleError

_MODEL = "spectrum.onnx"
_FILE = {b"M": MANIFEST, b"G": GOLDEN, b"O": _MODEL}
_MOST_BYTES = 96 << 20
_TYPES = ("<f8", "<i4", ">f4", "<U3", "bool", "<c8", "i1")

_folders: list[Path] = []


def _folder() -> Path:
    """A tiny bundle, made once."""
    if not _folders:
        whole = tempfile.TemporaryDirectory(prefix="vedette-fuzz-")
        atexit.register(whole.cleanup)
        _folders.append(tiny_bundle(Path(whole.name) / "whole", gain=0.5))
        shutil.copytree(_folders[0], _folders[0].with_name("now"))
    return _folders[0]


def seeds() -> list[bytes]:
    """Each file as it is, and golden vectors that unpack to far more than they are."""
    folder = _folder()
    raw = [letter + (folder / name).read_bytes() for letter, name in _FILE.items()]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, windows=np.zeros(100_000, np.float32))
    return [*raw, b"G" + buffer.getvalue()]


def mutate(data: bytes, rng: Random) -> bytes | None:
    """Manifest and golden vectors by their structure; None: bytes are as good."""
    letter, raw = data[:1], data[1:]
    if letter == b"M":
        now = tree.changed(raw, rng)
    elif letter == b"G" and rng.random() < 0.7:
        now = _other_arrays(raw, rng)
    else:
        now = None
    return None if now is None else letter + now


def _other_arrays(raw: bytes, rng: Random) -> bytes | None:
    try:
        arrays = npz.loads(raw, max_bytes=_MOST_BYTES)
    except ValueError:
        return None
    if not arrays:
        return None
    name = rng.choice(list(arrays))
    array = np.array(arrays[name])
    match rng.randrange(8):
        case 0:
            del arrays[name]
        case 1:
            arrays[rng.choice(list(arrays))] = array
        case 2:
            arrays[name] = array.astype(rng.choice(_TYPES))
        case 3:
            arrays[name] = array[:0] if array.ndim else array[None]
        case 4:
            arrays[name] = array.T[..., None]
        case _ if array.size and array.dtype.kind == "f":
            flat = array.reshape(-1).copy()
            flat[rng.randrange(flat.size)] = rng.choice((np.nan, np.inf, -1e30, 0.0, 1e30))
            arrays[name] = flat.reshape(array.shape)
        case _:
            arrays[name] = array.reshape(-1)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def one(data: bytes) -> None:
    """One file replaced in a bundle that is whole otherwise."""
    letter, raw = data[:1], data[1:]
    if letter not in _FILE:
        return
    if letter == b"O":
        reason = onnx_file.refuse(raw)
        assert reason is None or (reason and "\n" not in reason)
        return
    whole = _folder()
    now = whole.with_name("now")
    try:
        made = manifest.decode((whole / MANIFEST).read_bytes())
        if letter == b"G":
            made = msgspec.structs.replace(made, golden_sha256=hashlib.sha256(raw).hexdigest())
            (now / MANIFEST).write_bytes(manifest.encode(made))
        else:
            raw = fuzz_manifest.sealed(raw)
        (now / _FILE[letter]).write_bytes(raw)
        Bundle.open(now, "onnx")
    except BundleError as error:
        said = str(error)
    else:
        said = str(now)
    finally:
        for name in (MANIFEST, GOLDEN):
            shutil.copyfile(whole / name, now / name)
    assert said.startswith(str(now)), said
    assert "\n" not in said, said
