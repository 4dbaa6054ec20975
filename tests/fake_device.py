"""A sensor that does as it is told, for the child of `edge.capture`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

import msgspec
import numpy as np

from edge.capture import Out
from edge.errors import SourceError


class Config(msgspec.Struct, frozen=True):
    """What it does, after how many blocks."""

    then: str
    blocks: int = 3
    values: int = 1000


KEEP = 4


def _chatter(_out: Out) -> None:
    sys.stderr.write("x" * 1_000_000 + "\nrtsp://admin:secret@10.0.0.1/live: bad packet\n")
    time.sleep(3600)


def _raise(_out: Out) -> None:
    raise SourceError("unplugged")


def _fail(_out: Out) -> None:
    raise ZeroDivisionError("a bug in\na library")


def _beat(out: Out) -> None:
    for _ in range(20):
        out.alive()
        time.sleep(0.1)
    out.put(np.zeros(1), t_ns=time.monotonic_ns(), rate_hz=1.0)


THEN: dict[str, Callable[[Out], object]] = {
    "hang": lambda _out: time.sleep(3600),
    "crash": lambda _out: ctypes.string_at(0),
    "be killed": lambda _out: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _out: os._exit(7),
    "end": lambda _out: None,
    "garbage": lambda out: os.write(out._fd, b"\x05\0\0\0garbage"),
    "chatter": _chatter,
    "raise": _raise,
    "fail": _fail,
    "beat": _beat,
}


def capture(config: Config, out: Out) -> None:
    """Blocks that hold their own number, then what was asked for."""
    out.loaded()
    if config.then == "end":
        os.write(1, b"a library prints\n")
    for number in range(config.blocks):
        block = np.full((config.values, 1), number, dtype=np.float32)
        out.put(block, t_ns=time.monotonic_ns(), rate_hz=100.0, is_after_gap=number == 2)
        time.sleep(0.02)
    THEN[config.then](out)
    time.sleep(0.5)  # what was put is still written
