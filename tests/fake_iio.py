"""A machine's IIO devices as files: the sysfs tree of a driver, and its buffer as a named pipe."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
import time
from pathlib import Path

import numpy as np

# as `grep -r .` shows them: a sensor with 20 of 32 bits, the larger byte first, and time stamps,
ADXL355 = {
    "name": "adxl355",
    "in_accel_scale": "0.000038245",
    "in_accel_sampling_frequency": "4000.000000",
    "in_accel_sampling_frequency_available": "4000.000 2000.000 1000.000 500.000 250.000 125.000",
    "in_temp_offset": "-2111.25",
    "in_temp_scale": "-110.497238",
    "current_timestamp_clock": "realtime",
    "trigger/current_trigger": "",
    "buffer/enable": "0",
    "buffer/length": "2",
    "buffer/watermark": "1",
    "scan_elements/in_accel_x_en": "0",
    "scan_elements/in_accel_x_index": "0",
    "scan_elements/in_accel_x_type": "be:s20/32>>12",
    "scan_elements/in_accel_y_en": "0",
    "scan_elements/in_accel_y_index": "1",
    "scan_elements/in_accel_y_type": "be:s20/32>>12",
    "scan_elements/in_accel_z_en": "0",
    "scan_elements/in_accel_z_index": "2",
    "scan_elements/in_accel_z_type": "be:s20/32>>12",
    "scan_elements/in_temp_en": "1",
    "scan_elements/in_temp_index": "3",
    "scan_elements/in_temp_type": "be:s12/16>>0",
    "scan_elements/in_timestamp_en": "0",
    "scan_elements/in_timestamp_index": "4",
    "scan_elements/in_timestamp_type": "le:s64/64>>0",
}
# and one with 12 of 16 bits, a scale for each axis, and no time stamps
LIS3DH = {
    "name": "lis3dh_accel",
    "in_accel_x_scale": "0.009806",
    "in_accel_y_scale": "0.009806",
    "in_accel_z_scale": "0.009806",
    "in_accel_z_offset": "100",
    "sampling_frequency": "400",
    "sampling_frequency_available": "1 10 25 50 100 200 400 1600",
    "trigger/current_trigger": "lis3dh_accel-trigger",
    "buffer/enable": "0",
    "buffer/length": "2",
    **{f"scan_elements/in_accel_{axis}_en": "0" for axis in "xyz"},
    **{f"scan_elements/in_accel_{axis}_index": str(n) for n, axis in enumerate("xyz")},
    **{f"scan_elements/in_accel_{axis}_type": "le:s12/16>>4" for axis in "xyz"},
}


def plant(root: Path, number: int, files: dict[str, str], *, trigger: str | None = None) -> Path:
    """Make the files of a device, its pipe and its trigger; the device's folder in sysfs."""
    folder = root / "sys/bus/iio/devices" / f"iio:device{number}"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    if trigger:
        name = root / "sys/bus/iio/devices" / f"trigger{number}" / "name"
        name.parent.mkdir(parents=True)
        name.write_text(trigger + "\n")
    (root / "dev").mkdir(exist_ok=True)
    os.mkfifo(root / "dev" / f"iio:device{number}")
    return folder


def adxl355_scans(
    first: int, count: int, *, rate_hz: float, began_ns: int = 0, jitter_ns: int = 0
) -> bytes:
    """Scans as the driver packs them: a sine, the number of the sample, one g; then the stamp.

    Three numbers of four bytes, four bytes of nothing, eight of time.
    """
    rng = np.random.default_rng(first)
    packed = []
    for n in range(first, first + count):
        x = round(1000 * np.sin(2 * np.pi * 50 * n / rate_hz))
        values = [(value & 0xFFFFF) << 12 for value in (x, n % 4000, -256_410)]
        stamp = began_ns + round(n / rate_hz * 1e9) + int(rng.integers(0, jitter_ns + 1))
        packed.append(struct.pack(">3I4x", *values) + struct.pack("<q", stamp))
    return b"".join(packed)


def lis3dh_scans(first: int, count: int) -> bytes:
    """Six bytes each: the number of the sample, its negative, one g less the offset."""
    numbers = [(n % 1000, -(n % 1000), 900) for n in range(first, first + count)]
    return b"".join(struct.pack("<3h", *(value << 4 for value in scan)) for scan in numbers)


class Player:
    """Writes scans into the pipe in real time, in odd pieces; from a thread of its own."""

    def __init__(self, pipe: Path, scans, *, rate_hz: float) -> None:
        """`scans(first, count)` gives the bytes."""
        self._fd = os.open(pipe, os.O_RDWR)
        self._scans, self._rate_hz = scans, rate_hz
        self._ended, self.is_on = threading.Event(), threading.Event()
        self.is_on.set()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self.is_on.set()
        while self._thread.is_alive():  # it may wait for a reader
            if select.select([self._fd], [], [], 0.05)[0]:
                os.read(self._fd, 1 << 16)
        self._thread.join()
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def _play(self) -> None:
        began_s, made, rest = time.monotonic(), 0, b""
        while not self._ended.wait(0.03):
            self.is_on.wait()
            due = int((time.monotonic() - began_s) * self._rate_hz)
            raw = rest + self._scans(made, due - made)
            made, cut = due, len(raw) - 7  # in the middle of a scan
            rest = raw[max(cut, 0) :]
            os.write(self._fd, raw[: max(cut, 0)])
