"""The ADXL355 accelerometer over SPI, by its FIFO (Analog Devices, data sheet ADXL354/ADXL355).

Three axes, 20 bits, low noise, 96 entries of one axis each, so 32 samples deep. Each entry says
whether it is of the x axis, and whether the FIFO was empty when it was read.
"""

from __future__ import annotations

import numpy as np

from contract.spec import Array
from edge.errors import SourceError
from edge.sampled import G
from edge.spi import Bus

SPI_MODE = 0
RATES_HZ = {4000 / 2.0**n: n for n in range(8)}  # 4000 to 31.25, to the code in FILTER
RANGES_G = {2: 1, 4: 2, 8: 3}
FIFO_SAMPLES = 32

_IDS = bytes([0xAD, 0x1D, 0xED])
_DEVID_AD, _FIFO_DATA, _FILTER, _RANGE, _POWER_CTL = 0x00, 0x11, 0x28, 0x2C, 0x2D
_STATUS = 0x04
_STANDBY, _MEASURE = 0x01, 0x00
_KEEP_OF_RANGE = 0x80  # speed of I2C, as after a reset
_OVERRUN = 0x04
_IS_X, _IS_EMPTY = 0x01, 0x02


class Adxl355:
    """One chip."""

    fifo_samples = FIFO_SAMPLES

    def __init__(self, bus: Bus, *, rate_hz: float, range_g: int) -> None:
        """Nothing is sent yet. `rate_hz` is one of `RATES_HZ`, `range_g` one of `RANGES_G`."""
        self._bus = bus
        self._rate_code = RATES_HZ[rate_hz]
        self._range_code = RANGES_G[range_g]
        self.unit_per_count = G * range_g / 512_000  # m/s^2
        self._rest = np.zeros((0, 3), dtype=np.uint8)  # entries of a sample that is not complete

    def start(self) -> None:
        """Set it up and let it measure.

        Raises:
            SourceError: it is another chip or none, or does not keep what it is told.
        """
        (answer,) = self._bus.exchange(_read(_DEVID_AD, 3))
        _refuse_another(answer[1:])
        self._write(_POWER_CTL, _STANDBY)
        self._write(_FILTER, self._rate_code)
        self._write(_RANGE, _KEEP_OF_RANGE | self._range_code)
        self._write(_POWER_CTL, _MEASURE)

    def read(self) -> Array | None:
        """(samples, 3) int of what has come since; None where samples were lost or out of step.

        After an overrun nobody knows where in the FIFO the hole is, so all of it is dropped.

        Raises:
            SourceError: the chip is gone.
        """
        # from the ids to the number of entries the registers are neighbours
        (head,) = self._bus.exchange(_read(_DEVID_AD, 6))
        _refuse_another(head[1:4])
        wanted = head[6] // 3 * 3
        data, after = self._bus.exchange(_read(_FIFO_DATA, 3 * wanted), _read(_STATUS, 1))
        if (head[5] | after[1]) & _OVERRUN:
            self._rest = self._rest[:0]
            return None
        return self._samples(np.frombuffer(data[1:], dtype=np.uint8).reshape(-1, 3))

    def _samples(self, entries: Array) -> Array | None:
        """Whole samples of (n, 3) bytes; what is left waits for the next call."""
        is_empty = (entries[:, 2] & _IS_EMPTY) > 0
        if is_empty.any():
            entries = entries[: int(np.argmax(is_empty))]
        entries = np.concatenate([self._rest, entries])
        count = len(entries) // 3
        is_x = (entries[:, 2] & _IS_X) > 0
        if (is_x != (np.arange(len(entries)) % 3 == 0)).any():
            last = np.flatnonzero(is_x)[-1:]
            self._rest = entries[int(last[0]) :] if len(last) else entries[:0]
            return None
        self._rest = entries[3 * count :]
        high, middle, low = entries[: 3 * count].astype(np.int32).T
        counts = high << 12 | middle << 4 | low >> 4
        signed: Array = (counts ^ 0x80000) - 0x80000
        return signed.reshape(-1, 3)

    def _write(self, register: int, value: int) -> None:
        _, answer = self._bus.exchange(bytes([register << 1, value]), _read(register, 1))
        if answer[1] != value:
            told = f"register {register:#04x} is {answer[1]:#04x} after {value:#04x} was written"
            raise SourceError(f"ADXL355: {told}; fix: shorter wires, or a lower spi_hz")


def _read(register: int, count: int) -> bytes:
    return bytes([register << 1 | 1, *bytes(count)])


def _refuse_another(identity: bytes) -> None:
    if identity != _IDS:
        fix = "fix: its wires and power; chip, if it is another"
        raise SourceError(f"no ADXL355: id {identity.hex(' ')}, not {_IDS.hex(' ')}; {fix}")
