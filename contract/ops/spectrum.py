"""Lines in a spectrum: their amplitude, their frequency between the bins, what they stand out of.

Amplitudes are those of sines in the unit of the signal, through a Hann window; one transform
serves the spectrum here and every band's envelope in `envelope.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from contract.spec import Array, Floats

Transform = npt.NDArray[np.complexfloating[Any, Any]]

_BLOCK = 32  # bins
_FINE = 16  # bins, in the first of those blocks: near 0 Hz spectra are steep
# Of a Rayleigh distribution, as the amplitudes of noise have: median over lower quartile. A little
# less than the 1.552 of a continuous one, as the ninth of 32 lies above the quartile.
_TO_MEDIAN = np.float32(math.sqrt(math.log(2.0) / math.log(4.0 / 3.0)) * 0.945)


def centred(x: Floats) -> Floats:
    """A window as rows without their mean; contiguous rows reduce ten times faster.

    Args:
        x: (..., samples, channels) float32, any unit.

    Returns:
        (..., channels, samples) float32.
    """
    rows = np.ascontiguousarray(np.swapaxes(x, -1, -2), dtype=np.float32)
    without: Floats = rows - rows.mean(axis=-1, keepdims=True)
    return without


def transform(rows: Floats) -> Transform:
    """One-sided spectrum, scaled so that a sine of amplitude a gives |a|.

    Args:
        rows: (..., channels, samples) float32, from `centred`.

    Returns:
        (..., channels, samples // 2 + 1) complex.
    """
    scaled: Transform = np.fft.rfft(rows, axis=-1)
    scaled *= np.float32(2.0 / rows.shape[-1])
    return scaled


def amplitudes(spectrum: Transform) -> Floats:
    """Amplitudes through a Hann window, which is a convolution of three bins.

    Args:
        spectrum: (..., bins) complex, from `transform`.

    Returns:
        (..., bins) float32 in the unit of the signal; a sine on a bin gives its amplitude.
    """
    smooth = np.zeros_like(spectrum)
    np.add(spectrum[..., :-2], spectrum[..., 2:], out=smooth[..., 1:-1])
    smooth[..., 1:-1] *= np.float32(-0.5)
    smooth[..., 1:-1] += spectrum[..., 1:-1]
    magnitude: Floats = np.abs(smooth).astype(np.float32, copy=False)
    return magnitude


def background(amplitude: Floats) -> Floats:
    """What lies under the lines: noise as the quieter bins of each stretch show it.

    The lower quartile of blocks of bins, scaled to the median of Gaussian noise and joined by
    straight lines. Up to two thirds of a block may be lines before it rises with them.

    Args:
        amplitude: (..., bins) float32, at least 16 bins.

    Returns:
        (..., bins) float32, above 0.
    """
    bins = amplitude.shape[-1]
    head = min(_BLOCK, bins // _FINE * _FINE)
    blocks = (bins - head) // _BLOCK
    levels = np.concatenate(
        [
            np.partition(
                amplitude[..., start:stop].reshape(*amplitude.shape[:-1], -1, size), size // 4
            )[..., size // 4]
            for start, stop, size in ((0, head, _FINE), (head, head + blocks * _BLOCK, _BLOCK))
            if stop > start
        ],
        axis=-1,
    )
    # a quartile of so few bins is off by a sixth; its neighbours make it steady
    steady = levels.copy()
    steady[..., 1:-1] = 0.5 * levels[..., 1:-1] + 0.25 * (levels[..., :-2] + levels[..., 2:])
    centres = np.append(
        np.arange(0, head, _FINE) + (_FINE - 1) / 2,
        head + np.arange(blocks) * _BLOCK + (_BLOCK - 1) / 2,
    )
    floor = _TO_MEDIAN * _interpolate(steady, centres, bins)
    # a signal made of numbers may have no noise at all
    least = np.float32(1e-9) * amplitude.max(axis=-1, keepdims=True) + np.float32(1e-30)
    above_zero: Floats = np.maximum(floor, least)
    return above_zero


def _interpolate(levels: Floats, centres: Array, bins: int) -> Floats:
    """(..., blocks) levels at block centres to (..., bins), constant beyond the ends."""
    bin_numbers = np.arange(bins)
    if len(centres) == 1:
        return np.repeat(levels, bins, axis=-1)
    right = np.clip(np.searchsorted(centres, bin_numbers), 1, len(centres) - 1)
    share = (bin_numbers - centres[right - 1]) / (centres[right] - centres[right - 1])
    share = np.clip(share, 0.0, 1.0).astype(np.float32)
    joined: Floats = levels[..., right - 1] * (1 - share) + levels[..., right] * share
    return joined


def peaks(prominence: Floats, *, at_least: float, start: int = 2) -> Array:
    """Bins of local maxima that stand out.

    Args:
        prominence: (bins,) float32, amplitude over background.
        at_least: lowest prominence.
        start: first bin looked at.

    Returns:
        (n,) int bin numbers, rising.
    """
    inner = prominence[1:-1]
    is_peak = (inner >= at_least) & (inner > prominence[:-2]) & (inner >= prominence[2:])
    found = np.flatnonzero(is_peak) + 1
    return np.asarray(found[found >= start])


def between_bins(amplitude: Floats, peak: int) -> float:
    """Where a peak really is, in bins: the vertex of a parabola through three log amplitudes.

    Exact for a Gaussian window; with a Hann window the error stays below 0.02 bins.

    Args:
        amplitude: (bins,) float32.
        peak: bin of the local maximum, not the first or last bin.
    """
    left, middle, right = np.log(np.maximum(amplitude[peak - 1 : peak + 2], 1e-30))
    curve = left - 2.0 * middle + right
    if curve >= 0.0:
        return float(peak)
    return float(peak + np.clip(0.5 * (left - right) / curve, -0.5, 0.5))


def near(spectrum: Floats, position: Array, *, reach: int = 1) -> Floats:
    """The largest value within `reach` bins of each position.

    Args:
        spectrum: (..., bins) float32.
        position: (n,) in bins, not necessarily whole.
        reach: bins to each side.

    Returns:
        (..., n) float32; 0 for a position beyond the spectrum.
    """
    bins = spectrum.shape[-1]
    centre = np.rint(np.asarray(position)).astype(int)
    steps = np.arange(-reach, reach + 1)
    highest: Floats = spectrum[..., np.clip(centre[:, None] + steps, 0, bins - 1)].max(axis=-1)
    highest[..., (centre < 0) | (centre >= bins)] = 0.0
    return highest
