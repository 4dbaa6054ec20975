"""A world of its own for one run: namespaces of network, mounts and processes.

In it everybody is root, so nothing here needs root outside, and nothing is left behind: when the
run ends, however it ends, the kernel takes back its processes, its networks and its mounts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

from host import broker

_INSIDE = "VEDETTE_CHAOS_INSIDE"
_UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
FAKETIME = "libfaketimeMT.so.1"


def enter(argv: list[str]) -> str | None:
    """Begin again inside; returns only when that is done or cannot be.

    Returns:
        Why there is no sandbox, or None when we are in it.
    """
    if os.environ.get(_INSIDE):
        # `ip netns` keeps its names below /run, where nobody else's are to be seen
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return None
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    why = _why_not(user)
    if why is None:
        os.environ[_INSIDE] = "1"
        os.execvp("unshare", [*_UNSHARE, *user, sys.executable, "-m", "chaos", *argv])
    return why


def _why_not(user: list[str]) -> str | None:
    missing = [tool for tool in ("unshare", "nsenter", "ip", "nft", "mount") if not which(tool)]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: util-linux iproute2 nftables mount)"
    tried = subprocess.run([*_UNSHARE, *user, "true"], capture_output=True, text=True, check=False)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def faketime() -> Path | None:
    """The library that moves a process's wall clock, where it is installed."""
    return next(Path("/usr/lib").glob(f"*/faketime/{FAKETIME}"), None)


def left_out(no_sandbox: str | None) -> dict[str, str]:
    """What cannot be done here, and why: by the name a kind of fault asks for."""
    missing = {}
    if no_sandbox:
        missing |= dict.fromkeys(("network", "disk"), no_sandbox)
    if faketime() is None:
        missing["clock"] = f"{FAKETIME} not found (Debian: libfaketime)"
    return missing


def no_broker() -> str | None:
    """Why no run is possible at all."""
    if broker.find_mosquitto() is None:
        return "mosquitto is not installed (Debian: mosquitto)"
    return None
