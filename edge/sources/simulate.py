"""A simulated machine that runs to failure: a device without a sensor, for demos and tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from contract.ops.simulate import RunToFailure
from contract.spec import Window
from edge.sources import Pace


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="simulate"):
    """`type = "simulate"`: which machine, how long it lives, how fast its time passes."""

    seed: int = 1
    windows: Annotated[int, Meta(ge=1)] = 240
    onset: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.6
    rate_hz: Annotated[float, Meta(gt=0.0, le=1e9)] = 25_600.0
    window_s: Annotated[float, Meta(gt=0.0, le=1e9)] = 0.1
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)] = 10.0
    channels: Annotated[int, Meta(ge=1)] = 2
    speed: Annotated[float, Meta(ge=0.0)] = 1.0


def open_source(config: Config, *, name: str, base: Path) -> SimulateSource:  # noqa: ARG001
    """A simulated machine at the beginning of its life."""
    return SimulateSource(config, name)


class SimulateSource:
    """One life, window by window."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._pace = Pace(config.speed)
        self._machine = RunToFailure(
            seed=config.seed,
            windows=config.windows,
            onset=config.onset,
            rate_hz=config.rate_hz,
            samples=round(config.window_s * config.rate_hz),
            interval_s=config.hop_s,
            channels=config.channels,
        )

    def windows(self) -> Iterator[Window]:
        """Every window of the life."""
        for seq in range(self._config.windows):
            data = self._machine.window(seq)
            t_ns = round(seq * self._config.hop_s * 1e9)
            if not self._pace.wait_for(t_ns):
                return
            yield Window(self._name, seq, t_ns, time.time_ns(), data, self._config.rate_hz)

    def close(self) -> None:
        """End the life."""
        self._pace.close()
