"""Accelerometers ADXL345 and ADXL355 on an SPI bus, read in a child by their FIFO."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array
from edge import adxl345, adxl355
from edge.capture import Capture, Out
from edge.sampled import Blocks, G, SampledSource
from edge.spi import SpiDev

KEEP = 100  # blocks that wait while a window is judged
_CHIPS: dict[str, Any] = {
    "adxl345": (adxl345, adxl345.Adxl345),
    "adxl355": (adxl355, adxl355.Adxl355),
}
_MAX_PAUSE_S = 0.05
_READS = 3  # of the FIFO, in the time in which it fills


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="adxl"):
    """`type = "adxl"`: which chip where, how it samples, how it is cut."""

    chip: Literal["adxl345", "adxl355"]
    rate_hz: Annotated[float, Meta(gt=0.0)]
    window_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    range_g: int = 8
    device: str = "/dev/spidev0.0"
    spi_hz: Annotated[int, Meta(ge=100_000, le=10_000_000)] = 5_000_000
    stall_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 3.0

    def __post_init__(self) -> None:
        """Rates and ranges are those of the chip."""
        registers, _ = _CHIPS[self.chip]
        for key, known in (("rate_hz", registers.RATES_HZ), ("range_g", registers.RANGES_G)):
            if (value := getattr(self, key)) not in known:
                those = ", ".join(f"{one:g}" for one in sorted(known))
                raise ValueError(f"{key} = {value:g}, but the {self.chip} knows {those}")

    @property
    def full_scale(self) -> list[float]:
        """The most an axis can measure, m/s^2."""
        return [self.range_g * G]


class Chip(Protocol):
    """What the two have in common."""

    unit_per_count: float
    fifo_samples: int

    def start(self) -> None:
        """Let it measure. Raises SourceError when it is not there."""

    def read(self) -> Array | None:
        """(samples, 3) int of what has come since; None where samples were lost."""


def open_source(config: Config, *, name: str, base: Path) -> SampledSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here."""
    what = f"{config.chip} at {config.device}"
    reader = Capture(__name__, config, what=what, stall_s=config.stall_s)
    return SampledSource(config, reader, name=name, what=what)


def capture(config: Config, out: Out, *, ioctl: Callable[..., Any] = fcntl.ioctl) -> None:
    """Read the chip for ever; runs in the child.

    Raises:
        SourceError: it is not there, or no longer.
    """
    out.loaded()
    registers, make = _CHIPS[config.chip]
    with SpiDev(config.device, mode=registers.SPI_MODE, speed_hz=config.spi_hz, ioctl=ioctl) as bus:
        chip = make(bus, rate_hz=config.rate_hz, range_g=config.range_g)
        chip.start()
        hand_on(chip, Blocks(out, rate_hz=config.rate_hz), rate_hz=config.rate_hz)


def hand_on(
    chip: Chip,
    blocks: Blocks,
    *,
    rate_hz: float,
    now_ns: Callable[[], int] = time.monotonic_ns,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Read the FIFO often enough, for ever.

    Args:
        chip: measures already.
        blocks: take its samples, in m/s^2.
        rate_hz: it was told.
        now_ns: monotonic clock.
        wait: lets so many seconds pass.

    Raises:
        SourceError: the chip is gone.
    """
    pause_s = min(chip.fifo_samples / rate_hz / _READS, _MAX_PAUSE_S)
    scale = np.float32(chip.unit_per_count)
    while True:
        counts = chip.read()
        if counts is None:
            blocks.lose()
        else:
            blocks.add(counts.astype(np.float32) * scale, t_ns=now_ns())
        wait(pause_s)
