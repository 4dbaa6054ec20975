"""When a message happened: by the device's clock where it can be believed, else by the next best.

A board without a battery clock boots in 1970 and learns the time later. Its monotonic clock is
right all along, so one synchronized stamp dates everything else of the same boot.
"""

from __future__ import annotations

import functools
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from contract.messages import Stamp

DatedBy = Literal["device", "boot", "collector"]

# A clock that claims to be synchronized and lies outside of these is not: nothing was sent before
# 2020, and nothing happens after it has arrived, give or take a clock that is a bit ahead.
_EARLIEST_NS = 1_577_836_800 * 10**9
_AHEAD_NS = 3_600 * 10**9


def offset_ns(stamp: Stamp, received_ns: int) -> int | None:
    """What to add to the monotonic clock of a boot, by one of its stamps; None: it cannot tell."""
    is_right = stamp.clock_synced and _is_believable(stamp.ts_ns, received_ns)
    return stamp.ts_ns - stamp.mono_ns if is_right else None


def date(stamp: Stamp, received_ns: int, offset_ns: int | None) -> tuple[int, DatedBy]:
    """When it happened, ns since 1970, and who says so.

    Args:
        stamp: the device's clocks.
        received_ns: when it reached the collector, ns since 1970.
        offset_ns: what that boot's first synchronized stamp has told; None: there was none.
    """
    if stamp.clock_synced and _is_believable(stamp.ts_ns, received_ns):
        return stamp.ts_ns, "device"
    if offset_ns is None and stamp.boot_id == our_boot_id():
        offset_ns = _our_offset_ns()  # a device on this machine: its monotonic clock is ours
    if offset_ns is not None and _is_believable(stamp.mono_ns + offset_ns, received_ns):
        return stamp.mono_ns + offset_ns, "boot"
    return received_ns, "collector"


@functools.cache
def our_boot_id() -> str:
    """Of the machine the collector runs on."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return str(uuid.uuid4())


@functools.cache
def _our_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()


def _is_believable(at_ns: int, received_ns: int) -> bool:
    return _EARLIEST_NS <= at_ns <= received_ns + _AHEAD_NS
