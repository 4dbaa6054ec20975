"""What a disk must have before it counts."""

from __future__ import annotations

import os
from pathlib import Path


def sync(folder: Path) -> None:
    """What was renamed or removed in it stays so, whatever happens to the power."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
