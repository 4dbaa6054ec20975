"""Raw windows of a machine's healthy time, kept beside its profile to compare later ones with."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from pathlib import Path

import numpy as np

from contract import npz
from contract.spec import Array, Floats, Window

log = logging.getLogger(__name__)

_MOST_WINDOWS = 16
_MOST_BYTES = 8 * 1024 * 1024  # of all of them, in memory and on disk
_RETRY_S = 60.0
_KEPT = 4  # files of other models: the one to roll back to and a few more
_RATE = "rate_hz"
_SAME_RATE = 0.01


class HealthyWindows:
    """At most 16 windows of those the profile is learned from, evenly over them."""

    def __init__(self, path: Path, *, learned: int, learn_windows: int) -> None:
        """Reads `path` back where it exists.

        Args:
            path: the `.npz` file of this pipeline and model, `PIPELINE.healthy.MODEL.npz`.
            learned: windows the profile was learned from so far. What is kept of later ones is
                dropped: a power cut took them from the profile, or it is learned anew.
            learn_windows: windows it is learned from.
        """
        self._path = path
        self._learn_windows = learn_windows
        self._rate_hz = 0.0
        self._windows: dict[int, Floats] = {}  # by the number they were learned as
        self._is_saved = True
        self._retry_s = 0.0
        if path.exists():
            self._read(learned)

    def keep(self, number: int, window: Window) -> None:
        """Take one healthy window if its turn has come.

        Args:
            number: how many were learned from before it.
            window: of a signal.
        """
        most = min(_MOST_WINDOWS, _MOST_BYTES // max(window.data.nbytes, 1))
        # the first of each of `most` equal stretches
        if number * most // self._learn_windows == (number - 1) * most // self._learn_windows:
            return
        if not self._is_rate(window):
            self._windows.clear()
            self._rate_hz = window.rate_hz
        self._windows[number] = np.array(window.data, dtype=np.float32)
        while len(self._windows) > most:
            del self._windows[min(self._windows)]
        self._write()

    def like(self, window: Window) -> list[Floats]:
        """Those that `window` can be compared with: of its rate, length and channels, in order."""
        if not self._is_rate(window):
            return []
        kept = [data for _, data in sorted(self._windows.items())]
        return [data for data in kept if data.shape == window.data.shape]

    def save_again(self) -> None:
        """What the disk has not taken, once a minute; nothing where it has taken all."""
        if not self._is_saved and time.monotonic() >= self._retry_s:
            self._write()

    def _is_rate(self, window: Window) -> bool:
        """A measured rate is never twice quite the same."""
        return math.isclose(window.rate_hz, self._rate_hz, rel_tol=_SAME_RATE)

    def _write(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        arrays: dict[str, Array] = {str(number): data for number, data in self._windows.items()}
        try:
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays, **{_RATE: np.array(self._rate_hz)})
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            self._forget_others()
        except OSError as error:  # such as a full disk; what is in memory still serves
            if self._is_saved:
                log.error("%s cannot be saved: %s", self._path, error.strerror)  # noqa: TRY400
            self._is_saved, self._retry_s = False, time.monotonic() + _RETRY_S
            with contextlib.suppress(OSError):
                temporary.unlink()
        else:
            self._is_saved = True

    def _forget_others(self) -> None:
        name, _, _ = self._path.stem.rpartition(".")
        files = sorted(self._path.parent.glob(f"{name}.*.npz"), key=lambda f: f.stat().st_mtime_ns)
        for oldest in files[: -_KEPT - 1]:
            oldest.unlink()

    def _read(self, learned: int) -> None:
        try:
            arrays = npz.read(self._path)
            rate_hz = float(arrays.pop(_RATE))
            for name, array in arrays.items():
                if array.ndim != 2 or array.dtype != np.float32 or not np.isfinite(array).all():
                    raise ValueError(f"{name} is no window")
            windows = {int(name): array for name, array in arrays.items()}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s not taken: %s", self._path, error)
            return
        self._rate_hz = rate_hz
        self._windows = {number: data for number, data in windows.items() if number < learned}
