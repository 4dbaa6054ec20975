"""Talk to systemd: sd_notify(3), without a library."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send one state, such as `READY=1`; nothing happens outside systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), name)


def watchdog_s() -> float | None:
    """How long systemd waits for a sign of life, seconds; None without a watchdog."""
    if os.environ.get("WATCHDOG_PID") not in {None, str(os.getpid())}:
        return None
    microseconds = os.environ.get("WATCHDOG_USEC")
    return int(microseconds) / 1e6 if microseconds else None
