"""Accelerometers that have a kernel driver: Linux' Industrial I/O, its sysfs and its byte stream.

Documentation/ABI/testing/sysfs-bus-iio and Documentation/iio/iio_devbuf.rst of the kernel say what
the files mean. All paths start from `root`, so that a recorded tree can stand for a machine's.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.spec import Array
from edge.errors import SourceError

_TYPE = re.compile(r"([bl]e):([su])(\d+)/(8|16|32|64)>>(\d+)")
_RATE = "sampling_frequency"
_CONVERSION = ("scale", "offset")
_MAY = "docs/device.md, permissions"
_RATE_TOLERANCE = 0.05  # drivers round; what it really is will be measured


@dataclass(frozen=True)
class Element:
    """One number of each scan.

    Attributes:
        name: as in `in_accel_x`, without the `in_`.
        index: its place among the others.
        is_big: endian.
        is_signed: two's complement.
        bits: that count.
        size: bytes it takes.
        shift: bits to the right of those that count.
    """

    name: str
    index: int
    is_big: bool
    is_signed: bool
    bits: int
    size: int
    shift: int


@dataclass(frozen=True)
class Layout:
    """Where in a scan each element lies.

    In the order of their index, each on a multiple of its own size; the whole is a multiple of the
    largest.

    Attributes:
        elements: of one scan.
        offsets: of each, in bytes.
        scan_bytes: from one scan to the next.
    """

    elements: tuple[Element, ...]
    offsets: tuple[int, ...]
    scan_bytes: int


def layout(elements: Sequence[Element]) -> Layout:
    """Of the elements that are enabled, in any order."""
    ordered = tuple(sorted(elements, key=lambda element: element.index))
    offsets, end = [], 0
    for element in ordered:
        start = -(-end // element.size) * element.size
        offsets.append(start)
        end = start + element.size
    largest = max(element.size for element in ordered)
    return Layout(ordered, tuple(offsets), -(-end // largest) * largest)


def decode(raw: bytes, plan: Layout) -> dict[str, Array]:
    """Whole scans to (scans,) int64 of each element, by name."""
    scans = np.frombuffer(raw, dtype=np.uint8).reshape(-1, plan.scan_bytes)
    found = {}
    for element, offset in zip(plan.elements, plan.offsets, strict=True):
        stored = np.ascontiguousarray(scans[:, offset : offset + element.size])
        order = ">" if element.is_big else "<"
        value = stored.view(f"{order}u{element.size}")[:, 0].astype(np.uint64)
        # what lies to the left of the bits falls off, and the sign comes in from there
        unused = np.uint64(64 - element.bits)
        left = (value >> np.uint64(element.shift)) << unused
        shifted = left.view(np.int64) >> np.int64(unused) if element.is_signed else left >> unused
        found[element.name] = shifted.astype(np.int64)
    return found


def devices(root: Path) -> dict[str, str]:
    """Names of all that are there, by `iio:deviceN`."""
    found = {}
    for folder in sorted((root / "sys/bus/iio/devices").glob("iio:device*")):
        found[folder.name] = _text(folder / "name") or "?"
    return found


def channels(folder: Path) -> list[str]:
    """Names of a device's elements that can be read through its buffer, but for the timestamp."""
    found = [path.name[3:-3] for path in (folder / "scan_elements").glob("in_*_en")]
    return sorted(name for name in found if name != "timestamp")


