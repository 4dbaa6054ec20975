"""Trigger and rejector as the service sees them; the lines themselves are in `edge.lines_child`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from edge.errors import SourceError
from edge.lines_child import Wiring
from edge.rejector import RejectorConfig
from edge.trigger import ImageTrigger, TriggerConfig

_ROOT = Path(__file__).resolve().parents[1]
_START_S = 20.0  # a small board takes seconds
_ANSWER_S = 0.5  # from word to answer; mostly it is a fraction of a millisecond
_GRACE_S = 2.0  # for the child to put the output at rest
_MOST = 10_000  # triggers waiting for whoever takes them


class Lines(Protocol):
    """Says when a part comes into view, and lets it pass."""

    def open(self) -> None:
        """Be ready. Called again after a failure. Raises SourceError: a line is not to be had."""

    def sync(self) -> None:
        """Every trigger before now is known when it returns. Raises SourceError: it failed."""

    def take(self) -> list[int]:
        """Times of the triggers since the last call: CLOCK_MONOTONIC, nanoseconds."""

    def begin(self, t_ns: int) -> None:
        """The camera itself has seen a part at that time."""

    def decide(self, t_ns: int, *, may_pass: bool) -> bool:
        """Whether the part of that trigger passes: it may, and in time."""

    def close(self) -> None:
        """Nothing passes any more. Called from another thread."""


def of(trigger: TriggerConfig | None, rejector: RejectorConfig | None) -> Lines | None:
    """The lines of a pipeline, not open yet; None: it has no trigger."""
    if trigger is None:
        return None
    wired = None if isinstance(trigger, ImageTrigger) else trigger
    return Unwired() if wired is None and rejector is None else Wired(Wiring(wired, rejector))


class Unwired:
    """A line without inputs and outputs of the board: the camera triggers, nothing is sorted."""

    def open(self) -> None:
        """There is nothing to open."""

    def sync(self) -> None:
        """There is nothing to wait for."""

    def take(self) -> list[int]:
        """Nobody else triggers."""
        return []

    def begin(self, t_ns: int) -> None:
        """Nobody is to be told."""

    def decide(self, t_ns: int, *, may_pass: bool) -> bool:  # noqa: ARG002 one time is as good
        """What may pass does."""
        return may_pass

    def close(self) -> None:
        """There is nothing to close."""


class Wired:
    """A line whose inputs and outputs are kept by a process of its own."""

    def __init__(self, wiring: Wiring) -> None:
        """Nothing is started yet."""
        self._wiring = wiring
        self._child: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._is_ready = self._is_closed = False
        self._why: str | None = None  # it is not to be had
        self._triggers: deque[int] = deque(maxlen=_MOST)
        self._passes: dict[int, bool] = {}
        self._synced_ns = 0

    def open(self) -> None:
        """Start the process that keeps the lines, unless it runs.

        Raises:
            SourceError: they are not to be had.
        """
        if self._is_ready or self._is_closed:
            return
        self._reap()
        pipe = subprocess.PIPE
        # not killed with its parent, as captures are: it has to put the output at rest
        child = subprocess.Popen(
            [sys.executable, "-m", "edge.lines_child"], cwd=_ROOT, stdin=pipe, stdout=pipe
        )
        self._child, self._why = child, None
        self._triggers.clear()
        self._passes.clear()
        assert child.stdin
        os.set_blocking(child.stdin.fileno(), False)
        self._write(msgspec.json.encode(self._wiring))
        threading.Thread(target=self._listen, args=(child,), daemon=True).start()
        if not self._wait(lambda: self._is_ready or self._why is not None, _START_S):
            self._why = "the process that keeps the lines does not start"
        if not self._is_ready and not self._is_closed:
            raise SourceError(f"lines: {self._why}")

    def sync(self) -> None:
        """Ask, and wait for the answer, before which every earlier trigger has been said.

        Raises:
            SourceError: there is no answer.
        """
        now_ns = time.monotonic_ns()
        self._say("sync", now_ns)
        is_heard = self._wait(lambda: self._synced_ns >= now_ns or self._why is not None, _ANSWER_S)
        if self._is_closed:
            return
        if self._why is None and not is_heard:
            self._why = "the process that keeps them hangs"
            if self._child is not None:
                self._child.kill()
        if self._why is not None:
            raise SourceError(f"lines: {self._why}")

    def take(self) -> list[int]:
        """Times of the triggers since the last call."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._triggers.popleft())
        return taken

    def begin(self, t_ns: int) -> None:
        """The camera itself has seen a part."""
        self._say("part", t_ns)

    def decide(self, t_ns: int, *, may_pass: bool) -> bool:
        """Tell, and hear whether it was in time; no answer is a no."""
        self._say("pass" if may_pass else "reject", t_ns)
        self._wait(lambda: t_ns in self._passes or self._why is not None, _ANSWER_S)
        return self._passes.pop(t_ns, False)

    def close(self) -> None:
        """End the process; it puts the output at rest."""
        self._is_closed = True
        self._reap()

    def _reap(self) -> None:
        child = self._child
        if child is None:
            return
        assert child.stdin
        with contextlib.suppress(OSError):
            child.stdin.close()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        """Every word of the child, until it ends; the body of a thread."""
        assert child.stdout
        with child.stdout:
            for line in child.stdout:
                word, *rest = msgspec.json.decode(line)
                with self._changed:
                    self._hear(word, *rest)
                    self._changed.notify_all()
        with self._changed:
            self._is_ready = False
            self._why = self._why or "the process that keeps the lines has ended"
            self._changed.notify_all()

    def _hear(self, word: str, said: int | str = 0) -> None:
        if isinstance(said, str):
            self._why = said
        elif word == "ready":
            self._is_ready = True
        elif word == "part":
            self._triggers.append(said)
        elif word == "sync":
            self._synced_ns = said
        else:
            self._passes[said] = word == "pass"

    def _say(self, word: str, t_ns: int) -> None:
        self._write(msgspec.json.encode((word, t_ns)))

    def _write(self, raw: bytes) -> None:
        """A word is short, so a pipe takes all of it or nothing; what is not heard is a no."""
        child = self._child
        if child is not None and child.stdin is not None and not child.stdin.closed:
            with contextlib.suppress(OSError):
                os.write(child.stdin.fileno(), raw + b"\n")

    def _wait(self, is_so: Callable[[], bool], most_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: is_so() or self._is_closed, most_s)
