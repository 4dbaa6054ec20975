"""libgpiod's Python package as the device uses it, with files for lines.

`/dev/gpiochip0` is the folder `gpiochip0` in $FAKE_GPIO: `N.edges` is a pipe into which a test
writes the times of edges, `N.log` gets a line with time and level for every change of an output;
`N.lock` is locked by who has the line.
"""

from __future__ import annotations

import fcntl
import os
import select
import time
from dataclasses import dataclass, field
from pathlib import Path

from .line import Direction, Value


@dataclass
class LineSettings:
    direction: Direction
    output_value: Value = Value.INACTIVE
    active_low: bool = False
    more: dict = field(default_factory=dict)

    def __init__(self, direction, output_value=Value.INACTIVE, *, active_low=False, **more):
        self.direction, self.output_value = direction, output_value
        self.active_low, self.more = active_low, more


@dataclass
class EdgeEvent:
    timestamp_ns: int


@dataclass
class LineInfo:
    used: bool
    consumer: str
    name: str = "GPIO"


def request_lines(path, *, config, consumer):
    ((number, settings),) = config.items()
    return LineRequest(_folder(path), number, settings, consumer)


class Chip:
    def __init__(self, path):
        self._folder = _folder(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def get_line_info(self, number):
        _there(self._folder, number)
        with (self._folder / f"{number}.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return LineInfo(used=True, consumer="somebody")
        return LineInfo(used=False, consumer="")


class LineRequest:
    def __init__(self, folder, number, settings, consumer):
        _there(folder, number)
        self._lock = (folder / f"{number}.lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(16, "Device or resource busy") from None
        self._is_output = settings.direction is Direction.OUTPUT
        self._is_low = settings.active_low
        self._log = folder / f"{number}.log"
        self.fd = -1
        if self._is_output:
            self.set_value(number, settings.output_value)
        else:
            self.fd = os.open(folder / f"{number}.edges", os.O_RDWR | os.O_NONBLOCK)

    def set_value(self, _number, value):
        level = (value is Value.ACTIVE) != self._is_low
        with self._log.open("a") as log:
            log.write(f"{time.monotonic_ns()} {int(level)}\n")

    def wait_edge_events(self, timeout):
        return bool(select.select([self.fd], [], [], timeout)[0])

    def read_edge_events(self):
        return [EdgeEvent(int(line)) for line in os.read(self.fd, 65536).split()]

    def release(self):
        if self.fd >= 0:
            os.close(self.fd)
        self._lock.close()


def _folder(path):
    folder = Path(os.environ["FAKE_GPIO"]) / Path(path).name
    if not folder.is_dir():
        raise FileNotFoundError(2, "No such file or directory")
    return folder


def _there(folder, number):
    if not (folder / f"{number}.edges").exists():
        raise OSError(22, "Invalid argument")
