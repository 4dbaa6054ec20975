"""What systemd does for a unit: start it, wait for READY, feed on its watchdog, start it again."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.1
_RESTART_S = 0.5
_STOP_S = 10.0
EX_CONFIG = 78


@dataclass(frozen=True)
class Exit:
    """A process that ended without having been told to."""

    at_s: float  # monotonic
    code: int
    last_words: str


class Unit:
    """One supervised process.

    Attributes:
        name: also the name of its log file, and of its network.
        log: everything it wrote, over all its lives.
        starts: how often it was started.
        exits: the ends nobody asked for.
        ends_s: monotonic times of all ends.
        is_given_up: exited with 78; a unit does not start it again.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        folder: Path,
        ready: str,
        env: dict[str, str] | None = None,
        watchdog_s: float | None = None,
        clean_up: Callable[[str], None] = lambda _log: None,
    ) -> None:
        """Nothing runs yet.

        Args:
            name: of the unit.
            command: to run.
            folder: for the log and the notify socket.
            ready: pattern in its log that says it is up; `READY=1`: it says so to systemd.
            env: beside that of this process.
            watchdog_s: as `WatchdogSec=`; needs `READY=1`.
            clean_up: called with what the last life wrote before the next begins, as
                `ExecStartPre=` would be.
        """
        self.name = name
        self.log = folder / f"{name}.log"
        self.starts = 0
        self.exits: list[Exit] = []
        self.ends_s: list[float] = []
        self.is_given_up = False
        self._command = command
        self._ready = ready
        self._watchdog_s = watchdog_s
        self._clean_up = clean_up
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False
        self._is_over = False
        self._expected = -1  # the pid that was killed on purpose
        self._began = 0  # where in the log this life begins
        self._fed_s = 0.0
        self._is_notified = False
        self._lock = threading.RLock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / f"{name}.notify"
        self._socket.bind(str(path))
        self._env["NOTIFY_SOCKET"] = str(path)
        if watchdog_s:
            self._env["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
        self.log.touch()
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the process; 0 while there is none."""
        process = self._process
        return process.pid if process and process.poll() is None else 0

    @property
    def is_ready(self) -> bool:
        """Whether it runs and has said that it is up."""
        if not self.pid:
            return False
        return self._is_notified or self.said(self._ready, after=self._began)

    def state(self) -> str:
        """The process's state as ps shows it, such as `T`; empty while there is none."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        except OSError:
            return ""
        return text.rpartition(")")[2].split()[0]

    def start(self) -> None:
        """Begin to keep it running."""
        self._is_wanted = True

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and, if it is one that ends, wait for the end; the pid that got it."""
        with self._lock:
            process, pid = self._process, self.pid
            if not pid:
                return 0
            if number == signal.SIGKILL:
                self._expected = pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            if number == signal.SIGKILL and process:
                process.wait()
        return pid

    def hold(self) -> int:
        """Kill it and keep it down until `start`; the pid it had."""
        self._is_wanted = False
        return self.kill()

    def stop(self) -> int | None:
        """As `systemctl stop`: SIGTERM, and SIGKILL when that is not heard; the exit code."""
        self._is_wanted = False
        with self._lock:
            process = self._process
            if process is None:
                return None
            self._expected = process.pid
            process.terminate()
            try:
                return process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()

    def said(self, pattern: str, *, after: int) -> bool:
        """Whether its log holds this behind its first `after` bytes."""
        with self.log.open("rb") as file:
            file.seek(after)
            return re.search(pattern, file.read().decode(errors="replace")) is not None

    def close(self) -> None:
        """Kill it for good."""
        self.hold()
        self._is_over = True
        self._thread.join()
        self._socket.close()

    def _words(self) -> str:
        """What this life has written so far."""
        with self.log.open("rb") as file:
            file.seek(self._began)
            return file.read().decode(errors="replace")

    def _spawn(self) -> None:
        with self._lock:
            if not self._is_wanted or self._is_over:
                return
            self._clean_up(self._words())
            self._began = self.log.stat().st_size
            self._fed_s, self._is_notified = time.monotonic(), False
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._env,
                    start_new_session=True,
                )
            self.starts += 1

    def _supervise(self) -> None:
        again_s = 0.0
        while not self._is_over:
            self._listen()
            process = self._process
            if process is None or process.poll() is not None:
                if process is not None:
                    self._note_exit(process)
                    again_s = time.monotonic() + _RESTART_S
                    self._process = None
                if self._is_wanted and not self.is_given_up and time.monotonic() >= again_s:
                    self._spawn()
            elif self._watchdog_s and time.monotonic() - self._fed_s > self._watchdog_s:
                process.send_signal(signal.SIGABRT)
                self._fed_s = time.monotonic()

    def _note_exit(self, process: subprocess.Popen[bytes]) -> None:
        self.ends_s.append(time.monotonic())
        if process.pid == self._expected:
            return
        words = self._words().strip().splitlines()
        self.exits.append(Exit(time.monotonic(), process.returncode, "\n".join(words[-5:])))
        self.is_given_up = process.returncode == EX_CONFIG

    def _listen(self) -> None:
        readable, _, _ = select.select([self._socket], [], [], _POLL_S)
        while readable:
            for line in self._socket.recv(4096).decode().splitlines():
                self._is_notified |= line == "READY=1" == self._ready
                if line in {"READY=1", "WATCHDOG=1"}:
                    self._fed_s = time.monotonic()
            readable, _, _ = select.select([self._socket], [], [], 0)
