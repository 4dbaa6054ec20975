"""How the board is doing: temperature, throttling, memory, disk, software."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path

_THERMAL = Path("/sys/class/thermal")
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # Raspberry Pi
_THROTTLE_BITS = {
    0: "under_voltage",
    1: "frequency_capped",
    2: "throttled",
    3: "soft_temperature_limit",
}


def cpu_temperature_c(thermal: Path = _THERMAL) -> float | None:
    """The hottest thermal zone, degrees Celsius."""
    readings = []
    for zone in thermal.glob("thermal_zone*/temp"):
        try:
            readings.append(int(zone.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):
            continue
    return max(readings, default=None)


def throttled(path: Path = _THROTTLED) -> list[str] | None:
    """What holds the processor back right now, on a Raspberry Pi."""
    try:
        bits = int(path.read_text(encoding="ascii").strip(), 16)
    except (OSError, ValueError):
        return None
    return [cause for bit, cause in _THROTTLE_BITS.items() if bits >> bit & 1]


def memory_bytes() -> int:
    """Resident memory of this process; 0 where it cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def disk_free_bytes(folder: Path) -> int:
    """What a service may still write there; 0 where it cannot be read."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def version() -> str:
    """Of this software; `unknown` where it was never installed."""
    try:
        return importlib.metadata.version("vedette")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "unknown"
