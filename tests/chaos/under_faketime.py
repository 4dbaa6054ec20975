"""Runs `-m MODULE ARGUMENTS` or `FILE ARGUMENTS`, as `python` would, under faketime.

libfaketime 0.9.10 answers `clock_nanosleep` on the monotonic clock with an error, and that is how
Python sleeps; `select` it leaves alone.
"""

from __future__ import annotations

import runpy
import select
import sys
import time
from pathlib import Path


def _sleep(seconds: float) -> None:
    select.select([], [], [], seconds)


time.sleep = _sleep
if sys.argv[1] == "-m":
    sys.argv[:] = sys.argv[2:]
    sys.path[0] = str(Path.cwd())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.argv[:] = sys.argv[1:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
