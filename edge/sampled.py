"""What all sampled sensors share: their true rate, their blocks, and windows of them.

A crystal keeps its rate to 0.01 %. The oscillator inside an accelerometer is off by up to some
percent, and follows its temperature; every frequency in an explanation would be off by as much. So
its rate is not believed but measured, by this device's own clock.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from contract.spec import Floats, Window
from edge.capture import Capture, Item, Out
from edge.errors import SourceError
from edge.windowing import Windower

G = 9.80665  # m/s^2, standard gravity
BLOCK_S = 0.1
_SETTLE_S = 3.0
_SETTLE_SAMPLES = 400  # counting is right to a sample; half of these is what a slope reaches over
_MEMORY = 600  # looks; a minute of them, so that a drift with temperature is followed
_UNMEASURED_S = 60.0  # without gaps a tenth of it is enough
_MOVED = 2e-4  # twice what the measurement itself moves after ten seconds
_OFF = 0.2  # of the rate asked for; no oscillator is so far off, but a wrong register is


class SampledConfig(Protocol):
    """What the config of every sampled source has."""

    @property
    def window_s(self) -> float:
        """Length of a window, seconds."""

    @property
    def hop_s(self) -> float:
        """From window to window, seconds."""

    @property
    def rate_hz(self) -> float:
        """Sample rate the sensor is asked for."""

    @property
    def stall_s(self) -> float:
        """Silence after which it counts as hanging."""


class SampleClock:
    """The rate of a sampler, from how many samples it had given by when.

    A look may come late, never early, and how late depends on what else this device does. The rate
    is the median of the slopes across half of the record, which a few late looks do not move. Looks
    1 ms late on average, one in ten by 100 ms: at 800 Hz and more it is right to 0.1 % after three
    seconds and to 0.01 % after ten (the worst of 40 runs); at 31 Hz to 0.3 % after thirteen.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._looks: deque[tuple[int, int]] = deque(maxlen=_MEMORY)
        self._samples = 0
        self.rate_hz = 0.0

    def look(self, samples: int, t_ns: int) -> float:
        """Note that by `t_ns` the sampler had given `samples` more.

        Returns:
            The rate in Hz; 0.0 until enough has been seen.
        """
        self._samples += samples
        self._looks.append((self._samples, t_ns))
        first, first_ns = self._looks[0]
        if t_ns - first_ns >= _SETTLE_S * 1e9 and self._samples - first >= _SETTLE_SAMPLES:
            counts, times = np.array(self._looks, dtype=np.int64).T
            half = len(counts) // 2
            slopes = (counts[half:] - counts[:-half]) / np.maximum(times[half:] - times[:-half], 1)
            self.rate_hz = float(np.median(slopes)) * 1e9
        return self.rate_hz

    def begin_anew(self) -> None:
        """Samples were lost: counting across that would be wrong, but the rate is still good."""
        self._looks.clear()


class Blocks:
    """The child's side: gathers samples to blocks, with the rate they were measured to have."""

    def __init__(self, out: Out, *, rate_hz: float) -> None:
        """Blocks of a tenth of a second, about.

        Args:
            out: takes them.
            rate_hz: the sensor was asked for.
        """
        self._out = out
        self._size = max(round(BLOCK_S * rate_hz), 1)
        self._clock = SampleClock()
        self._gathered: list[Floats] = []
        self._t_ns = self._stamp_ns = 0
        self._is_after_gap = False

    @property
    def rate_hz(self) -> float:
        """As measured so far; 0.0 until that is known."""
        return self._clock.rate_hz

    def add(self, samples: Floats, *, t_ns: int, stamp_ns: int | None = None) -> None:
        """Take what was read.

        Args:
            samples: (n, channels) float32.
            t_ns: monotonic clock when it had been read.
            stamp_ns: when the sensor itself says that the last of it was taken, on any clock.
        """
        if not len(samples):
            return
        self._gathered.append(samples)
        self._t_ns, self._stamp_ns = t_ns, t_ns if stamp_ns is None else stamp_ns
        if sum(map(len, self._gathered)) >= self._size:
            self._put()

    def lose(self) -> None:
        """Samples were lost after what was added last."""
        self._put()
        self._clock.begin_anew()
        self._is_after_gap = True

    def _put(self) -> None:
        if not self._gathered:
            return
        block = np.concatenate(self._gathered)
        self._gathered.clear()
        rate_hz = self._clock.look(len(block), self._stamp_ns)
        self._out.put(block, t_ns=self._t_ns, rate_hz=rate_hz, is_after_gap=self._is_after_gap)
        self._is_after_gap = False


class SampledSource:
    """The parent's side: windows of one sensor read in a child; after lost samples they begin anew.

    A window has as many samples as the rate asked for makes of `window_s`, whatever the measured
    one is: models count samples. `Window.rate_hz` is the measured one, and stays the same until it
    has moved by 0.02 %, so that windows can be compared line by line.
    """

    def __init__(self, config: SampledConfig, capture: Capture, *, name: str, what: str) -> None:
        """Nothing is opened yet.

        Args:
            config: of the source.
            capture: reads the sensor.
            name: the pipeline's, for the windows.
            what: is read, for errors.
        """
        self._config = config
        self._what = what
        self._capture = capture
        self._unmeasured_s: float | None = None  # since when
        self._windower = Windower(
            name, rate_hz=config.rate_hz, window_s=config.window_s, hop_s=config.hop_s
        )

    def windows(self) -> Iterator[Window]:
        """Timed by counting samples; only after a gap the clock is asked again.

        A gap is a jump in the windows' numbers. Nothing is given until the rate is known.

        Raises:
            SourceError: the sensor fails, or samples at another rate than it was asked for.
        """
        t_ns, expected, lost, rate_hz = 0, -1, 0, 0.0
        for item in self._capture.items():
            if not self._is_measured(item):
                continue
            is_gap = item.seq != expected
            if is_gap:
                lost += self._lost_windows(item, t_ns) if t_ns else 0
                t_ns = max(t_ns, item.t_ns)
            else:
                t_ns += round(len(item.data) / item.rate_hz * 1e9)
            expected = item.seq + 1
            if abs(item.rate_hz - rate_hz) > _MOVED * rate_hz:
                rate_hz = item.rate_hz
            for window in self._windower.push(
                item.data, t_ns=t_ns, after_gap=is_gap, rate_hz=rate_hz
            ):
                yield replace(window, seq=window.seq + lost)

    def close(self) -> None:
        """End `windows` at once."""
        self._capture.close()

    def _is_measured(self, item: Item) -> bool:
        asked_hz, now_s = self._config.rate_hz, time.monotonic()
        if not item.rate_hz:
            self._unmeasured_s = self._unmeasured_s or now_s
            if now_s - self._unmeasured_s > _UNMEASURED_S:
                fix = "fix: a lower rate_hz, or less work for this device"
                lost = "loses samples so often that its rate cannot be measured"
                raise SourceError(f"{self._what}: {lost}; {fix}")
            return False
        if abs(item.rate_hz - asked_hz) > _OFF * asked_hz:
            fix = "fix: that rate as rate_hz, if it is meant"
            found = f"samples at {item.rate_hz:.1f} Hz, asked for {asked_hz:g}"
            raise SourceError(f"{self._what}: {found}; {fix}")
        return True

    def _lost_windows(self, item: Item, t_ns: int) -> int:
        """At least the one that was begun."""
        return max(round((item.t_ns - t_ns) / 1e9 / self._config.hop_s), 1)
