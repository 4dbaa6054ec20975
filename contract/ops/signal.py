"""Features of a sampled signal, the same in training, export and on the device."""

from __future__ import annotations

import functools

import numpy as np

from contract.spec import Array, Floats

_EPS = 1e-6  # keeps the logarithm of a silent band finite, far below any sensor's noise


@functools.lru_cache(maxsize=32)
def _band_edges(bins: int, n_bands: int, octaves: int) -> Array:
    """(n_bands + 1,) first FFT bin of each band, log-spaced over the top `octaves`, rising."""
    edges = np.rint(np.geomspace(bins * 2.0**-octaves, bins, n_bands + 1)).astype(int)
    for i in range(1, len(edges)):  # at the low end several bands would fall on one bin
        edges[i] = max(edges[i], edges[i - 1] + 1)
    edges = np.minimum(edges, bins - np.arange(n_bands, -1, -1))
    return np.asarray(edges)


@functools.lru_cache(maxsize=32)
def _hann(samples: int) -> Floats:
    """(samples,) float32 Hann window with mean square 1."""
    window = np.hanning(samples)
    normalised: Floats = (window / np.sqrt(np.mean(window**2))).astype(np.float32)
    return normalised


def log_bands(x: Floats, *, n_bands: int, octaves: int) -> Floats:
    """Log levels of log-spaced frequency bands, per channel.

    The bands divide the top `octaves` below the Nyquist frequency, so the features depend on the
    shape of the spectrum and not on the sample rate.

    Args:
        x: (samples, channels) float32, any unit; samples >= 2 * n_bands.
        n_bands: number of bands.
        octaves: how far down from the Nyquist frequency they reach.

    Returns:
        (channels, n_bands) float32, natural log of the band's RMS in the unit of `x`.

    Raises:
        ValueError: too few samples for so many bands.
    """
    _check_enough(x.shape[0] // 2, n_bands)
    return log_bands_of(power(x), n_bands=n_bands, octaves=octaves)


def power(x: Floats) -> Floats:
    """Power spectrum, per channel, Hann window, mean removed.

    Args:
        x: (samples, channels) float32, any unit.

    Returns:
        (channels, samples // 2) float32, mean square of each line in the unit of `x` squared; the
        first line is one over the length of `x`, the last is at half the sample rate.
    """
    samples = x.shape[0]
    spectrum = np.fft.rfft(_centred(x) * _hann(samples), axis=1)[:, 1 : samples // 2 + 1]
    squared = np.square(spectrum.real) + np.square(spectrum.imag)
    scaled: Floats = (squared * np.float32(2.0 / samples**2)).astype(np.float32)
    return scaled


def log_bands_of(lines: Floats, *, n_bands: int, octaves: int) -> Floats:
    """As `log_bands`, of a spectrum that is there already.

    Args:
        lines: (channels, bins) float32, from `power`.
        n_bands: number of bands.
        octaves: how far down from the Nyquist frequency they reach.
    """
    bins = lines.shape[1]
    _check_enough(bins, n_bands)
    edges = _band_edges(bins, n_bands, octaves)
    return _log_rms(np.add.reduceat(lines[:, : edges[-1]], edges[:-1], axis=1))


def log_level_below(lines: Floats, *, rate_hz: float, limit_hz: float) -> Floats:
    """Log level of everything up to a frequency, per channel.

    Args:
        lines: (channels, bins) float32, from `power`.
        rate_hz: sample rate of the signal.
        limit_hz: up to where; the whole spectrum where it ends before.

    Returns:
        (channels,) float32, natural log of the RMS in the unit of the signal.
    """
    count = int(limit_hz / rate_hz * 2 * lines.shape[1])
    return _log_rms(lines[:, : max(count, 1)].sum(axis=1))


def _check_enough(bins: int, n_bands: int) -> None:
    if bins < n_bands:
        raise ValueError(f"{2 * bins} samples are too few for {n_bands} bands; need {2 * n_bands}")


def _log_rms(power_in: Floats) -> Floats:
    levels: Floats = (0.5 * np.log(power_in + np.float32(_EPS**2))).astype(np.float32)
    return levels


def log_crest(x: Floats) -> Floats:
    """How impulsive a signal is, per channel; does not depend on how strong it is.

    Args:
        x: (samples, channels) float32, any unit.

    Returns:
        (channels,) float32, natural log of the crest factor (peak over RMS, mean removed).
    """
    square = np.square(_centred(x))
    peak, mean = square.max(axis=1), square.mean(axis=1)
    crest: Floats = 0.5 * np.log((peak + np.float32(_EPS**2)) / (mean + np.float32(_EPS**2)))
    return crest.astype(np.float32)


def _centred(x: Floats) -> Floats:
    """(channels, samples), each without its mean; contiguous rows reduce ten times faster."""
    rows = np.ascontiguousarray(x.T, dtype=np.float32)
    centred: Floats = rows - rows.mean(axis=1, keepdims=True)
    return centred
