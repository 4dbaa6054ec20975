"""Files named by what is in them: evidence, on the device that made it and where it was fetched."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import threading
import time
import uuid
from pathlib import Path

log = logging.getLogger(__name__)

_SUFFIX = ".npz"
_LEFT_S = 60.0  # nobody writes one file for so long
_NAME = re.compile(rf"[0-9a-f]{{64}}\{_SUFFIX}")


class Shelf:
    """A folder of files, each named by the SHA-256 of its bytes; the oldest go for want of space.

    Shared between threads, and between processes that agree on the bound.
    """

    def __init__(self, folder: Path, *, max_bytes: int, spare_bytes: int = 0) -> None:
        """Nothing is touched yet.

        Args:
            folder: made when the first file comes.
            max_bytes: most that all files may take together.
            spare_bytes: free space of the disk that is left to others.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._spare_bytes = spare_bytes
        self._lock = threading.Lock()

    def put(self, raw: bytes) -> str:
        """Keep `raw`; it is on the disk when this returns.

        Returns:
            SHA-256 of it, 64 hex digits.

        Raises:
            OSError: the disk takes nothing, or it would take more than there may be.
        """
        sha256 = hashlib.sha256(raw).hexdigest()
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(raw))
            temporary = self._folder / f"{uuid.uuid4().hex}.tmp"
            try:
                with temporary.open("wb") as file:
                    file.write(raw)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self._path(sha256))
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)  # or a power cut could take the name
            finally:
                os.close(folder)
        return sha256

    def get(self, sha256: str) -> bytes | None:
        """The bytes of that hash; None: not there, or damaged, which removes it."""
        path = self._path(sha256)
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(raw).hexdigest() == sha256:
            return raw
        log.error("%s is damaged and removed", path)
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{_SUFFIX}"

    def _make_room(self, size_bytes: int) -> None:
        """Remove the oldest until that many more fit; and what a power cut has left half written.

        Raises:
            OSError: they never will.
        """
        files = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if _NAME.fullmatch(path.name):
                    about = path.stat()
                    files.append((about.st_mtime_ns, about.st_size, path))
                elif path.suffix == ".tmp" and _is_left(path):
                    path.unlink()
        files.sort()
        taken = sum(size for _, size, _ in files)
        while taken + size_bytes > self._max_bytes or self._is_short(size_bytes):
            if not files or size_bytes > self._max_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder))
            _, size, oldest = files.pop(0)
            oldest.unlink(missing_ok=True)
            taken -= size

    def _is_short(self, size_bytes: int) -> bool:
        return shutil.disk_usage(self._folder).free < size_bytes + self._spare_bytes


def _is_left(path: Path) -> bool:
    """Whether whoever wrote this has gone; a clock that was set since counts as long ago."""
    return abs(time.time() - path.stat().st_mtime) > _LEFT_S
