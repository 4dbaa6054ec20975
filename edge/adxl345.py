"""The ADXL345 accelerometer over SPI, by its FIFO (Analog Devices, data sheet Rev. E or later).

Three axes, 13 bits, 256 counts per g in every range (full resolution), 32 samples deep.
"""

from __future__ import annotations

import numpy as np

from contract.spec import Array
from edge.errors import SourceError
from edge.sampled import G
from edge.spi import Bus

SPI_MODE = 3
RATES_HZ = {25 * 2.0**n: 8 + n for n in range(8)}  # 25 to 3200, to the code in BW_RATE
RANGES_G = {2: 0, 4: 1, 8: 2, 16: 3}
FIFO_SAMPLES = 32

_ID = 0xE5
_DEVID, _BW_RATE, _POWER_CTL, _INT_SOURCE = 0x00, 0x2C, 0x2D, 0x30
_DATA_FORMAT, _DATAX0, _FIFO_CTL, _FIFO_STATUS = 0x31, 0x32, 0x38, 0x39
_READ, _MULTI = 0x80, 0x40
_MEASURE, _FULL_RES, _STREAM, _OVERRUN, _ENTRIES = 0x08, 0x08, 0x80, 0x01, 0x3F


class Adxl345:
    """One chip."""

    fifo_samples = FIFO_SAMPLES

    def __init__(self, bus: Bus, *, rate_hz: float, range_g: int) -> None:
        """Nothing is sent yet. `rate_hz` is one of `RATES_HZ`, `range_g` one of `RANGES_G`."""
        self._bus = bus
        self._rate_code = RATES_HZ[rate_hz]
        self._range_code = RANGES_G[range_g]
        self.unit_per_count = G / 256  # m/s^2

    def start(self) -> None:
        """Set it up and let it measure.

        Raises:
            SourceError: it is another chip or none, or does not keep what it is told.
        """
        (answer,) = self._bus.exchange(_read(_DEVID))
        _refuse_another(answer[1])
        settings = {
            _POWER_CTL: 0x00,
            _FIFO_CTL: 0x00,  # bypass: what was in it is gone
            _BW_RATE: self._rate_code,
            _DATA_FORMAT: _FULL_RES | self._range_code,
        }
        for register, value in settings.items():
            self._write(register, value)
        self._write(_FIFO_CTL, _STREAM)
        self._write(_POWER_CTL, _MEASURE)

    def read(self) -> Array | None:
        """(samples, 3) int of what has come since; None where samples were lost.

        The overrun bit is cleared by reading samples, so it is read again just before them, under
        the same lock of the bus: else an overrun between the two looks would be missed. After one
        nobody knows where in the FIFO the hole is, so all of it is dropped.

        Raises:
            SourceError: the chip is gone.
        """
        identity, source, status = self._bus.exchange(
            _read(_DEVID), _read(_INT_SOURCE), _read(_FIFO_STATUS)
        )
        _refuse_another(identity[1])
        entries = status[1] & _ENTRIES
        # one by one, for only the end of a transfer moves the FIFO on
        samples = [bytes([_DATAX0 | _READ | _MULTI, *bytes(6)])] * entries
        again, *got, identity = self._bus.exchange(_read(_INT_SOURCE), *samples, _read(_DEVID))
        _refuse_another(identity[1])
        if (source[1] | again[1]) & _OVERRUN:
            return None
        counts = np.frombuffer(b"".join(entry[1:] for entry in got), dtype="<i2")
        return counts.reshape(-1, 3)

    def _write(self, register: int, value: int) -> None:
        _, answer = self._bus.exchange(bytes([register, value]), _read(register))
        if answer[1] != value:
            told = f"register {register:#04x} is {answer[1]:#04x} after {value:#04x} was written"
            raise SourceError(f"ADXL345: {told}; fix: shorter wires, or a lower spi_hz")


def _read(register: int) -> bytes:
    return bytes([register | _READ, 0])


def _refuse_another(identity: int) -> None:
    if identity != _ID:
        fix = "fix: its wires and power; chip, if it is another"
        raise SourceError(f"no ADXL345: id {identity:#04x}, not {_ID:#04x}; {fix}")
