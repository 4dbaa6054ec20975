"""The kernel's SPI devices, `/dev/spidevN.M`, by their ioctl interface; no library is needed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import Any, Protocol, Self

from edge.errors import SourceError

# linux/spi/spidev.h
_WR_MODE = 0x40016B01
_WR_BITS_PER_WORD = 0x40016B03
_WR_MAX_SPEED_HZ = 0x40046B04
_MESSAGE_0 = 0x40006B00  # SPI_IOC_MESSAGE(n) has the size of n transfers in bits 16 to 29
_TRANSFER = struct.Struct("=QQIIHBBBBBx")  # struct spi_ioc_transfer, 32 bytes
_PAUSE_US = 5  # before the chip select goes up between two transfers
_FIXES = {
    errno.ENOENT: "switch the SPI bus on (Raspberry Pi: dtparam=spi=on in config.txt), or device",
    errno.EACCES: "this user in the group of that file (docs/device.md, permissions)",
    errno.EPERM: "DeviceAllow=char-spi in the unit (docs/device.md, permissions)",
}


class Bus(Protocol):
    """One chip on a bus."""

    def exchange(self, *sent: bytes) -> list[bytes]:
        """What came back while each was sent, of the same lengths; one chip select for each."""


class SpiDev:
    """A chip behind `/dev/spidevN.M`. Only one process at a time may have it."""

    def __init__(
        self,
        path: str,
        *,
        mode: int,
        speed_hz: int,
        ioctl: Callable[[int, int, Any], Any] = fcntl.ioctl,
    ) -> None:
        """Open it.

        Args:
            path: of the device.
            mode: 0 to 3, clock polarity and phase.
            speed_hz: highest clock of the bus.
            ioctl: as in `fcntl`.

        Raises:
            SourceError: it is not there, not ours to open, or in use.
        """
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            fix = _FIXES.get(error.errno or 0, "device")
            raise SourceError(f"{path}: {error.strerror}; fix: {fix}") from None
        self._ioctl = ioctl
        try:
            # the kernel lets several open it, who would then empty each other's FIFO
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ioctl(self._fd, _WR_MODE, struct.pack("=B", mode))
            ioctl(self._fd, _WR_BITS_PER_WORD, struct.pack("=B", 8))
            ioctl(self._fd, _WR_MAX_SPEED_HZ, struct.pack("=I", speed_hz))
        except BlockingIOError:
            os.close(self._fd)
            fix = "stop the program that reads it: the service, or another pipeline of it"
            raise SourceError(f"{path} is in use; fix: {fix}") from None
        except OSError as error:
            os.close(self._fd)
            fix = "is it an SPI device? see ls /dev/spidev*"
            raise SourceError(f"{path}: {error.strerror}; fix: {fix}") from None

    def __enter__(self) -> Self:
        """It is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        os.close(self._fd)

    def exchange(self, *sent: bytes) -> list[bytes]:
        """One ioctl for all of them: nobody can come between.

        Raises:
            SourceError: the bus failed.
        """
        buffers = [
            (ctypes.create_string_buffer(out, len(out)), ctypes.create_string_buffer(len(out)))
            for out in sent
        ]
        # cs_change after the last would leave the chip selected
        packed = bytearray().join(  # not bytes: Python takes no more than 1024 of them
            _TRANSFER.pack(
                ctypes.addressof(out),
                ctypes.addressof(back),
                len(out),
                0,
                _PAUSE_US,
                8,
                number < len(buffers),
                0,
                0,
                0,
            )
            for number, (out, back) in enumerate(buffers, start=1)
        )
        try:
            self._ioctl(self._fd, _MESSAGE_0 | len(packed) << 16, packed)
        except OSError as error:
            raise SourceError(f"the SPI bus fails: {error.strerror}") from None
        return [back.raw for _, back in buffers]
