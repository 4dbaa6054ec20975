"""Envelope analysis: what repeats in the bursts that a band of high frequencies carries.

A local fault in a rolling bearing strikes once per passing element; each blow rings at resonances
far above the rate of the blows. Demodulating such a band shows the rate as a line. The tutorial is
Randall and Antoni, "Rolling element bearing diagnostics", Mechanical Systems and Signal Processing
25(2), 2011; the choice of band by spectral kurtosis over a 1/3-binary tree is Antoni, "Fast
computation of the kurtogram", MSSP 21(1), 2007. The band-pass is a mask of FFT bins, so one
transform of the window serves every band, and the envelope comes out at the rate of its band.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from contract.ops import spectrum
from contract.ops.spectrum import Transform
from contract.spec import Floats

_TREE = (1, 2, 3, 4, 6, 8, 12, 16)  # bands per level: halves and thirds in turn
_SMOOTH = (1, 3, 5, 9, 15, 25, 27, 45, 75)  # odd parts of lengths an FFT is quick for
_MIN_BINS = 64  # of a band: fewer carry no kurtosis to speak of


@dataclass(frozen=True)
class Band:
    """A stretch of FFT bins.

    Attributes:
        low: first bin.
        high: one past the last.
    """

    low: int
    high: int

    def hz(self, bin_hz: float) -> tuple[float, float]:
        """Its edges in Hz."""
        return self.low * bin_hz, self.high * bin_hz


def bands(bins: int, *, widest: float = 1.0) -> list[Band]:
    """The bands of the 1/3-binary tree.

    Args:
        bins: of the spectrum.
        widest: share of the spectrum the widest band may have.
    """
    made = []
    for parts in _TREE:
        edges = np.linspace(1, bins, parts + 1).astype(int).tolist()
        if 1.0 / parts <= widest and bins // parts >= _MIN_BINS:
            made += [Band(low, high) for low, high in itertools.pairwise(edges)]
    return made


def analytic(transform: Transform, band: Band) -> Transform:
    """The band alone as analytic signal, moved down to 0 Hz.

    Args:
        transform: (..., bins) complex, from `spectrum.transform`.
        band: which bins.

    Returns:
        (..., samples) complex over the same duration as the window, at least one sample per bin
        of the band; its magnitude is the envelope in the unit of the signal.
    """
    samples = _quick(band.high - band.low)
    moved: Transform = np.fft.ifft(transform[..., band.low : band.high], samples, axis=-1)
    return moved * np.float32(samples)


def envelope_spectrum(transform: Transform, band: Band) -> Floats:
    """Amplitudes of what repeats in a band's envelope.

    The envelope is not squared: one giant blow must not outweigh a hundred regular ones, and
    "14 times" then means the blows' height. Lines above half the band's width are left out.

    Args:
        transform: (..., bins) complex, from `spectrum.transform`.
        band: which bins.

    Returns:
        (..., (band.high - band.low) // 2) float32 in the unit of the signal, one value per bin of
        the same width as those of `transform`.
    """
    envelope = np.abs(analytic(transform, band))
    envelope -= envelope.mean(axis=-1, keepdims=True)
    scale = np.float32(2.0 / envelope.shape[-1])
    return spectrum.amplitudes(
        np.fft.rfft(envelope, axis=-1)[..., : (band.high - band.low) // 2] * scale
    )


def spectral_kurtosis(transform: Transform, band: Band) -> Floats:
    """How bursty a band is: 0 for steady Gaussian noise, -1 for a sine.

    The window's ends are weighted down: where they do not meet, the transform puts a blow there
    that a quiet band would take for its loudest.

    Args:
        transform: (..., bins) complex, from `spectrum.transform`.
        band: which bins.

    Returns:
        (...) float32.
    """
    z = analytic(transform, band)
    power = np.square(z.real) + np.square(z.imag)
    weight = _weights(power.shape[-1])
    mean = np.maximum(power @ weight, np.float32(1e-30))
    kurtosis: Floats = np.square(power / mean[..., None]) @ weight - np.float32(2.0)
    return kurtosis


def burstiest(transform: Transform, among: list[Band]) -> tuple[Band, float]:
    """The band with the highest spectral kurtosis, and that kurtosis.

    Args:
        transform: (bins,) complex of one channel.
        among: at least one band.
    """
    found = [(float(spectral_kurtosis(transform, band)), band) for band in among]
    kurtosis, best = max(found, key=lambda one: one[0])
    return best, kurtosis


@functools.lru_cache(maxsize=64)
def _weights(samples: int) -> Floats:
    """(samples,) float32 Hann window with sum 1."""
    window = np.hanning(samples)
    weights: Floats = (window / window.sum()).astype(np.float32)
    return weights


@functools.lru_cache(maxsize=256)
def _quick(samples: int) -> int:
    """The next length that an FFT is quick for."""
    return min(odd << max(0, (-(-samples // odd) - 1).bit_length()) for odd in _SMOOTH)
