"""Feature figures of a sampled signal beyond `signal.py`: the published ones, and level and shape.

Sub-band energies and robust scaling as in Stadelmann et al., "Data-driven condition monitoring",
in *Beyond ImageNet*, Springer 2019; velocity in the band of ISO 20816-1.
"""

from __future__ import annotations

import functools

import numpy as np

from contract.ops import envelope, spectrum
from contract.ops.signal import log_bands, log_crest
from contract.spec import Array, Floats

VELOCITY_BAND_HZ = (10.0, 1000.0)  # ISO 20816-1
_TINY = 1e-30  # keeps the ratio of a silent window finite
_EPS = 1e-9  # keeps the logarithm of a silent window finite, far below any sensor's noise
# Shares of the spectrum a demodulated band may have: a wider one is the signal itself, narrower
# ones cost as much again and hold too little of a blow's ringing.
_WIDEST, _NARROWEST = 1 / 2, 1 / 8


def published(x: Floats) -> Floats:
    """The published features: energies of 100 equal sub-bands of every channel, one after another.

    Args:
        x: (samples, channels) float32, any unit; samples >= 200.

    Returns:
        (channels * 100,) float32 in the square of the unit of `x`.

    Raises:
        ValueError: too few samples.
    """
    return subband_energies(x).ravel()


def level_and_shape(x: Floats, *, rate_hz: float) -> Floats:
    """Ours: what level, tone and impulses of a signal show, each as a logarithm.

    Per channel 32 log-band levels, kurtosis, crest factor, `burst_figures`, velocity RMS.

    Args:
        x: (samples, channels) float32 acceleration, any unit; samples >= 254.
        rate_hz: sample rate of `x`.

    Returns:
        (channels * 40,) float32, natural logarithms but for the place of the band.

    Raises:
        ValueError: too few samples.
    """
    figures = [
        log_bands(x, n_bands=32, octaves=8),
        np.log(np.maximum(kurtosis(x), 1.0))[:, None],
        log_crest(x)[:, None],
        burst_figures(x),
        np.log(velocity_rms(x, rate_hz=rate_hz) + np.float32(_EPS))[:, None],
    ]
    return np.concatenate(figures, axis=1, dtype=np.float32).ravel()


def burst_figures(x: Floats) -> Floats:
    """What the burstiest band of each channel carries, found by its spectral kurtosis.

    Antoni, "Fast computation of the kurtogram", MSSP 21(1), 2007; Randall and Antoni, "Rolling
    element bearing diagnostics", MSSP 25(2), 2011.

    Args:
        x: (samples, channels) float32, any unit; samples >= 254.

    Returns:
        (channels, 5) float32: log of spectral kurtosis + 2; place of the band's middle, 0 to 1 of
        the spectrum; log of the level of its envelope spectrum; log of the highest line of that
        over the median of all, and log of the second highest.

    Raises:
        ValueError: too few samples.
    """
    transform = spectrum.transform(spectrum.centred(x))
    bins = transform.shape[-1]
    tree = _tree(bins)
    if not tree:
        raise ValueError(f"{x.shape[0]} samples are too few to demodulate a band; need 254")
    found = []
    bursts = np.stack([envelope.spectral_kurtosis(transform, band) for band in tree])
    for channel, best in enumerate(bursts.argmax(axis=0)):
        band = tree[best]
        lines = envelope.envelope_spectrum(transform[channel], band)[1:]
        second, first = np.partition(lines, -2)[-2:]
        middle = np.median(lines) + _EPS
        level = np.sqrt(np.square(lines).mean())
        found.append(
            [
                np.log(max(float(bursts[best, channel]) + 2.0, _EPS)),
                (band.low + band.high) / (2.0 * bins),
                np.log(level + _EPS),
                np.log((first + _EPS) / middle),
                np.log((second + _EPS) / middle),
            ]
        )
    return np.array(found, np.float32)


