"""A GPIO chip of files, for processes that import the gpiod of tests/fake_gpio."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

FAKES = Path(__file__).resolve().parent / "fake_gpio"


class FakeChip:
    """Lines 0 to 7 of `/dev/gpiochip0`, for this process and those it starts."""

    path = "/dev/gpiochip0"

    def __init__(self, folder, monkeypatch):
        self._folder = folder / "gpiochip0"
        self._folder.mkdir()
        for number in range(8):
            os.mkfifo(self._folder / f"{number}.edges")
        # open all the time, or what is written before the other side opens it would be lost
        self._edges = [
            os.open(self._folder / f"{number}.edges", os.O_RDWR | os.O_NONBLOCK)
            for number in range(8)
        ]
        monkeypatch.setenv("FAKE_GPIO", str(folder))
        monkeypatch.setenv("PYTHONPATH", str(FAKES))
        monkeypatch.syspath_prepend(str(FAKES))

    def edge(self, number=0, *, t_ns=None):
        """An edge now, or at that time; its time."""
        t_ns = time.monotonic_ns() if t_ns is None else t_ns
        os.write(self._edges[number], f"{t_ns}\n".encode())
        return t_ns

    def close(self):
        """Nobody triggers any more."""
        for fd in self._edges:
            os.close(fd)

    def log(self, number=1):
        """(time in ns, level) of every change of an output."""
        file = self._folder / f"{number}.log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(t_ns), int(level)) for t_ns, level in map(str.split, lines)]

    def pulses(self, number=1):
        """(from, to) in ns of every stretch at level 1."""
        log = self.log(number)
        assert not log or log[-1][1] == 0
        return [(a, b) for (a, is_on), (b, _) in itertools.pairwise(log) if is_on]
