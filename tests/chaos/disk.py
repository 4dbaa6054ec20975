"""Small disks that can be filled to the last byte."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path

FILLER = "filler.bin"
_STEPS = (1 << 20, 1 << 16, 4096)


class Disk:
    """A folder that is a file system of its own, of limited size where there is a sandbox."""

    def __init__(self, folder: Path, *, size_bytes: int, is_real: bool) -> None:
        self.folder = folder
        self._filler = folder / FILLER
        self._is_real = is_real
        folder.mkdir(parents=True)
        if is_real:
            options = f"size={size_bytes},mode=700"
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
            subprocess.run(command, check=True)

    def fill(self) -> int:
        """Take all the space there is, also what has been freed since; the bytes taken.

        Ends with the proof: a write that failed because no space was left.
        """
        taken = 0
        with self._filler.open("ab", buffering=0) as file:
            for step in _STEPS:
                with contextlib.suppress(_FullError):
                    while True:
                        taken += _write(file.fileno(), step)
        return taken

    def empty(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Take it away, with all that is on it; whoever still has a file open keeps that."""
        if self._is_real:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class _FullError(Exception):
    pass


def _write(fd: int, size: int) -> int:
    try:
        return os.write(fd, bytes(size))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _FullError from None
