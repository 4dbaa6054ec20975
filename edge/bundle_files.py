"""The files of a bundle: nothing beside them, each read once, bounded, and as its hash says."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contract.manifest import FORMAT_VERSION, GOLDEN, LEARNED, MANIFEST, Manifest, decode
from edge.errors import BundleError

MAX_BYTES = {MANIFEST: 1 << 20, GOLDEN: 64 << 20}
MAX_MODEL_BYTES = 128 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, eq=False)
class Files:
    """What a bundle's directory held when it was read.

    Attributes:
        path: the directory itself, links followed.
        manifest: what it says about itself.
        raw: bytes of all files by name, the manifest's too.
    """

    path: Path
    manifest: Manifest
    raw: Mapping[str, bytes]


def read(path: Path) -> Files:
    """Every file of a bundle, its hash checked; no link is followed but `path` itself.

    Raises:
        BundleError: naming the file and the reason.
    """
    try:
        # once: a link may be swapped while we read
        folder = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _no_bundle(path, error) from None
    raw = {MANIFEST: _read(folder, MANIFEST)}
    try:
        manifest = decode(raw[MANIFEST])
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST}: {error}") from None
    if manifest.format_version != FORMAT_VERSION:
        raise BundleError(
            f"{folder}: bundle format {manifest.format_version}, this version reads "
            f"{FORMAT_VERSION}; fix: vedette export RUN --out {path}"
        )
    models = [model for stage in manifest.stages.values() for model in stage.values()]
    hashed = [(GOLDEN, manifest.golden_sha256), *((m.file, m.sha256) for m in models)]
    if manifest.learned_sha256:
        hashed.append((LEARNED, manifest.learned_sha256))
    _check_names(folder, [name for name, _ in hashed])
    for name, sha256 in hashed:
        raw[name] = _read(folder, name)
        actual = hashlib.sha256(raw[name]).hexdigest()
        if actual != sha256:
            raise BundleError(
                f"{folder / name}: SHA-256 is {actual[:12]}..., the manifest says "
                f"{sha256[:12]!r}; fix: copy the bundle again"
            )
    return Files(folder, manifest, raw)


def _check_names(folder: Path, hashed: list[str]) -> None:
    """Names that stay in the directory, differ on any file system, and are all there is in it."""
    names = [MANIFEST, *hashed]
    for name in names:
        if not _NAME.fullmatch(name):
            raise BundleError(f"{folder}: bad file name {name!r} in the manifest")
    if len({name.casefold() for name in names}) < len(names):
        raise BundleError(f"{folder}: two files of one name in {sorted(names)}")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in names:
                raise BundleError(
                    f"{folder}: holds {entry.name!r}, of which its manifest does not know; "
                    "fix: remove it"
                )


def _read(folder: Path, name: str) -> bytes:
    """A plain file's bytes, if they are not too many."""
    file, most = folder / name, MAX_BYTES.get(name, MAX_MODEL_BYTES)
    try:
        # neither through a link nor waiting for whoever would write into a pipe
        number = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(number, "rb") as opened:  # noqa: PTH123 (of a number, not of a path)
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{file}: is no plain file; fix: copy the bundle again")
            if status.st_size > most:
                raise BundleError(
                    f"{file}: has {status.st_size} bytes, at most {most} are read; "
                    "fix: a smaller model, or fewer golden windows"
                )
            return opened.read(status.st_size)
    except OSError as error:
        if name == MANIFEST and error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise _no_bundle(folder, error) from None
        if error.errno == errno.ELOOP:
            raise BundleError(f"{file}: is a link; fix: copy the file itself (cp -rL)") from None
        is_denied = isinstance(error, PermissionError)
        fix = f"chmod -R a+rX {folder}" if is_denied else "copy the bundle again"
        raise BundleError(f"{file}: {error.strerror}; fix: {fix}") from None


def _no_bundle(path: Path, error: OSError | RuntimeError) -> BundleError:
    why = error.strerror if isinstance(error, OSError) else error
    return BundleError(f"{path}: no bundle here ({why}); fix: vedette export RUN --out {path}")
