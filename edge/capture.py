"""A sensor read in a process of its own, where a driver that hangs takes nothing else with it.

FFmpeg, V4L2 and ALSA are C: a camera that freezes may never return from a read, and no thread can
be killed. So the device is opened and read by a child, `python -m edge.capture`, which hands on
what it reads through a pipe. When nothing comes for a while, the child is killed and `SourceError`
raised; whoever watches opens the sensor again. The child dies with its parent, however that ends.

Nothing piles up: where the parent is slow the child keeps the newest few, and `Item.seq` jumps.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import logging
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from contract.spec import Array
from edge.errors import SourceError, one_line

log = logging.getLogger(__name__)

START_S = 20.0  # until the child has loaded its libraries; a small board takes seconds
OPEN_S = 10.0  # from then to the first data; a stream may begin with seconds of nothing
_LOOK_S = 0.2  # how often a wait looks up whether it was closed
_GRACE_S = 2.0  # for a killed child to go; one inside a driver may take longer than anybody waits
_ALIVE_S = 0.2  # how often the child says that the device still delivers
_MAX_BYTES = 256 << 20
_MAX_HEADER_BYTES = 4096
_ROOT = Path(__file__).resolve().parents[1]
_PR_SET_PDEATHSIG = 1
_SAID_WHY = 3  # exit code; the reason is the last line on standard error


@dataclass(frozen=True, eq=False)
class Item:
    """One frame, or one block of samples.

    Attributes:
        seq: counts what the device delivered, from 0; a jump means that some was lost.
        t_ns: monotonic clock of this device when the last of it was read, nanoseconds.
        data: the frame or the samples.
        rate_hz: as measured or configured by whoever captured it.
        large: the same frame larger, where the device gives both.
    """

    seq: int
    t_ns: int
    data: Array
    rate_hz: float
    large: Array | None = None


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """What goes before the bytes of an item; other words have none."""

    says: str
    seq: int = 0
    t_ns: int = 0
    rate_hz: float = 0.0
    dtype: str = ""
    shape: tuple[int, ...] = ()
    size: int = 0
    large_shape: tuple[int, ...] = ()  # of what comes after `shape`, in the same bytes


class Capture:
    """The parent's side of one sensor, from its opening to the first failure."""

    def __init__(self, module: str, config: msgspec.Struct, *, what: str, stall_s: float) -> None:
        """Nothing is started yet.

        Args:
            module: holds `Config`, `KEEP` and `capture(config, out)`, which reads the device and
                gives what it reads to an `Out`, for ever; it runs in the child.
            config: goes to the child through a pipe, for it may hold what `ps` must not show.
            what: is read, for errors.
            stall_s: silence of the device after which the child is killed.
        """
        self._module = module
        self._config = config
        self._what = what
        self._stall_s = stall_s
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = threading.Event()
        self._said = b""  # last words of the child

    @property
    def pid(self) -> int | None:
        """Of the child, once there is one."""
        return self._child.pid if self._child else None

    def items(self) -> Iterator[Item]:
        """What the device delivers, until closed. Called once.

        Raises:
            SourceError: it cannot be opened, fails, or has delivered nothing for `stall_s`.
        """
        if self._closed.is_set():
            return
        command = [sys.executable, "-m", "edge.capture", self._module, str(os.getpid())]
        pipe = subprocess.PIPE
        try:
            self._child = subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise SourceError(f"{self._what}: no process for it: {error.strerror}") from error
        try:
            if not self._closed.is_set():  # it may have come between
                yield from self._read(self._child)
        except SourceError as error:
            if not self._closed.is_set():
                raise SourceError(f"{self._what}: {error}") from None
        finally:
            self._end(self._child)

    def close(self) -> None:
        """End `items` at once. Called from another thread."""
        self._closed.set()
        if self._child is not None:
            self._child.kill()

    def _read(self, child: subprocess.Popen[bytes]) -> Iterator[Item]:
        assert child.stdin
        with contextlib.suppress(BrokenPipeError), child.stdin:
            child.stdin.write(msgspec.json.encode(self._config))
        incoming = bytearray()
        heard_s, limit_s = time.monotonic(), START_S
        with selectors.DefaultSelector() as ready:
            for file in (child.stdout, child.stderr):
                assert file
                ready.register(file, selectors.EVENT_READ)
            while not self._closed.is_set():
                for key, _ in ready.select(_LOOK_S):
                    if not self._take(key.fileobj, incoming):  # type: ignore[arg-type]
                        ready.unregister(key.fileobj)
                for header, item in _unpack(incoming):
                    is_opening = header.says == "loaded"
                    limit_s = max(OPEN_S, self._stall_s) if is_opening else self._stall_s
                    if item is not None and not self._closed.is_set():
                        yield item
                    heard_s = time.monotonic()
                if not ready.get_map():
                    raise SourceError(self._last_words(child))
                if time.monotonic() - heard_s > limit_s:
                    raise SourceError(f"has delivered nothing for {limit_s:g} s{self._quote()}")

    def _take(self, file: IO[bytes], incoming: bytearray) -> bool:
        """Read what is there; False at the end."""
        got = os.read(file.fileno(), 1 << 20)
        assert self._child
        if file is self._child.stdout:
            incoming += got
        else:
            self._said = (self._said + got)[-4096:]
        return bool(got)

    def _last_words(self, child: subprocess.Popen[bytes]) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
        code = child.returncode
        if code is not None and code < 0:
            return f"its capture was killed ({signal.strsignal(-code)}){self._quote()}"
        if code == _SAID_WHY:
            return self._line()
        return f"its capture ended with {code}{self._quote()}"

    def _quote(self) -> str:
        return f"; its last words: {line}" if (line := self._line()) else ""

    def _line(self) -> str:
        """The last line the child wrote, without what is secret in an address."""
        lines = [line.strip() for line in self._said.decode(errors="replace").split("\n")]
        return hidden(next((line for line in reversed(lines) if line), ""))

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        for file in (child.stdin, child.stdout, child.stderr):
            if file:
                with contextlib.suppress(OSError):
                    file.close()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            log.warning("capture process %d hangs inside a driver and cannot be killed", child.pid)


