"""An accelerometer with a kernel driver (Linux IIO), read in a child through its buffer."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array, Floats
from edge import iio
from edge.capture import Capture, Out
from edge.errors import SourceError
from edge.sampled import BLOCK_S, Blocks, SampledSource

KEEP = 100  # blocks that wait while a window is judged
_BUFFER_S = 2.0  # a reader may come so late
_FIXES = {
    errno.ENOENT: "the driver has no buffer; see ls /dev/iio*",
    errno.EACCES: "this user in the group of that file (docs/device.md, permissions)",
    errno.EPERM: "DeviceAllow=char-iio in the unit (docs/device.md, permissions)",
    errno.EBUSY: "stop the program that reads it: the service, or another pipeline of it",
}


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="iio"):
    """`type = "iio"`: which device and axes, how it samples, how it is cut."""

    device: str
    rate_hz: Annotated[float, Meta(ge=10.0, le=1e6)]
    window_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    channels: Annotated[list[str], Meta(min_length=1)] | None = None
    trigger: str | None = None
    root: str = "/"
    stall_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 3.0


def open_source(config: Config, *, name: str, base: Path) -> SampledSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here."""
    what = f"IIO device {config.device}"
    reader = Capture(__name__, config, what=what, stall_s=config.stall_s)
    return SampledSource(config, reader, name=name, what=what)


def capture(config: Config, out: Out) -> None:
    """Read the device for ever; runs in the child.

    Raises:
        SourceError: it is not there, in use, or cannot do what is asked.
    """
    out.loaded()
    device = iio.Device(Path(config.root), config.device)
    # opened first: while another reads it, this fails, and its settings are left alone
    try:
        fd = os.open(device.node, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        is_busy = error.errno == errno.EBUSY
        said = "is in use" if is_busy else error.strerror
        raise SourceError(f"{said}; fix: {_FIXES.get(error.errno or 0, 'device')}") from None
    stream = Stream(config, device, Blocks(out, rate_hz=config.rate_hz))
    stream.hand_on(lambda size: os.read(fd, size))


class Stream:
    """Bytes of the buffer to blocks, and where some are missing."""

    def __init__(
        self,
        config: Config,
        device: iio.Device,
        blocks: Blocks,
        *,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Set the device up; nothing is read yet.

        Args:
            config: of the source.
            device: nobody else reads it.
            blocks: take the samples.
            now_ns: monotonic clock.
        """
        self._config = config
        self._device = device
        self._axes = config.channels or device.axes()
        self._plan = device.set_up(self._axes, rate_hz=config.rate_hz, trigger=config.trigger)
        self._offset, self._scale = device.units(self._axes)
        self._blocks = blocks
        self._now_ns = now_ns
        self._has_stamps = any(element.name == "timestamp" for element in self._plan.elements)
        self._stamp_ns: int | None = None  # of the last scan

    def hand_on(self, read: Callable[[int], bytes]) -> None:
        """For ever.

        Args:
            read: waits for some bytes, at most so many.

        Raises:
            SourceError: the device is gone.
        """
        block = max(round(BLOCK_S * self._config.rate_hz), 1)
        held = max(round(_BUFFER_S * self._config.rate_hz), 4 * block)
        late_ns = held / self._config.rate_hz * 1e9
        self._device.switch(is_on=True, scans=held, block=block)
        pending, last_ns = b"", self._now_ns()
        while True:
            try:
                got = read(block * self._plan.scan_bytes)
            except OSError as error:
                raise SourceError(f"reading it: {error.strerror}; fix: its wires") from None
            if not got:
                raise SourceError("delivers no more; fix: is it still there?")
            now_ns = self._now_ns()
            if now_ns - last_ns > late_ns and not self._has_stamps:
                # it was full, and what came then is lost; where, only an empty one can tell
                self._device.switch(is_on=False)
                self._device.switch(is_on=True, scans=held, block=block)
                self._blocks.lose()
                pending, last_ns = b"", self._now_ns()
                continue
            last_ns = now_ns
            pending += got
            whole = len(pending) // self._plan.scan_bytes * self._plan.scan_bytes
            if whole:
                self._take(iio.decode(pending[:whole], self._plan), now_ns)
                pending = pending[whole:]

    def _take(self, values: dict[str, Array], now_ns: int) -> None:
        """Hand on what one read gave; of what lies before a hole and after it, each."""
        raw = np.stack([values[name] for name in self._axes], axis=1)
        samples = ((raw + self._offset) * self._scale).astype(np.float32)
        stamps = values.get("timestamp") if self._has_stamps else None
        if stamps is not None and (np.diff(stamps) == 0).any():
            # the driver stamps all that it reads at once, or nothing at all
            self._has_stamps, stamps = False, None
            self._blocks.lose()  # or two clocks would be mixed
        if stamps is None:
            self._blocks.add(samples, t_ns=now_ns)
            return
        first = self._after_hole(stamps)
        if first is not None:
            self._add(samples[:first], stamps[:first], now_ns)
            self._blocks.lose()
        self._add(samples[first or 0 :], stamps[first or 0 :], now_ns)
        self._stamp_ns = int(stamps[-1])

    def _add(self, samples: Floats, stamps: Array, now_ns: int) -> None:
        if len(stamps):
            self._blocks.add(samples, t_ns=now_ns, stamp_ns=int(stamps[-1]))

    def _after_hole(self, stamps: Array) -> int | None:
        """Where samples go on after some were lost, by the stamps; None where all are there.

        A stamp may be late by a part of a sample; only time that is not made up for is a hole.
        """
        if self._stamp_ns is None:  # the first ever
            if len(stamps) == 1:
                return None
            self._stamp_ns = int(stamps[0] - np.median(np.diff(stamps)))
        steps = np.diff(stamps, prepend=self._stamp_ns)
        usual = 1e9 / self._blocks.rate_hz if self._blocks.rate_hz else float(np.median(steps))
        missing = (int(stamps[-1]) - self._stamp_ns) / max(usual, 1.0) - len(stamps)
        return int(np.argmax(np.abs(steps))) if abs(missing) > 0.75 else None
