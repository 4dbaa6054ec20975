"""Talk to systemd: sd_notify(3), and the priorities its journal reads, without a library."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys

_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}


def notify(*states: str) -> None:
    """Send states, such as `READY=1`, in one message; nothing happens outside systemd.

    One that does not get through is not tried again: without a sign of life we are restarted, which
    is better than to wait here for somebody who does not listen.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto("\n".join(states).encode(), name)


def watchdog_s() -> float | None:
    """How long systemd waits for a sign of life, seconds; None without a watchdog."""
    if os.environ.get("WATCHDOG_PID") not in {None, str(os.getpid())}:
        return None
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 1e6 if microseconds else None


def is_journal() -> bool:
    """Whether what we write to stderr goes to systemd's journal."""
    with contextlib.suppress(OSError, ValueError):
        stat = os.fstat(sys.stderr.fileno())
        return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"
    return False


def mark(text: str, level: int) -> str:
    """Every line of a text with its priority, as sd-daemon(3) has it; only for the journal."""
    if not is_journal():
        return text
    return "\n".join(f"<{_PRIORITY.get(level, 7)}>{line}" for line in text.splitlines())