@functools.lru_cache(maxsize=8)
def _tree(bins: int) -> tuple[envelope.Band, ...]:
    """The bands to look for bursts in."""
    return tuple(
        band
        for band in envelope.bands(bins, widest=_WIDEST)
        if band.high - band.low >= int(_NARROWEST * (bins - 1))
    )


def subband_energies(x: Floats, *, n_bands: int = 100) -> Floats:
    """Energies of equal frequency bands, per channel.

    Args:
        x: (samples, channels) float32, any unit; samples >= 2 * n_bands.
        n_bands: number of bands between 0 Hz, excluded, and the Nyquist frequency.

    Returns:
        (channels, n_bands) float32, mean square of each band in the square of the unit of `x`.

    Raises:
        ValueError: too few samples for so many bands.
    """
    samples = x.shape[0]
    bins = samples // 2
    if bins < n_bands:
        raise ValueError(f"{samples} samples are too few for {n_bands} bands; need {2 * n_bands}")
    edges = np.linspace(0, bins, n_bands + 1).astype(int)[:-1]
    energies: Floats = np.add.reduceat(_power(x), edges, axis=1)
    return energies


def kurtosis(x: Floats) -> Floats:
    """Fourth moment over the square of the second, per channel: 3 of Gaussian noise, 1.5 of a tone.

    Args:
        x: (samples, channels) float32, any unit.

    Returns:
        (channels,) float32.
    """
    square = np.square(spectrum.centred(x))
    moment = np.square(square).mean(axis=1, dtype=np.float64)
    variance = square.mean(axis=1, dtype=np.float64)
    found: Floats = (moment / np.maximum(variance * variance, _TINY)).astype(np.float32)
    return found


def velocity_rms(x: Floats, *, rate_hz: float) -> Floats:
    """RMS of vibration velocity between 10 Hz and 1 kHz, per channel.

    Args:
        x: (samples, channels) float32 acceleration in a unit `u`.
        rate_hz: sample rate of `x`.

    Returns:
        (channels,) float32 in `u` * s: of m/s^2 it is m/s; of g, times 9806.65 it is mm/s.
    """
    f_hz = np.fft.rfftfreq(x.shape[0], 1.0 / rate_hz)[1:]
    low, high = np.searchsorted(f_hz, VELOCITY_BAND_HZ)
    # integration in time is division by the angular frequency
    square = _power(x)[:, low:high] / np.square(2.0 * np.pi * f_hz[low:high])
    rms: Floats = np.sqrt(square.sum(axis=1)).astype(np.float32)
    return rms


def robust_scale(rows: Array) -> tuple[Array, Array]:
    """Centre and spread of every column, to be learned from healthy rows only.

    Args:
        rows: (n, d) floats, n >= 1.

    Returns:
        (d,) float64 median and (d,) float64 median absolute deviation. Where that is 0, more than
        half the rows being equal, the mean absolute deviation stands in for it; a column that never
        moved gets an infinite spread, so that it counts for nothing: how far it may move is
        unknown.
    """
    rows = np.asarray(rows, np.float64)
    centre = np.median(rows, axis=0)
    away = np.abs(rows - centre)
    spread, mean = np.median(away, axis=0), away.mean(axis=0)
    spread = np.where(spread > 0.0, spread, mean)
    return centre, np.where(spread > 0.0, spread, np.inf)


def robust_z(rows: Array, centre: Array, spread: Array) -> Array:
    """(n, d) float64 rows with centre and spread of `robust_scale` taken out."""
    z: Array = (np.asarray(rows, np.float64) - centre) / spread
    return z


def _power(x: Floats) -> Floats:
    """(channels, samples // 2) float32 one-sided power of each bin but 0 Hz; sums to the variance.

    Without a window: broad bands leak little into one another, and energies add up.
    """
    samples = x.shape[0]
    lines = np.fft.rfft(spectrum.centred(x), axis=1)[:, 1:]
    power = np.square(lines.real) + np.square(lines.imag)
    power *= np.float32(2.0 / samples**2)
    if samples % 2 == 0:
        power[:, -1] *= 0.5  # the Nyquist bin has no mirror image
    one_sided: Floats = power
    return one_sided
