"""A machine that runs to failure, made of numbers: for demos, tests and devices without a sensor.

Shaft harmonics and noise, an impulse train at the bearing's outer-race frequency that excites a
resonance and grows after a known onset, and load steps as distractors. The usual signal model of
localised bearing faults: McFadden and Smith, Journal of Sound and Vibration 96(1), 1984; random
slip of the impulses as in Antoni and Randall, 2003.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from contract.spec import Floats


@dataclass(frozen=True)
class RunToFailure:
    """One simulated life, window by window; any window can be made alone, always the same.

    Attributes:
        seed: makes this machine: its speed, resonance, noise, mounting and load steps.
        windows: length of the life.
        onset: fraction of the life at which the defect starts.
        rate_hz: sample rate.
        samples: per window.
        interval_s: time from window to window.
        channels: axes of the accelerometer.
    """

    seed: int
    windows: int = 240
    onset: float = 0.6
    rate_hz: float = 25_600.0
    samples: int = 2560
    interval_s: float = 10.0
    channels: int = 2

    @cached_property
    def _make(self) -> dict[str, Any]:
        """What the seed decides about this machine."""
        rng = np.random.default_rng([self.seed, 0])
        return {
            "shaft_hz": rng.uniform(24.0, 31.0),
            "orders": rng.uniform(3.0, 4.2),  # outer-race passes per turn
            "resonance_hz": rng.uniform(0.12, 0.3) * self.rate_hz,
            "damping": rng.uniform(0.03, 0.08),
            "harmonics": rng.uniform(0.02, 0.3, size=6),
            "noise": rng.uniform(0.08, 0.2),
            "tilt": rng.uniform(0.5, 1.1),
            "axes": rng.uniform(0.5, 1.2, size=self.channels),
            "final": rng.uniform(12.0, 25.0),  # impulse height at the end, in units of the noise
            "steps": np.sort(rng.uniform(0.02, 1.0, size=6)),
            "loads": rng.uniform(0.75, 1.35, size=7),
        }

    def load(self, i: int) -> float:
        """Load of window `i` relative to nominal; it steps, and a step is not a fault."""
        make = self._make
        return float(make["loads"][np.searchsorted(make["steps"], i / self.windows)])

    def defect(self, i: int) -> float:
        """Height of the impulses in window `i`, in units of the noise; 0 before the onset."""
        life = i / max(self.windows - 1, 1)
        if life < self.onset:
            return 0.0
        growth = (life - self.onset) / (1.0 - self.onset)
        final = self._make["final"]
        return float(0.5 * (2.0 * final) ** growth)

    def window(self, i: int) -> Floats:
        """(samples, channels) float32 acceleration in g of window `i`."""
        make = self._make
        rng = np.random.default_rng([self.seed, 1, i])
        t = np.arange(self.samples) / self.rate_hz
        load = self.load(i)
        shaft_hz = make["shaft_hz"] * (1.0 - 0.01 * (load - 1.0)) * (1 + 0.002 * rng.normal())
        phase = rng.uniform(0, 2 * np.pi)
        x = np.zeros((self.samples, self.channels))
        for order, amplitude in enumerate(make["harmonics"], start=1):
            tone = np.sin(2 * np.pi * shaft_hz * order * t + order * phase)
            x += load * amplitude * tone[:, None] * make["axes"]
        white = np.fft.rfft(rng.normal(size=(self.samples, self.channels)), axis=0)
        f = np.fft.rfftfreq(self.samples, 1 / self.rate_hz)
        colour = 1.0 / (1.0 + (f / (0.15 * self.rate_hz)) ** make["tilt"])
        x += load * make["noise"] * np.fft.irfft(white * colour[:, None], self.samples, axis=0)
        if (height := self.defect(i)) > 0.0:
            ring = self._impulses(rng, shaft_hz * make["orders"])
            x += height * make["noise"] * ring[:, None] * make["axes"]
        return x.astype(np.float32)

    def _impulses(self, rng: np.random.Generator, rate_hz: float) -> Floats:
        """(samples,) unit impulses at `rate_hz` with 1 % slip, ringing at the resonance."""
        make = self._make
        period = self.rate_hz / rate_hz
        count = int(self.samples / period) + 2
        at = rng.uniform(0, period) + np.cumsum(period * (1 + 0.01 * rng.normal(size=count)))
        train = np.zeros(self.samples)
        train[at[at < self.samples].astype(int)] = 1.0 + 0.2 * rng.normal(
            size=(at < self.samples).sum()
        )
        omega = 2 * np.pi * make["resonance_hz"] / self.rate_hz
        n = np.arange(int(8 / (omega * make["damping"])))
        response = np.exp(-make["damping"] * omega * n) * np.sin(omega * n)
        ringing: Floats = np.convolve(train, response)[: self.samples]
        return ringing
