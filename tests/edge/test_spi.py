"""The kernel's SPI interface, byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path

import fake_spi
import pytest

from edge.errors import SourceError
from edge.spi import SpiDev


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "spidev0.0"
    file.touch()
    return str(file)


class Echo:
    """Answers what it was sent, with all bits the other way round."""

    spi_mode = 3

    def __init__(self):
        self.heard: list[tuple[bytes, int]] = []

    def answer(self, sent, pause_us):
        self.heard.append((sent, pause_us))
        return bytes(byte ^ 0xFF for byte in sent)


def test_everything_goes_out_and_comes_back_in_one_message(path):
    """Also more transfers than Python's ioctl takes as bytes; each with a pause after it."""
    echo = Echo()
    kernel = fake_spi.Kernel(echo)
    sent = [bytes([n, n + 1, n + 2]) for n in range(40)]
    with SpiDev(path, mode=3, speed_hz=2_000_000, ioctl=kernel.ioctl) as bus:
        assert bus.exchange(*sent) == [bytes(byte ^ 0xFF for byte in one) for one in sent]
    assert kernel.messages == 1
    assert echo.heard == [(one, 5) for one in sent]
    assert kernel.told == {0x6B01: 3, 0x6B03: 8, 0x6B04: 2_000_000}


def test_requests_are_those_of_the_kernel(path):
    """SPI_IOC_WR_MODE, _WR_BITS_PER_WORD, _WR_MAX_SPEED_HZ, _MESSAGE(1) and (2)."""
    requests = []
    with SpiDev(
        path, mode=0, speed_hz=1, ioctl=lambda _fd, request, _arg: requests.append(request)
    ) as bus:
        bus.exchange(b"a")
        bus.exchange(b"a", b"b")
    assert requests == [0x40016B01, 0x40016B03, 0x40046B04, 0x40206B00, 0x40406B00]
    assert struct.calcsize(fake_spi.TRANSFER) == 32


def test_a_second_reader_is_refused_and_the_first_goes_on(path):
    """Two would empty each other's FIFO."""
    kernel = fake_spi.Kernel(Echo())
    with SpiDev(path, mode=3, speed_hz=1, ioctl=kernel.ioctl) as bus:
        with pytest.raises(SourceError, match=r"spidev0.0 is in use; fix: stop the program"):
            SpiDev(path, mode=3, speed_hz=1, ioctl=kernel.ioctl)
        assert bus.exchange(b"\x00") == [b"\xff"]
    SpiDev(path, mode=3, speed_hz=1, ioctl=kernel.ioctl).__exit__()


def test_what_is_no_spi_device_is_told(path):
    """By the real ioctl, which does not know these requests for a file."""
    with pytest.raises(SourceError, match=r"spidev0.0: Inappropriate ioctl.*; fix: is it an SPI"):
        SpiDev(path, mode=3, speed_hz=1)
    # of this file alone: what other tests have left open is closed when it is collected
    held = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    assert Path(path) not in held


def test_a_missing_bus_is_told_with_the_switch(tmp_path):
    """Of the most common board."""
    with pytest.raises(SourceError, match=r"No such file.*; fix: switch the SPI bus on"):
        SpiDev(str(tmp_path / "spidev7.0"), mode=3, speed_hz=1)


def test_a_bus_that_fails_is_a_source_error(path):
    """A controller that times out."""

    def ioctl(_fd, request, _argument):
        if request & 0xFFFF == 0x6B00:
            raise TimeoutError(110, "Connection timed out")

    with (
        SpiDev(path, mode=0, speed_hz=1, ioctl=ioctl) as bus,
        pytest.raises(SourceError, match="the SPI bus fails: Connection timed out"),
    ):
        bus.exchange(b"a")
