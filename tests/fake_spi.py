"""A kernel with an SPI bus, and accelerometers on it that behave as their data sheets say."""

from __future__ import annotations

import ctypes
import struct
from collections import deque
from collections.abc import Callable

import numpy as np

TRANSFER = "=QQIIHBBBBBB"


class Kernel:
    """`ioctl` of `/dev/spidevN.M`; reads and writes the caller's memory as the real one does."""

    def __init__(self, chip) -> None:
        self.chip = chip
        self.told: dict[int, int] = {}
        self.messages = 0

    def ioctl(self, fd: int, request: int, argument) -> int:
        kind, size = request & 0xFFFF, request >> 16 & 0x3FFF
        assert size == len(argument)
        assert isinstance(argument, bytearray) or size <= 1024  # Python's own limit
        if kind != 0x6B00:
            self.told[kind] = int.from_bytes(argument, "little")
            return 0
        self.messages += 1
        transfers = list(struct.iter_unpack(TRANSFER, argument))
        for number, (sent, back, size, _, pause_us, bits, is_apart, *rest) in enumerate(transfers):
            assert (bits, rest) == (8, [0, 0, 0, 0])
            assert is_apart == (number < len(transfers) - 1)
            answer = self.answer(ctypes.string_at(sent, size), pause_us)
            assert len(answer) == size
            ctypes.memmove(back, answer, size)
        return 0

    def answer(self, sent: bytes, pause_us: int) -> bytes:
        if self.told[0x6B01] != self.chip.spi_mode:
            return bytes(len(sent))
        return self.chip.answer(sent, pause_us)


class Chip:
    """Samples in time, whether read or not; 32 of them are kept.

    x is a sine of `tone_hz` in true time, y counts the samples, z is always the same.
    """

    spi_mode = 0
    depth = 32

    def __init__(
        self,
        now_ns: Callable[[], int],
        *,
        error: float = 0.0,
        tone_hz: float = 50.0,
        amplitude: int = 1000,
        z: int = 256,
    ) -> None:
        self.now_ns = now_ns
        self.error = error
        self.tone_hz, self.amplitude, self.z = tone_hz, amplitude, z
        self.registers = self.after_reset()
        self.fifo: deque[tuple[int, int, int]] = deque()
        self.made = 0
        self.began_ns: int | None = None
        self.has_overrun = False
        self.wires: int | None = None  # what is on the line when the chip is gone

    def after_reset(self) -> dict[int, int]:
        raise NotImplementedError

    def nominal_hz(self) -> float:
        raise NotImplementedError

    @property
    def rate_hz(self) -> float:
        return self.nominal_hz() * (1 + self.error)

    def measure(self, *, is_on: bool) -> None:
        self.began_ns, self.made = (self.now_ns() if is_on else None), 0
        self.fifo.clear()

    def sample(self) -> None:
        """All that have come since the last look."""
        if self.began_ns is None:
            return
        due = int((self.now_ns() - self.began_ns) / 1e9 * self.rate_hz)
        for n in range(self.made, due):
            x = self.amplitude * np.sin(2 * np.pi * self.tone_hz * n / self.rate_hz)
            self.fifo.append((round(x), n % 4000, self.z))
            if len(self.fifo) > self.depth:
                self.fifo.popleft()
                self.has_overrun = True
        self.made = max(due, self.made)

    def answer(self, sent: bytes, pause_us: int) -> bytes:
        if self.wires is not None:
            return bytes([self.wires]) * len(sent)
        self.sample()
        return self.exchange(sent, pause_us)

    def exchange(self, sent: bytes, pause_us: int) -> bytes:
        raise NotImplementedError


