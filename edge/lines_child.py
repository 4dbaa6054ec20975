"""The process that has a line's inputs and outputs: `python -m edge.lines_child`.

It reads the trigger, keeps the rejector's times and does nothing else, so neither a long inference
nor a service that hangs or dies makes it late or leaves the gate open: a part nobody passes in time
is rejected, and when the service is gone (its pipe ends) the output is let go at once. libgpiod is
imported here alone.

Words are JSON arrays, one a line: in `part`, `pass`, `reject`, `sync`; out `ready`, `part`, `pass`,
`reject`, `sync`, `failed`. All but `ready` and `failed` carry a time: CLOCK_MONOTONIC, nanoseconds.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from edge.rejector import RejectorConfig, Schedule
from edge.trigger import LineTrigger

INSTALL = "pip install 'vedette[edge-gpio]'"
CONSUMER = "vedette"
_READ_BYTES = 65_536


class Wiring(msgspec.Struct, frozen=True):
    """What the child is told at its start."""

    trigger: LineTrigger | None
    rejector: RejectorConfig | None


class Lines(Protocol):
    """Input and output of a line."""

    @property
    def fd(self) -> int | None:
        """Readable when there are edges; None: there is no input."""

    def edges(self) -> Iterable[int]:
        """Times of those that have come."""

    def energise(self, *, is_on: bool) -> None:
        """Set the output; nothing where there is none."""

    def close(self) -> None:
        """Let go of both, the output at rest."""


class Gpio:
    """Lines of the kernel's GPIO chips, by libgpiod."""

    def __init__(self, wiring: Wiring) -> None:
        """Take them, the output at rest.

        Raises:
            OSError: there is no such chip or line, another has it, or it may not be used.
            ModuleNotFoundError: libgpiod is not installed.
        """
        import gpiod
        from gpiod.line import Bias, Clock, Direction, Edge, Value

        self._on, self._off = Value.ACTIVE, Value.INACTIVE
        self._input = self._output = None
        self._is_on = False
        if wiring.rejector is not None:
            settings = gpiod.LineSettings(
                direction=Direction.OUTPUT,
                output_value=self._off,
                active_low=wiring.rejector.active_low,
            )
            self._line = wiring.rejector.line
            self._output = gpiod.request_lines(
                wiring.rejector.chip, config={self._line: settings}, consumer=CONSUMER
            )
        if wiring.trigger is not None:
            trigger = wiring.trigger
            settings = gpiod.LineSettings(
                direction=Direction.INPUT,
                edge_detection=Edge[trigger.edge.upper()],
                bias=Bias[trigger.bias.upper().replace("-", "_")],
                active_low=trigger.active_low,
                debounce_period=dt.timedelta(milliseconds=trigger.debounce_ms),
                event_clock=Clock.MONOTONIC,
            )
            self._input = gpiod.request_lines(
                trigger.chip, config={trigger.line: settings}, consumer=CONSUMER
            )

    @property
    def fd(self) -> int | None:
        """Of the input."""
        return None if self._input is None else int(self._input.fd)

    def edges(self) -> Iterable[int]:
        """Those that wait, without waiting."""
        while self._input is not None and self._input.wait_edge_events(0):
            for event in self._input.read_edge_events():
                yield event.timestamp_ns

    def energise(self, *, is_on: bool) -> None:
        """Set the output where it changes."""
        if self._output is not None and is_on != self._is_on:
            self._output.set_value(self._line, self._on if is_on else self._off)
            self._is_on = is_on

    def close(self) -> None:
        """The output at rest first: what a released line does is the driver's affair."""
        self.energise(is_on=False)
        for request in (self._output, self._input):
            if request is not None:
                request.release()


