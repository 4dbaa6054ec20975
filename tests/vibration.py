"""Machines made of numbers, for tests: what a fault does to a signal, and what is none."""

from __future__ import annotations

import numpy as np

from contract.spec import Window

RATE_HZ = 25_600.0


def healthy(rng, *, samples=25_600, shaft_hz=29.95, load=1.0, channels=2, rate_hz=RATE_HZ):
    """(samples, channels) float32: shaft harmonics and coloured noise; speed wanders by 0.2 %."""
    t = np.arange(samples) / rate_hz
    turns = shaft_hz * (1 + 0.002 * rng.normal()) * t
    x = np.zeros((samples, channels))
    for order, amplitude in ((1, 0.2), (2, 0.12), (3, 0.05), (7, 0.03)):
        for channel in range(channels):
            phase = rng.uniform(0, 2 * np.pi)
            gain = amplitude * load * (1 + 0.3 * channel)
            x[:, channel] += gain * np.sin(2 * np.pi * order * turns + phase)
    white = np.fft.rfft(rng.normal(size=(samples, channels)), axis=0)
    f = np.fft.rfftfreq(samples, 1 / rate_hz)
    colour = 1 / (1 + (f / 4000) ** 0.8)
    x += 0.15 * load * np.fft.irfft(white * colour[:, None], samples, axis=0)
    return x.astype(np.float32)


def blows(
    rng,
    *,
    rate_of_blows_hz,
    samples=25_600,
    rate_hz=RATE_HZ,
    resonance_hz=3000.0,
    slip=0.01,
    modulation_hz=None,
    depth=0.8,
):
    """(samples,) ringing after each blow; heights about 1, modulated where a load zone is passed.

    Args:
        rng: draws the slip between blows and their heights.
        rate_of_blows_hz: mean rate.
        samples: length.
        rate_hz: sample rate.
        resonance_hz: that rings, damped by 5 %.
        slip: standard deviation of the time between two blows, as a share of it.
        modulation_hz: of a fault that turns in and out of the load: shaft or cage.
        depth: of that modulation.
    """
    period_s = 1 / rate_of_blows_hz
    count = int(samples / rate_hz / period_s) + 3
    at_s = rng.uniform(0, period_s) + np.cumsum(period_s * (1 + slip * rng.normal(size=count)))
    at_s = at_s[at_s < samples / rate_hz - 1 / rate_hz]
    height = 1 + 0.2 * rng.normal(size=len(at_s))
    if modulation_hz is not None:
        turn = np.cos(2 * np.pi * modulation_hz * at_s + rng.uniform(0, 2 * np.pi))
        height *= 1 - depth / 2 + depth / 2 * turn
    train = np.zeros(samples)
    np.add.at(train, (at_s * rate_hz).astype(int), height)
    omega = 2 * np.pi * resonance_hz / rate_hz
    n = np.arange(int(8 / (omega * 0.05)))
    ring = np.exp(-0.05 * omega * n) * np.sin(omega * n)
    return np.convolve(train, ring)[:samples]


def window(data, *, rate_hz=RATE_HZ, seq=0):
    """As a source would give it."""
    return Window("test", seq, seq * 10**9, 0, data.astype(np.float32), rate_hz)
