"""Time, and whether it can be believed; a board without a battery clock boots in the past."""

from __future__ import annotations

import ctypes
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from contract.messages import Stamp

_RELEASED_NS = 1_760_000_000 * 10**9  # October 2025: no wall clock before it can be right
_STEP_NS = 10**9  # a wall clock that falls back by more than this has been set
_LONG_AGO_NS = 600 * 10**9  # no window is older when its message is stamped
_TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised


def boot_id() -> str:
    """The kernel's id of this boot; a random one where there is none to read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(uuid.uuid4())


def kernel_synced() -> bool:
    """Whether a time service keeps the kernel's clock, by adjtimex(2)."""
    try:
        request = (ctypes.c_byte * 512)()  # struct timex, all zero: read only
        return int(ctypes.CDLL(None).adjtimex(request)) not in {-1, _TIME_ERROR}
    except (OSError, AttributeError):
        return False


class Clock:
    """Stamps messages. One per device service, shared by its threads.

    The wall clock is believed while the kernel calls it synchronised and it lies after this
    software was written. Once it falls back, it is not believed again until the kernel has lost
    and regained synchronisation.
    """

    def __init__(
        self,
        *,
        first_seq: int,
        boot: str | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        is_kernel_synced: Callable[[], bool] = kernel_synced,
    ) -> None:
        self.boot_id = boot or boot_id()
        self._seq = first_seq
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._is_kernel_synced = is_kernel_synced
        self._lock = threading.Lock()
        self._latest_ns = 0
        self._fell_back = False
        self._was_synced = True

    def stamp(self, *, wall_ns: int | None = None, window: int | None = None) -> Stamp:
        """The next place in the order.

        Args:
            wall_ns: when it happened; None: now.
            window: number of the window it is about.
        """
        with self._lock:
            seq, self._seq = self._seq, self._seq + 1
            return self._stamp(seq, wall_ns, window)

    def unordered(self, *, wall_ns: int | None = None, window: int | None = None) -> Stamp:
        """A stamp for what is not stored and takes no place in the order: status and scores."""
        with self._lock:
            return self._stamp(self._seq, wall_ns, window)

    def _stamp(self, seq: int, wall_ns: int | None, window: int | None) -> Stamp:
        now_ns, mono_ns = self._wall_ns(), self._mono_ns()
        synced = self._check(now_ns)
        ago_ns = 0 if wall_ns is None else now_ns - wall_ns
        if not 0 <= ago_ns <= _LONG_AGO_NS:  # the clock was set in between
            ago_ns = 0
        return Stamp(
            ts_ns=max(now_ns - ago_ns, 0),
            mono_ns=max(mono_ns - ago_ns, 0),
            boot_id=self.boot_id,
            seq=seq,
            clock_synced=synced,
            window=window,
        )

    def _check(self, now_ns: int) -> bool:
        synced = self._is_kernel_synced()
        if synced and not self._was_synced:
            self._fell_back = False
            self._latest_ns = now_ns
        if now_ns < self._latest_ns - _STEP_NS:
            self._fell_back = True
        self._was_synced = synced
        self._latest_ns = max(self._latest_ns, now_ns)
        return synced and not self._fell_back and now_ns > _RELEASED_NS
