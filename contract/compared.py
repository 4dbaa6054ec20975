"""A window beside those of the same machine while it was healthy, transformed once for all uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.ops import spectrum
from contract.ops.spectrum import Transform
from contract.spec import Floats, Window

MAX_HEALTHY = 12  # windows compared with; more are thinned out evenly
MAX_SAMPLES = 65_536  # of a window, the last: two channels then take 30 MB for a moment


@dataclass(frozen=True, eq=False)
class Compared:
    """One window and the healthy ones.

    Attributes:
        now: (channels, samples) float32, without the mean.
        healthy: (windows, channels, samples) float32, likewise; perhaps no window.
        now_transform: (channels, bins) complex.
        healthy_transform: (windows, channels, bins) complex.
        now_lines: (channels, bins) float32 amplitudes.
        healthy_lines: (windows, channels, bins) float32 amplitudes.
        bin_hz: width of a bin.
        seconds: of the window.
    """

    now: Floats
    healthy: Floats
    now_transform: Transform
    healthy_transform: Transform
    now_lines: Floats
    healthy_lines: Floats
    bin_hz: float
    seconds: float


def compare(window: Window, healthy: Sequence[Floats]) -> Compared:
    """The window and as many of the healthy ones as are worth the time.

    Args:
        window: data (samples, channels) float32.
        healthy: each (samples, channels) float32; those of another shape are left out.
    """
    x = window.data[-MAX_SAMPLES:]
    same = [one[-MAX_SAMPLES:] for one in healthy if one.shape == window.data.shape]
    if len(same) > MAX_HEALTHY:
        chosen = np.linspace(0, len(same) - 1, MAX_HEALTHY).round().astype(int)
        same = [same[i] for i in chosen.tolist()]
    now = spectrum.centred(x)
    before = np.stack([spectrum.centred(one) for one in same]) if same else now[None][:0]
    now_transform, before_transform = spectrum.transform(now), spectrum.transform(before)
    return Compared(
        now,
        before,
        now_transform,
        before_transform,
        spectrum.amplitudes(now_transform),
        spectrum.amplitudes(before_transform),
        window.rate_hz / len(x),
        len(x) / window.rate_hz,
    )


def rms(rows: Floats) -> Floats:
    """Of (..., samples) without their mean: (...) in the unit of the signal, above 0."""
    square: Floats = np.einsum("...i,...i->...", rows, rows) / np.float32(rows.shape[-1])
    return np.sqrt(np.maximum(square, np.float32(1e-30)))


def kurtosis(rows: Floats) -> Floats:
    """Of (..., samples) without their mean: (...); 3 for Gaussian noise, 0 for no signal."""
    square = np.square(rows / rms(rows)[..., None])
    fourth: Floats = np.einsum("...i,...i->...", square, square) / np.float32(rows.shape[-1])
    return fourth


def crest(rows: Floats) -> Floats:
    """Of (..., samples) without their mean: (...), peak over RMS."""
    peak: Floats = np.maximum(rows.max(axis=-1), -rows.min(axis=-1))
    return peak / rms(rows)
