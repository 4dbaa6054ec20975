"""Activates a bundle or goes back, and dies by SIGKILL right before its n-th change to a folder."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from edge import activate, bundle_files
from edge.proof import Proof

_CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "open"}


def main(n: int, place: Path, new: Path | None) -> None:
    def prove(bundle: Path) -> Proof:
        return Proof(bundle_files.read(bundle).manifest.model_id("onnx"), 0.0)

    left = n

    def kill(event: str, arguments: tuple) -> None:
        nonlocal left
        is_read = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event not in _CHANGES or is_read:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    if new:
        activate.activate(new, place, prove)
    else:
        activate.back(place, prove)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
