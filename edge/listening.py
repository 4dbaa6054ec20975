"""What a sensor says, in a few numbers: level, noise floor, clipping, and its true sample rate."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from contract.spec import Array, SignalSpec, Window
from edge.config import PipelineConfig
from edge.gates.signal import SignalGate
from edge.sampled import SampleClock

_AT_FULL_SCALE = 0.995
_BACKLOG_S = 1.0
_QUIET = 0.1  # share of the spectrum whose level is called the noise floor
_PARTS = 64  # of the spectrum; in each enough is averaged to rank them


@dataclass(frozen=True)
class Level:
    """One channel, in the unit of the source.

    Attributes:
        rms: without the mean.
        peak: farthest from the mean.
        noise: floor, as a density per root hertz.
        clipped: share of samples at full scale; None where that is not known.
    """

    rms: float
    peak: float
    noise: float
    clipped: float | None


@dataclass(frozen=True)
class Heard:
    """What one pipeline's source has given.

    Attributes:
        pipeline: its name.
        seconds: of signal.
        rate_hz: as measured; 0 until that is known.
        asked_hz: as configured; None: the recording's own.
        gaps: how often samples were lost.
        refused: share of the signal that the gate would refuse, by reason.
        channels: levels of each.
    """

    pipeline: str
    seconds: float
    rate_hz: float
    asked_hz: float | None
    gaps: int
    refused: dict[str, float]
    channels: list[Level]


class Ear:
    """Adds up what is heard."""

    def __init__(self, pipeline: PipelineConfig, *, counts_itself: bool) -> None:
        """Nothing has been heard yet.

        Args:
            pipeline: what is listened to.
            counts_itself: the windows carry no measured rate; they are counted as they arrive.
        """
        self._name = pipeline.name
        self._asked_hz: float | None = getattr(pipeline.source, "rate_hz", None)
        self._clock = SampleClock() if counts_itself else None
        full_scale = pipeline.gate.full_scale or getattr(pipeline.source, "full_scale", None)
        self._full_scale = None if full_scale is None else np.array(full_scale)
        self._gate = SignalGate(SignalSpec(0.0, 1, 0.0, 0, 0), pipeline.gate)
        self._refused: Counter[str] = Counter()
        self._next_seq = self._gaps = self._windows = self._samples = 0
        self._rate_hz = self.seconds = 0.0
        self._came_ns, self._is_live = 0, False
        self._offset: Array = np.zeros(0)  # taken off, or gravity would drown the rest

    def take(self, window: Window, now_ns: int) -> None:
        """Add a window that came just now."""
        is_gap, self._next_seq = window.seq != self._next_seq, window.seq + 1
        self._gaps += is_gap
        self._rate_hz = window.rate_hz
        if self._clock:
            # what has waited inside the sound system comes at once, and tells nothing
            waited_s, self._came_ns = (now_ns - self._came_ns) / 1e9, now_ns
            had_to_wait = waited_s > 0.5 * len(window.data) / window.rate_hz
            self._is_live = self._is_live or (self.seconds >= _BACKLOG_S and had_to_wait)
            if is_gap or not self._is_live:
                self._clock.begin_anew()
            self._rate_hz = self._clock.look(len(window.data), now_ns)
        if reason := self._gate.refuse(window):
            self._refused[reason] += 1
        self._add(window.data.astype(np.float64), window.rate_hz)

    def _add(self, x: Array, rate_hz: float) -> None:
        if not self._samples:
            self._offset = x.mean(axis=0)
            self._sum = self._squares = self._full = np.zeros(x.shape[1])
            self._high, self._low = x.max(axis=0), x.min(axis=0)
            self._power = np.zeros((len(x) // 2 + 1, x.shape[1]))
        if self._full_scale is not None:
            self._full = self._full + (np.abs(x) >= _AT_FULL_SCALE * self._full_scale).sum(axis=0)
        self._high = np.maximum(self._high, x.max(axis=0))
        self._low = np.minimum(self._low, x.min(axis=0))
        moved = x - self._offset
        self._sum = self._sum + moved.sum(axis=0)
        self._squares = self._squares + (moved**2).sum(axis=0)
        taper = np.hanning(len(x) + 2)[1:-1, None]
        spectrum = np.abs(np.fft.rfft((x - x.mean(axis=0)) * taper, axis=0)) ** 2
        self._power += 2.0 * spectrum / (rate_hz * np.sum(taper**2))
        self._windows += 1
        self._samples += len(x)
        self.seconds += len(x) / rate_hz

    def heard(self) -> Heard:
        """What has come so far; something must have."""
        mean = self._sum / self._samples
        rms = np.sqrt(np.maximum(self._squares / self._samples - mean**2, 0.0))
        middle = mean + self._offset
        peak = np.maximum(self._high - middle, middle - self._low)
        parts = np.array_split(self._power[1:] / self._windows, _PARTS)
        noise = np.sqrt(np.quantile([p.mean(axis=0) for p in parts if len(p)], _QUIET, axis=0))
        shares = [None] * len(rms) if self._full_scale is None else self._full / self._samples
        return Heard(
            pipeline=self._name,
            seconds=round(self.seconds, 3),
            rate_hz=self._rate_hz,
            asked_hz=self._asked_hz,
            gaps=self._gaps,
            refused={reason: n / self._windows for reason, n in self._refused.items()},
            channels=[
                Level(float(r), float(p), float(n), None if share is None else float(share))
                for r, p, n, share in zip(rms, peak, noise, shares, strict=True)
            ],
        )