class Keeper:
    """Between the lines and whoever decides: counts pulses, keeps the schedule, passes on words."""

    def __init__(self, wiring: Wiring, lines: Lines) -> None:
        self._lines = lines
        self._schedule = Schedule(wiring.rejector) if wiring.rejector else None
        self._pulses = wiring.trigger.pulses if wiring.trigger else 1
        self._counted = 0

    def look(self) -> list[tuple[str, int]]:
        """Words about the edges that have come."""
        said = []
        for t_ns in self._lines.edges():
            self._counted += 1
            if self._counted == self._pulses:
                self._counted = 0
                self._add(t_ns)
                said.append(("part", t_ns))
        return said

    def hear(self, word: str, t_ns: int, *, now_ns: int) -> list[tuple[str, int]]:
        """The answer to one word."""
        if word == "part":  # seen by the camera itself
            self._add(t_ns)
            return []
        if word == "sync":  # whoever hears the answer has heard of every edge before
            return [*self.look(), (word, t_ns)]
        may_pass = word == "pass"
        if self._schedule is not None:
            may_pass = self._schedule.decide(t_ns, may_pass=may_pass, now_ns=now_ns)
        return [("pass" if may_pass else "reject", t_ns)]

    def turn(self, now_ns: int) -> int | None:
        """Set the output; when it is to be set next, None: when something happens."""
        if self._schedule is None:
            return None
        self._lines.energise(is_on=self._schedule.is_energised(now_ns))
        return self._schedule.next_ns(now_ns)

    def _add(self, t_ns: int) -> None:
        if self._schedule is not None:
            self._schedule.add(t_ns)


def serve(keeper: Keeper, lines: Lines, *, words_fd: int, out_fd: int) -> None:
    """Until nobody is there to decide any more; the output is at rest then.

    Args:
        keeper: of the lines.
        lines: whose input is waited for.
        words_fd: words come from here.
        out_fd: and go there; they are lost where nobody reads, for an output must not wait.
    """
    os.set_blocking(out_fd, False)
    rest = b""
    readable = [fd for fd in (words_fd, lines.fd) if fd is not None]
    try:
        _say(out_fd, ("ready",))
        while True:
            next_ns = keeper.turn(time.monotonic_ns())
            wait_s = None if next_ns is None else max(next_ns - time.monotonic_ns(), 0) / 1e9
            ready, _, _ = select.select(readable, [], [], wait_s)
            keeper.turn(time.monotonic_ns())  # before anything that takes time
            said = keeper.look() if lines.fd in ready else []
            if words_fd in ready:
                got = os.read(words_fd, _READ_BYTES)
                if not got:
                    return
                *whole, rest = (rest + got).split(b"\n")
                for word, t_ns in map(_word, whole):
                    said += keeper.hear(word, t_ns, now_ns=time.monotonic_ns())
            _say(out_fd, *said)
    finally:
        lines.close()


_decoder = msgspec.json.Decoder(tuple[str, int])


def _word(line: bytes) -> tuple[str, int]:
    return _decoder.decode(line)


def _say(fd: int, *words: tuple[Any, ...]) -> None:
    if words:
        with contextlib.suppress(BlockingIOError):
            os.write(fd, b"".join(msgspec.json.encode(word) + b"\n" for word in words))


def main() -> int:
    """The wiring is the first line on stdin; words on stdin and stdout."""
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the service decides when it is over
        signal.signal(ignored, signal.SIG_IGN)
    words_fd, out_fd = sys.stdin.fileno(), os.dup(1)
    os.dup2(2, 1)  # a library that prints must not print between the words
    wiring = msgspec.json.decode(_first_line(words_fd), type=Wiring)
    try:
        lines = Gpio(wiring)
    except (OSError, ModuleNotFoundError) as error:
        _say(out_fd, ("failed", why(error)))
        return 1
    with contextlib.suppress(BrokenPipeError):
        serve(Keeper(wiring, lines), lines, words_fd=words_fd, out_fd=out_fd)
    return 0


def why(error: Exception) -> str:
    """What stands in the way of a line, with the fix."""
    if isinstance(error, ModuleNotFoundError):
        return f"libgpiod is not installed; fix: {INSTALL}"
    fixes = {
        "PermissionError": "this user in group gpio (docs/device.md, permissions)",
        "FileNotFoundError": "the chip of this board, see vedette doctor",
        "OSError": "free it (gpioinfo says who has it), or take another line",
    }
    fix = fixes.get(type(error).__name__, fixes["OSError"])
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"{said}; fix: {fix}"


def _first_line(fd: int) -> bytes:
    """Byte by byte, for what comes after it is for `serve`."""
    line = b""
    while not line.endswith(b"\n"):
        if not (one := os.read(fd, 1)):
            break
        line += one
    return line


if __name__ == "__main__":
    sys.exit(main())
