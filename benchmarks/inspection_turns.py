"""Processes that are timed in turns: one waits while the others work. NumPy and nothing of ours.

The process of a contender prints a line of JSON once it is ready and one for every line it is
given: `COUNT` pictures are looked at, and the nanoseconds of each are told. At the end of its input
it tells how much memory it held at most. So contenders need not share an interpreter, nor what is
installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Calls = Mapping[str, Callable[[int], object]]


def serve(calls: Calls, **ready: object) -> None:
    """Answer until the input ends.

    Args:
        calls: what is timed, by name; each is given the number of a picture.
        ready: told at once.
    """
    _say(ready)
    number = 0
    for line in sys.stdin:
        took: dict[str, list[int]] = {}
        for name, call in calls.items():
            call(number)  # whoever worked before has filled the caches
            took[name] = []
            for i in range(int(line)):
                start = time.perf_counter_ns()
                call(number + i)
                took[name].append(time.perf_counter_ns() - start)
        number += int(line)
        _say(took)
    _say({"peak_mb": peak_mb()})


def peak_mb() -> float:
    """The most memory that this process has held resident."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _say(what: Mapping[str, object]) -> None:
    print(json.dumps(what), flush=True)


class Contender:
    """A process that serves, and what it has told.

    Attributes:
        took_ms: of every picture so far, by what was timed.
        ready: what it told when it was ready.
        peak_mb: once it has ended.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str]) -> None:
        """Starts it and waits until it is ready."""
        self.took_ms: dict[str, list[float]] = {}
        self.peak_mb = 0.0
        self._child = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
        )
        self.ready = self._heard()

    def look(self, pictures: int) -> None:
        """One turn."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{pictures}\n")
        self._child.stdin.flush()
        for name, ns in self._heard().items():
            self.took_ms.setdefault(name, []).extend(one / 1e6 for one in ns)

    def end(self) -> None:
        """Lets it tell its memory, and waits until it has ended."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self.peak_mb = self._heard()["peak_mb"]
        self._child.wait(timeout=60)

    def kill(self) -> None:
        """Whatever it is doing; nothing where it has ended."""
        self._child.kill()
        with self._child:  # closes its pipes and waits
            pass

    def _heard(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            with self._child:
                code = self._child.wait()
            raise RuntimeError(f"{self._child.args!r} ended with {code} instead of an answer")
        heard: dict[str, Any] = json.loads(line)
        return heard


def alternate(contenders: Mapping[str, Contender], *, turns: int, pictures: int) -> None:
    """So many turns each, one after the other; then they are ended."""
    for _ in range(turns):
        for one in contenders.values():
            one.look(pictures)
    for one in contenders.values():
        one.end()
