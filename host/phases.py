"""The roles as processes, as a demo runs them one after the other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_STOP_S = 5.0


class DemoError(RuntimeError):
    """A phase failed; the text says which, and why."""


@dataclass(frozen=True)
class Phases:
    """Runs the roles as processes, and remembers how long each phase took.

    Attributes:
        folder: for all files, the logs among them.
        seconds: by phase.
    """

    folder: Path
    seconds: dict[str, float]

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time of the block to `seconds`."""
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 2)

    def finish(self, *arguments: str) -> dict[str, Any]:
        """Run one verb to its end, its progress shown; the JSON object it printed.

        Raises:
            DemoError: it failed.
        """
        done = subprocess.run(_vedette(*arguments), stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise DemoError(f"vedette {arguments[0]} failed with exit code {done.returncode}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """One verb for the length of the block: what it prints in the pipe, its log in a file."""
        with self._log(arguments[0]) as log:
            process = subprocess.Popen(
                _vedette(*arguments), stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            yield process
        finally:
            _end(process)

    def _log(self, verb: str) -> IO[bytes]:
        return (self.folder / f"{verb}.log").open("wb")


def _vedette(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vedette", *arguments]


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
