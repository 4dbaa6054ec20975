"""The source `adxl` in its child, with a kernel and a chip that are not there."""

from __future__ import annotations

import time

import fake_spi

from edge.sources import adxl

Config, KEEP = adxl.Config, adxl.KEEP
CHIPS = {"adxl345": fake_spi.Adxl345, "adxl355": fake_spi.Adxl355}
ERROR = 0.03


def capture(config, out) -> None:
    chip = CHIPS[config.chip](time.monotonic_ns, error=ERROR)
    adxl.capture(config, out, ioctl=fake_spi.Kernel(chip).ioctl)
