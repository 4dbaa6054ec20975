"""A recording played as the sensor would have: npz, wav or csv, at real time or faster.

- npz: `acc` or `data`, (snapshots, samples, channels) or (samples, channels); optional `scale`
  (unit per count), `fs` (Hz), `interval_s` from snapshot to snapshot, `index` (1-based number of
  each snapshot, where some are missing).
- wav: 16, 24 or 32 bit PCM; full scale is 1.0 times `scale`.
- csv: a column per channel, comma, semicolon, tab or space; a first line with names is passed over.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from contract import npz
from contract.spec import Array, Floats, Window
from edge.errors import SourceError
from edge.sources import Pace
from edge.windowing import Windower

_BLOCK_S = 1.0  # continuous recordings are handed on in blocks of this length


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="replay"):
    """`type = "replay"`: which file, how it is cut, how fast its time passes (0: at once)."""

    path: str
    window_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    hop_s: Annotated[float, Meta(gt=0.0, le=1e9)]
    rate_hz: Annotated[float, Meta(gt=0.0, le=1e9)] | None = None
    scale: Annotated[float, Meta(gt=0.0, le=1e9)] = 1.0
    speed: Annotated[float, Meta(ge=0.0)] = 1.0


@dataclass(frozen=True, eq=False)
class Recording:
    """(snapshots, samples, channels) counts; one snapshot where the recording is continuous."""

    snapshots: Array
    scale: float
    rate_hz: float | None
    times_s: Array  # of each snapshot's first sample


def open_source(config: Config, *, name: str, base: Path) -> ReplaySource:
    """Read the recording.

    Raises:
        SourceError: no such file, of an unknown format, or without a sample rate.
    """
    path = base / config.path
    readers = {".npz": _read_npz, ".wav": _read_wav, ".csv": _read_csv}
    if path.suffix not in readers:
        raise SourceError(f"{path}: cannot replay {path.suffix!r}; known: {', '.join(readers)}")
    try:
        recording = readers[path.suffix](path, config.hop_s)
        _refuse_what_is_no_recording(recording)
    except (OSError, ValueError, TypeError, KeyError, EOFError, wave.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SourceError(f"{path}: cannot be read: {reason}") from None
    rate_hz = config.rate_hz or recording.rate_hz
    if rate_hz is None:
        raise SourceError(f"{path}: no sample rate in the file; fix: set rate_hz in the source")
    if recording.rate_hz not in {None, rate_hz}:
        raise SourceError(
            f"{path}: recorded at {recording.rate_hz:g} Hz, config says rate_hz = {rate_hz:g}"
        )
    return ReplaySource(config, name, recording, rate_hz)


class ReplaySource:
    """One recording, from its first window to its last."""

    def __init__(self, config: Config, name: str, recording: Recording, rate_hz: float) -> None:
        self._recording = recording
        self._rate_hz = rate_hz
        self._scale = recording.scale * config.scale
        self._pace = Pace(config.speed)
        self._windower = Windower(
            name, rate_hz=rate_hz, window_s=config.window_s, hop_s=config.hop_s
        )

    def windows(self) -> Iterator[Window]:
        """Every window of the recording, each when it is due."""
        step = max(round(_BLOCK_S * self._rate_hz), 1)
        for start_s, snapshot in zip(
            self._recording.times_s, self._recording.snapshots, strict=True
        ):
            for first in range(0, len(snapshot), step):
                counts = snapshot[first : first + step]
                block: Floats = counts.astype(np.float32) * np.float32(self._scale)
                end_s = start_s + (first + len(block)) / self._rate_hz
                t_ns = round(end_s * 1e9)
                if not self._pace.wait_for(t_ns):
                    return
                yield from self._windower.push(block, t_ns=t_ns, after_gap=first == 0)

    def close(self) -> None:
        """End the recording."""
        self._pace.close()


def _refuse_what_is_no_recording(recording: Recording) -> None:
    samples = recording.snapshots
    if samples.ndim != 3 or samples.dtype.kind not in "iuf" or samples.size == 0:
        raise ValueError("holds no samples")
    if len(recording.times_s) != len(samples):
        raise ValueError(f"{len(recording.times_s)} in the index, {len(samples)} snapshots")


def _read_npz(path: Path, hop_s: float) -> Recording:
    stored = npz.read(path)
    key = "acc" if "acc" in stored else "data"
    samples = stored[key]
    rate_hz = float(stored["fs"]) if "fs" in stored else None
    scale = float(stored.get("scale", 1.0))
    if samples.ndim == 2:
        return Recording(samples[None], scale, rate_hz, np.zeros(1))
    if samples.ndim != 3:
        raise ValueError(f"{key!r} has {samples.ndim} axes; need 2 or 3")
    index = stored["index"] - 1 if "index" in stored else np.arange(len(samples))
    return Recording(samples, scale, rate_hz, index * float(stored.get("interval_s", hop_s)))


def _read_wav(path: Path, _hop_s: float) -> Recording:
    with wave.open(str(path)) as file:
        width, channels = file.getsampwidth(), file.getnchannels()
        raw = np.frombuffer(file.readframes(file.getnframes()), dtype=np.uint8)
        if width not in {2, 3, 4}:
            raise ValueError(f"{8 * width} bit samples; need 16, 24 or 32 bit PCM")
        padded = np.zeros((len(raw) // width, 4), dtype=np.uint8)
        padded[:, 4 - width :] = raw[: len(padded) * width].reshape(-1, width)
        samples = padded.view("<i4").reshape(-1, channels)
        return Recording(samples[None], 2.0**-31, float(file.getframerate()), np.zeros(1))


def _read_csv(path: Path, _hop_s: float) -> Recording:
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        if not first.strip():
            raise ValueError("holds no samples")
    delimiter = next((d for d in (",", ";", "\t") if d in first), None)
    try:
        [float(cell) for cell in first.split(delimiter)]
        header = 0
    except ValueError:
        header = 1
    samples = np.loadtxt(path, delimiter=delimiter, skiprows=header, ndmin=2, dtype=np.float32)
    return Recording(samples[None], 1.0, None, np.zeros(1))
