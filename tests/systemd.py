"""What systemd does for a unit of `Type=notify`: listen, watch, kill, start again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
EX_CONFIG = 78
_POLL_S = 0.02


@dataclass
class Life:
    """One process of the unit, from start to end."""

    process: subprocess.Popen[bytes]
    log: Path
    began_s: float = field(default_factory=time.monotonic)
    ready_s: float | None = None  # since it began
    fed: int = 0
    words: list[str] = field(default_factory=list)
    exit: int | None = None
    killed_by_watchdog: bool = False

    @property
    def is_ready(self) -> bool:
        return self.ready_s is not None and self.exit is None

    @property
    def status(self) -> str:
        """The line that `systemctl status` would show."""
        said = [word for word in self.words if word.startswith("STATUS=")]
        return said[-1].removeprefix("STATUS=") if said else ""

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


class Unit:
    """`vedette run` as a unit, with what this file's settings would be in its section.

    Silence for longer than `watchdog_s` ends in SIGABRT, and in SIGKILL when it does not end the
    process; every end but a stop and exit code 78 is followed by a new start.
    """

    def __init__(
        self,
        config: Path,
        *,
        prelude: str = "",
        watchdog_s: float = 2.0,
        start_s: float = 60.0,
        abort_s: float = 1.0,
        restart_s: float = 0.2,
        under: Sequence[str] = (),
    ) -> None:
        """Starts it.

        Args:
            config: for `--config`; log files and the socket lie beside it.
            prelude: Python to run before, to break something.
            watchdog_s: `WatchdogSec=`.
            start_s: `TimeoutStartSec=`.
            abort_s: `TimeoutAbortSec=`.
            restart_s: `RestartSec=`.
            under: a command that runs it with other rights.
        """
        self.lives: list[Life] = []
        self._folder = config.parent
        self._watchdog_s, self._start_s = watchdog_s, start_s
        self._abort_s, self._restart_s = abort_s, restart_s
        program = f"import sys\n{prelude}\nimport vedette\nsys.exit(vedette.main(sys.argv[1:]))"
        python = [*under, sys.executable, "-c", program]
        self._command = [*python, "run", "--config", str(config), "--json"]
        address = self._folder / "notify"
        address.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.settimeout(_POLL_S)
        self._env = {
            **os.environ,
            "NOTIFY_SOCKET": str(address),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._is_wanted = True
        self._spawn()
        self._thread = threading.Thread(target=self._supervise)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_wanted = False
        self.now.process.kill()
        self._thread.join()
        self._socket.close()

    @property
    def now(self) -> Life:
        """The latest life."""
        return self.lives[-1]

    def log(self) -> str:
        """Of all lives."""
        return "".join(life.text() for life in self.lives)

    def stop(self) -> tuple[int, float]:
        """SIGTERM; exit code, and how long it took, seconds."""
        self._is_wanted = False
        begun_s = time.monotonic()
        self.now.process.terminate()
        code = self.now.process.wait(20)
        took_s = time.monotonic() - begun_s
        self._thread.join()
        return code, took_s

    def _spawn(self) -> None:
        log = self._folder / f"life-{len([*self._folder.glob('life-*.log')])}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self._env,
            )
        self.lives.append(Life(process, log))

    def _supervise(self) -> None:
        self._begin()
        while True:
            self._listen()
            life, now_s = self.now, time.monotonic()
            if (code := life.process.poll()) is not None:
                self._listen()  # its last words
                life.exit = code
                if code == EX_CONFIG or not self._is_wanted:
                    return
                time.sleep(self._restart_s)
                if not self._is_wanted:
                    return
                self._spawn()
                self._begin()
            elif life.killed_by_watchdog and now_s > self._deadline_s:
                life.process.kill()
            elif now_s > self._deadline_s:
                life.killed_by_watchdog = True
                life.process.send_signal(signal.SIGABRT)
                self._deadline_s = now_s + self._abort_s

    def _begin(self) -> None:
        self._deadline_s = time.monotonic() + self._start_s

    def _listen(self) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                for word in self._socket.recv(4096).decode().splitlines():
                    self._hear(word)

    def _hear(self, word: str) -> None:
        life, now_s = self.now, time.monotonic()
        life.words.append(word)
        if word == "READY=1":
            life.ready_s = now_s - life.began_s
        life.fed += word == "WATCHDOG=1"
        if life.killed_by_watchdog:
            return
        if word.startswith("EXTEND_TIMEOUT_USEC="):
            self._deadline_s = max(self._deadline_s, now_s + int(word.partition("=")[2]) / 1e6)
        elif word == "STOPPING=1":
            self._deadline_s = now_s + 10.0
        elif word in {"READY=1", "WATCHDOG=1"}:
            self._deadline_s = now_s + self._watchdog_s