class Device:
    """One accelerometer's folder in sysfs."""

    def __init__(self, root: Path, device: str) -> None:
        """Find it by `iio:deviceN`, or by its name where that is the only one.

        Raises:
            SourceError: there is none, or there are several.
        """
        known = devices(root)
        named = [key for key, name in known.items() if device in {key, name}]
        if len(named) != 1:
            those = ", ".join(f"{key} ({name})" for key, name in known.items()) or "none"
            raise SourceError(f"{len(named)} devices are called {device!r}; there are: {those}")
        self.node = root / "dev" / named[0]
        self.folder = root / "sys/bus/iio/devices" / named[0]
        self._root = root
        self._name = known[named[0]]

    def axes(self) -> list[str]:
        """Every acceleration it can buffer.

        Raises:
            SourceError: there is none.
        """
        have = channels(self.folder)
        if found := [name for name in have if name.startswith("accel")]:
            return found
        raise SourceError(f"buffers no acceleration; it has: {', '.join(have) or 'nothing'}")

    def set_up(self, wanted: Sequence[str], *, rate_hz: float, trigger: str | None) -> Layout:
        """Choose what is sampled and how fast; the buffer is off after that.

        Args:
            wanted: names of elements, as `accel_x`.
            rate_hz: sample rate it is asked for.
            trigger: name of the trigger; None: the device's own.

        Raises:
            SourceError: it cannot do that, or must not be told.
        """
        self.switch(is_on=False)
        have = channels(self.folder)
        if missing := [name for name in wanted if name not in have]:
            raise SourceError(f"has no {missing[0]!r} to be buffered; there are: {', '.join(have)}")
        self._set_rate(wanted[0], rate_hz, self._set_trigger(trigger))
        scan = self.folder / "scan_elements"
        for name in have:
            _write(scan / f"in_{name}_en", int(name in wanted))
        if (scan / "in_timestamp_en").exists():
            _write(scan / "in_timestamp_en", 1)
            clock = self.folder / "current_timestamp_clock"
            if clock.exists():  # the usual one is set by time servers
                _write(clock, "monotonic")
        enabled = [path.name[3:-3] for path in scan.glob("in_*_en") if _text(path) == "1"]
        return layout([self._element(name) for name in enabled])

    def switch(self, *, is_on: bool, scans: int = 0, block: int = 0) -> None:
        """Turn the buffer on or off; turned on, it is empty.

        Args:
            is_on: after this.
            scans: that it holds.
            block: scans that are handed out at once.
        """
        buffer = self.folder / "buffer"
        if is_on:
            _write(buffer / "length", scans)
            if (buffer / "watermark").exists():
                _write(buffer / "watermark", block)
        _write(buffer / "enable", int(is_on))

    def units(self, wanted: Sequence[str]) -> tuple[Array, Array]:
        """Offset and scale of each channel, (channels,) float64.

        (raw + offset) * scale is in the unit of the channel: m/s^2 of accelerations.

        Raises:
            SourceError: a channel has no scale.
        """
        scales, offsets = ([self._number(name, what) for name in wanted] for what in _CONVERSION)
        if None in scales:
            raise SourceError(f"{wanted[scales.index(None)]!r} has no scale; fix: channels")
        return np.array([offset or 0.0 for offset in offsets]), np.array(scales, dtype=float)

    def _element(self, name: str) -> Element:
        scan = self.folder / "scan_elements"
        index, kind = _text(scan / f"in_{name}_index"), _text(scan / f"in_{name}_type")
        found = _TYPE.fullmatch(kind)
        if found is None or not index.isdigit():
            raise SourceError(f"in_{name}_type = {kind!r} is not one number per scan")
        order, sign, bits, storage, shift = found.groups()
        size = int(storage) // 8
        return Element(name, int(index), order == "be", sign == "s", int(bits), size, int(shift))

    def _number(self, name: str, what: str) -> float | None:
        text = next(filter(None, map(_text, self._files(name, what))), None)
        return float(text) if text else None

    def _files(self, name: str, what: str) -> list[Path]:
        """Of this channel, of all of its kind, of the device: the first there is counts."""
        kind = name.partition("_")[0]
        return [self.folder / file for file in (f"in_{name}_{what}", f"in_{kind}_{what}", what)]

    def _set_rate(self, name: str, rate_hz: float, trigger: Path | None) -> None:
        paths = self._files(name, _RATE)
        if trigger is not None:
            paths.append(trigger / _RATE)
        path = next((path for path in paths if path.exists()), None)
        if path is None:  # it has one rate only, and what that is will be measured
            return
        known = next(filter(None, map(_text, self._files(name, f"{_RATE}_available"))), None)
        fix = f"; fix: rate_hz, one of {known}" if known else "; fix: rate_hz"
        _write(path, f"{rate_hz:g}", otherwise=fix)
        now_hz = float(_text(path) or "nan")
        if not abs(now_hz - rate_hz) <= _RATE_TOLERANCE * rate_hz:
            raise SourceError(f"samples at {now_hz:g} Hz, not {rate_hz:g}{fix}")

    def _set_trigger(self, trigger: str | None) -> Path | None:
        """Folder of the trigger that makes it sample; None: a device with a FIFO needs none."""
        current = self.folder / "trigger/current_trigger"
        if not current.exists():
            return None
        folders = (self._root / "sys/bus/iio/devices").glob("trigger*")
        known = {_text(folder / "name"): folder for folder in sorted(folders)}
        own = [name for name in known if name.startswith(self._name)]
        chosen = trigger or _text(current) or (own[0] if own else "")
        if chosen not in known:
            which = f"no trigger {chosen!r}" if chosen else "has no trigger of its own"
            those = ", ".join(known) or "none: its interrupt line is not wired, or not declared"
            raise SourceError(f"{which}; fix: trigger, one of: {those}")
        if _text(current) != chosen:
            _write(current, chosen)
        return known[chosen]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _write(path: Path, value: object, *, otherwise: str = "") -> None:
    try:
        path.write_text(str(value), encoding="ascii")
    except OSError as error:
        what = f"{path.parent.name}/{path.name} = {value}: {error.strerror}"
        if error.errno == errno.EBUSY:
            raise SourceError(
                f"{what}: it is in use; fix: stop the program that reads it"
            ) from None
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise SourceError(f"{what}; fix: let this user write there ({_MAY})") from None
        raise SourceError(f"{what}{otherwise}") from None
