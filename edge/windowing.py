"""Samples to Windows, never across a gap."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from contract.spec import Floats, Window


class Windower:
    """Cuts a stream of blocks into windows; after a gap the window starts anew."""

    def __init__(self, source: str, *, rate_hz: float, window_s: float, hop_s: float) -> None:
        """Windows of `window_s` begin every `hop_s`, both rounded to whole samples."""
        self._source = source
        self._rate_hz = rate_hz
        self._window = max(round(window_s * rate_hz), 1)
        self._hop = max(round(hop_s * rate_hz), 1)
        self._buffer: Floats | None = None
        self._skip = 0  # samples to pass over before the next window begins
        self._seq = 0

    def push(
        self, block: Floats, *, t_ns: int, after_gap: bool = False, rate_hz: float | None = None
    ) -> Iterator[Window]:
        """Windows completed by `block`.

        Args:
            block: (samples, channels) float32.
            t_ns: source time of the block's last sample.
            after_gap: samples were lost between the block before and this one.
            rate_hz: as it was measured, where it was.
        """
        rate_hz = rate_hz or self._rate_hz
        if after_gap or self._buffer is None:
            self._buffer, self._skip = block[:0], 0
        self._buffer = np.concatenate([self._buffer, block])
        while True:
            skipped = min(self._skip, len(self._buffer))
            self._buffer = self._buffer[skipped:]
            self._skip -= skipped
            if len(self._buffer) < self._window:
                return
            data = np.ascontiguousarray(self._buffer[: self._window], dtype=np.float32)
            left = len(self._buffer) - self._window
            yield Window(
                source=self._source,
                seq=self._seq,
                t_ns=t_ns - round(left / rate_hz * 1e9),
                wall_ns=time.time_ns(),
                data=data,
                rate_hz=rate_hz,
            )
            self._seq += 1
            self._skip = self._hop