class Adxl345(Chip):
    """Bit 7 of the first byte reads, bit 6 goes on to the next register."""

    spi_mode = 3
    latest = (0, 0, 0)
    is_settled = True

    def after_reset(self) -> dict[int, int]:
        return {0x00: 0xE5, 0x2C: 0x0A, 0x2D: 0x00, 0x2E: 0x00, 0x31: 0x00, 0x38: 0x00}

    def nominal_hz(self) -> float:
        return 3200 / 2 ** (0x0F - (self.registers[0x2C] & 0x0F))

    def exchange(self, sent: bytes, pause_us: int) -> bytes:
        first, rest = sent[0], sent[1:]
        at, is_read, goes_on = first & 0x3F, bool(first & 0x80), bool(first & 0x40)
        places = [at + n if goes_on else at for n in range(len(rest))]
        if not is_read:
            for place, value in zip(places, rest, strict=True):
                self.write(place, value)
            return bytes(len(sent))
        reads_data = any(0x32 <= place <= 0x37 for place in places)
        if reads_data:
            # 5 us must pass from the end of one reading to the start of the next
            if self.is_settled and self.fifo:
                self.latest = self.fifo.popleft()
            self.has_overrun = False
        if reads_data or 0x39 in places:
            self.is_settled = not reads_data or pause_us >= 5
        return bytes([0, *(self.read(place) for place in places)])

    def read(self, place: int) -> int:
        if 0x32 <= place <= 0x37:
            return struct.pack("<3h", *self.latest)[place - 0x32]
        if place == 0x30:
            return self.has_overrun | bool(self.fifo) << 7
        if place == 0x39:
            return len(self.fifo)
        return self.registers.get(place, 0)

    def write(self, place: int, value: int) -> None:
        self.registers[place] = value
        if place == 0x2D:
            self.measure(is_on=bool(value & 0x08))
        if place == 0x38 and value >> 6 == 0:  # bypass
            self.fifo.clear()
            self.has_overrun = False


class Adxl355(Chip):
    """The first byte is the register times two, plus one to read; FIFO_DATA does not move on."""

    skip = 0  # entries that the next reading passes over: out of step

    def __init__(self, now_ns, **options) -> None:
        super().__init__(now_ns, **{"z": 64_000, "amplitude": 100_000, **options})
        self.entries: deque[bytes] = deque()

    def after_reset(self) -> dict[int, int]:
        return {0: 0xAD, 1: 0x1D, 2: 0xED, 3: 0x01, 0x28: 0x00, 0x2C: 0x81, 0x2D: 0x01}

    def nominal_hz(self) -> float:
        return 4000 / 2 ** (self.registers[0x28] & 0x0F)

    def exchange(self, sent: bytes, _pause_us: int) -> bytes:
        at, is_read = sent[0] >> 1, sent[0] & 1
        if not is_read:
            for n, value in enumerate(sent[1:]):
                self.registers[at + n] = value
                if at + n == 0x2D:
                    self.measure(is_on=not value & 1)
                    self.entries.clear()
            return bytes(len(sent))
        if at == 0x11:
            return bytes([0, *self.data(len(sent) - 1)])
        return bytes([0, *(self.read(at + n) for n in range(len(sent) - 1))])

    def fill(self) -> None:
        """Entries of the samples that are there; the oldest are the first to go."""
        while self.fifo:
            for axis, value in enumerate(self.fifo.popleft()):
                raw = (value & 0xFFFFF) << 4 | (axis == 0)
                self.entries.append(raw.to_bytes(3, "big"))
        while len(self.entries) > 3 * self.depth:
            self.entries.popleft()
            self.has_overrun = True

    def data(self, count: int) -> bytes:
        self.fill()
        for _ in range(min(self.skip, len(self.entries))):
            self.entries.popleft()
        self.skip = 0
        empty = bytes([0, 0, 0b10])
        return b"".join(
            self.entries.popleft() if self.entries else empty for _ in range(count // 3)
        )

    def read(self, place: int) -> int:
        self.fill()
        if place == 0x04:
            status = self.has_overrun << 2 | bool(self.entries)
            self.has_overrun = False
            return status
        if place == 0x05:
            return len(self.entries)
        return self.registers.get(place, 0)
