"""Sound or vibration by way of ALSA: microphones and USB accelerometers, read in a child.

Full scale of the converter is 1.0 times `scale`: see docs/device.md for accelerometers.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from contract.spec import Array, Window
from edge.capture import Capture, Item, Out
from edge.errors import SourceError, one_line
from edge.windowing import Windower

KEEP = 100  # blocks that wait while a window is judged
_BLOCK_S = 0.1


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="microphone"):
    """`type = "microphone"`: which input, how it samples, how it is cut."""

    window_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    rate_hz: Annotated[int, Meta(ge=1000, le=1_000_000)]
    device: str | None = None
    channels: Annotated[int, Meta(ge=1, le=64)] = 1
    bits: Literal[16, 24, 32] = 16
    scale: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    stall_s: Annotated[float, Meta(ge=0.5, le=3600.0)] = 3.0


def open_source(config: Config, *, name: str, base: Path) -> MicrophoneSource:  # noqa: ARG001
    """Nothing is opened before the first window: that may hang, and must not here.

    Raises:
        SourceError: what reads sound is not installed.
    """
    if importlib.util.find_spec("sounddevice") is None:
        raise SourceError("sounddevice is not installed; fix: pip install 'vedette[edge-audio]'")
    return MicrophoneSource(config, name)


class MicrophoneSource:
    """Windows of one input; after lost samples they begin anew."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        what = f"sound input {config.device or 'default'}"
        self._capture = Capture(__name__, config, what=what, stall_s=config.stall_s)
        self._windower = Windower(
            name, rate_hz=config.rate_hz, window_s=config.window_s, hop_s=config.hop_s
        )

    def windows(self) -> Iterator[Window]:
        """Timed by counting samples; only after a gap the clock is asked again.

        A gap is a jump in the windows' numbers.
        """
        t_ns, expected, lost = 0, -1, 0
        for item in self._capture.items():
            is_gap = item.seq != expected
            if is_gap:
                lost += self._lost_windows(item, t_ns) if t_ns else 0
                t_ns = max(t_ns, item.t_ns)
            else:
                t_ns += round(len(item.data) / self._config.rate_hz * 1e9)
            expected = item.seq + 1
            for window in self._windower.push(item.data, t_ns=t_ns, after_gap=is_gap):
                yield replace(window, seq=window.seq + lost)

    def close(self) -> None:
        """End `windows` at once."""
        self._capture.close()

    def _lost_windows(self, item: Item, t_ns: int) -> int:
        """At least the one that was begun."""
        return max(round((item.t_ns - t_ns) / 1e9 / self._config.hop_s), 1)


def capture(config: Config, out: Out) -> None:
    """Read the input for ever; runs in the child."""
    try:
        import sounddevice
    except OSError as error:  # the wheel does not hold the library itself
        fix = "fix: apt-get install libportaudio2"
        raise SourceError(f"PortAudio: {one_line(error)}; {fix}") from None
    out.loaded()
    block = max(round(_BLOCK_S * config.rate_hz), 1)
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
        known = [d["name"] for d in sounddevice.query_devices() if d["max_input_channels"]]
        raise SourceError(f"{one_line(error)}; inputs: {', '.join(known) or 'none'}") from None


def as_samples(raw: bytes, config: Config) -> Array:
    """(samples, channels) float32, `scale` at full scale, of little-endian integers."""
    width = config.bits // 8
    padded = np.zeros((len(raw) // width, 4), dtype=np.uint8)
    padded[:, 4 - width :] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, width)
    counts = padded.view("<i4").reshape(-1, config.channels)
    return (counts * (config.scale / 2.0**31)).astype(np.float32)
