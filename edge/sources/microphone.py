"""Sound or vibration by way of ALSA: microphones and USB accelerometers, read in a child.

The crystal of a sound card keeps its rate, so that is believed; the gate still counts.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array
from edge.capture import Capture, Out
from edge.errors import SourceError, one_line
from edge.sampled import BLOCK_S, G, SampledSource

_IN_USE = -9985  # PortAudio's paDeviceUnavailable
KEEP = 100  # blocks that wait while a window is judged


_Each = Annotated[float, Meta(gt=0.0, le=1e12)]


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="microphone"):
    """`type = "microphone"`: which input, how it samples, how it is cut, what its counts mean."""

    window_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    rate_hz: Annotated[int, Meta(ge=1000, le=1_000_000)]
    device: str | None = None
    channels: Annotated[int, Meta(ge=1, le=64)] = 1
    bits: Literal[16, 24, 32] = 16
    scale: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    counts_per_g: _Each | list[_Each] | None = None
    sensitivity_mv_per_g: _Each | list[_Each] | None = None
    full_scale_v: Annotated[float, Meta(gt=0.0, le=1e9)] | None = None
    stall_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 3.0

    def __post_init__(self) -> None:
        """One way to say what full scale is."""
        given = [key for key in ("counts_per_g", "sensitivity_mv_per_g") if getattr(self, key)]
        given += ["scale"] if self.scale != 1.0 else []
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say the same thing; fix: keep one of them")
        if (self.sensitivity_mv_per_g is None) != (self.full_scale_v is None):
            raise ValueError(
                "sensitivity_mv_per_g and full_scale_v need each other; fix: give both"
            )
        for key in ("counts_per_g", "sensitivity_mv_per_g"):
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != self.channels:
                raise ValueError(f"{key} has {len(value)} numbers for {self.channels} channels")

    @property
    def full_scale(self) -> list[float]:
        """What full scale of the converter is in the unit of the signal, per channel.

        m/s^2 by `counts_per_g`, of the integers of `bits`, or by the accelerometer's sensitivity
        and the volts at full scale of what it is plugged into.
        """
        if self.counts_per_g is not None:
            return [G * 2.0 ** (self.bits - 1) / each for each in self._each(self.counts_per_g)]
        if self.sensitivity_mv_per_g is not None and self.full_scale_v is not None:
            full_mv = 1000.0 * self.full_scale_v
            return [G * full_mv / each for each in self._each(self.sensitivity_mv_per_g)]
        return self._each(self.scale)

    def _each(self, value: float | list[float]) -> list[float]:
        return value if isinstance(value, list) else [value] * self.channels


def open_source(config: Config, *, name: str, base: Path) -> SampledSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here.

    Raises:
        SourceError: what reads sound is not installed.
    """
    if importlib.util.find_spec("sounddevice") is None:
        raise SourceError("sounddevice is not installed; fix: pip install 'vedette[edge-audio]'")
    what = f"sound input {config.device or 'default'}"
    reader = Capture(__name__, config, what=what, stall_s=config.stall_s)
    return SampledSource(config, reader, name=name, what=what)


def capture(config: Config, out: Out) -> None:
    """Read the input for ever; runs in the child."""
    try:
        import sounddevice
    except OSError as error:  # the wheel does not hold the library itself
        fix = "fix: apt-get install libportaudio2"
        raise SourceError(f"PortAudio: {one_line(error)}; {fix}") from None
    out.loaded()
    block = max(round(BLOCK_S * config.rate_hz), 1)
    try:
        with sounddevice.RawInputStream(
            device=config.device,
            samplerate=config.rate_hz,
            channels=config.channels,
            dtype=f"int{config.bits}",
            blocksize=block,
            latency="high",
        ) as stream:
            while True:
                raw, has_overflowed = stream.read(block)
                t_ns = time.monotonic_ns()
                samples = as_samples(bytes(raw), config)
                out.put(samples, t_ns=t_ns, rate_hz=config.rate_hz, is_after_gap=has_overflowed)
    except (sounddevice.PortAudioError, ValueError) as error:
        if _IN_USE in error.args:
            fix = "stop the program that reads it: the service, or another pipeline of it"
            raise SourceError(f"is in use; fix: {fix}") from None
        known = [d["name"] for d in sounddevice.query_devices() if d["max_input_channels"]]
        raise SourceError(f"{one_line(error)}; inputs: {', '.join(known) or 'none'}") from None


def as_samples(raw: bytes, config: Config) -> Array:
    """(samples, channels) float32, in the unit of the signal, of little-endian integers."""
    width = config.bits // 8
    padded = np.zeros((len(raw) // width, 4), dtype=np.uint8)
    padded[:, 4 - width :] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
    counts = padded.view("<i4").reshape(-1, config.channels)
    return (counts * (np.array(config.full_scale) / 2.0**31)).astype(np.float32)