class Out:
    """The child's side: takes what the device delivers, and never keeps it waiting."""

    def __init__(self, fd: int, *, keep: int) -> None:
        """Write to `fd` from a thread of its own.

        Args:
            fd: of the pipe.
            keep: how many items may wait for the parent; beyond that the oldest is dropped.
        """
        self._fd = fd
        self._seq = 0
        self._waiting: deque[tuple[_Header, list[Array]]] = deque(maxlen=keep)
        self._alive_s = 0.0
        self._changed = threading.Condition()
        threading.Thread(target=self._write, daemon=True).start()

    def put(
        self,
        data: Array,
        *,
        t_ns: int,
        rate_hz: float,
        is_after_gap: bool = False,
        large: Array | None = None,
    ) -> None:
        """Hand on one item; nobody may write into its arrays afterwards.

        Args:
            data: a frame or a block of samples.
            t_ns: monotonic clock when it had been read.
            rate_hz: of `data`.
            is_after_gap: the device itself lost something just before it.
            large: the same frame larger, of the same type.
        """
        parts = [np.ascontiguousarray(one) for one in (data, large) if one is not None]
        kind, size = data.dtype.str, sum(part.nbytes for part in parts)
        large_shape = () if large is None else large.shape
        self._seq += is_after_gap
        header = _Header("item", self._seq, t_ns, rate_hz, kind, data.shape, size, large_shape)
        self._seq += 1
        with self._changed:
            self._waiting.append((header, parts))
            self._changed.notify()

    def alive(self) -> None:
        """The device delivers, though nothing of it is handed on now."""
        now_s = time.monotonic()
        if now_s - self._alive_s >= _ALIVE_S:
            self._alive_s = now_s
            self._say("alive")

    def loaded(self) -> None:
        """All libraries are in memory; what takes long from now on is the device."""
        self._say("loaded")

    def _say(self, word: str) -> None:
        with self._changed:
            if not self._waiting:  # else there is something better to say
                self._waiting.append((_Header(word), []))
                self._changed.notify()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                header, parts = self._waiting.popleft()
            head = msgspec.json.encode(header)
            views = [memoryview(len(head).to_bytes(4, "little") + head)]
            views += [part.reshape(-1).view(np.uint8).data for part in parts]
            try:
                for view in views:
                    rest = view
                    while rest:
                        rest = rest[os.write(self._fd, rest) :]
            except OSError:  # nobody reads any more
                os._exit(1)


def hidden(text: str) -> str:
    """`text` without users and passwords in addresses."""
    return re.sub(r"(\w://)[^/\s@]*@", r"\1***@", text)


def _unpack(incoming: bytearray) -> Iterator[tuple[_Header, Item | None]]:
    """Every complete item; taken out of `incoming`."""
    while len(incoming) >= 4:
        start = 4 + int.from_bytes(incoming[:4], "little")
        if len(incoming) < min(start, _MAX_HEADER_BYTES):
            return
        try:
            header = msgspec.json.decode(incoming[4:start], type=_Header)
        except msgspec.DecodeError:
            raise SourceError("its capture writes garbage") from None
        if not 0 <= header.size <= _MAX_BYTES:
            raise SourceError(f"delivers {header.size >> 20} MiB at once")
        if len(incoming) < start + header.size:
            return
        item = None
        if header.says == "item":
            raw = np.frombuffer(incoming[start : start + header.size], dtype=header.dtype)
            data, large = np.split(raw, [math.prod(header.shape)])
            item = Item(
                *(header.seq, header.t_ns, data.reshape(header.shape), header.rate_hz),
                large.reshape(header.large_shape) if header.large_shape else None,
            )
        del incoming[: start + header.size]
        yield header, item


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it is gone."""
    libc: Any = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before we asked
        os._exit(1)


def main(argv: list[str]) -> None:
    """The child: the module to run and who started us; the config on stdin, items to stdout."""
    name, parent = argv
    _die_with(int(parent))
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent decides when it is over
        signal.signal(ignored, signal.SIG_IGN)
    fd = os.dup(1)
    os.dup2(2, 1)  # a library that prints must not print between the items
    module: Any = importlib.import_module(name)
    config = msgspec.json.decode(sys.stdin.buffer.read(), type=module.Config)
    try:
        module.capture(config, Out(fd, keep=module.KEEP))
    except SourceError as error:
        last_words = one_line(error)
    except Exception as error:  # noqa: BLE001 a library's own, and all anybody can do is try again
        last_words = f"{type(error).__name__}: {one_line(error)}"
    else:
        last_words = "delivers no more"
    sys.stderr.write(f"\n{last_words}\n")
    sys.stderr.flush()
    os._exit(_SAID_WHY)  # whatever still runs inside a library


if __name__ == "__main__":
    main(sys.argv[1:])
