"""Signal features against values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.ops.signal import _band_edges, log_bands, log_crest

BANDS, OCTAVES = 32, 8


def sine(*, bin_: int, samples: int = 2560, amplitude: float = 1.0) -> np.ndarray:
    """One channel, exactly on an FFT bin."""
    n = np.arange(samples)
    return (amplitude * np.sin(2 * np.pi * bin_ * n / samples))[:, None].astype(np.float32)


@pytest.mark.parametrize("amplitude", [1e-3, 1.0, 50.0])
def test_a_sine_gives_its_rms_in_its_band_and_nothing_far_away(amplitude):
    """Amplitude over the square root of two."""
    edges = _band_edges(1280, BANDS, OCTAVES)
    band = 25
    middle = int(edges[band] + edges[band + 1]) // 2 + 1  # bin 0 is left out of the bands
    levels = log_bands(sine(bin_=middle, amplitude=amplitude), n_bands=BANDS, octaves=OCTAVES)[0]
    assert levels[band] == pytest.approx(np.log(amplitude / np.sqrt(2)), abs=1e-3)
    assert np.delete(levels, band).max() < levels[band] - 5


def test_the_bands_of_white_noise_together_hold_its_power():
    """Nothing is counted twice, nothing above the lowest band is lost."""
    noise = np.random.default_rng(0).normal(size=(25_600, 1)).astype(np.float32)
    power = np.exp(2 * log_bands(noise, n_bands=BANDS, octaves=OCTAVES)).sum()
    assert power == pytest.approx(1.0 - 2.0**-OCTAVES, rel=0.03)


@given(st.floats(0.01, 100.0))
def test_gain_moves_every_band_by_its_logarithm(gain):
    """So that the mean over the bands is the loudness."""
    noise = np.random.default_rng(1).normal(size=(2560, 2)).astype(np.float32)
    quiet = log_bands(noise, n_bands=BANDS, octaves=OCTAVES)
    loud = log_bands((noise * np.float32(gain)), n_bands=BANDS, octaves=OCTAVES)
    np.testing.assert_allclose(loud - quiet, np.log(gain), atol=1e-3)


def test_an_offset_changes_nothing():
    """Gravity is not vibration."""
    noise = np.random.default_rng(2).normal(size=(2560, 1))
    for feature in (lambda x: log_bands(x, n_bands=BANDS, octaves=OCTAVES), log_crest):
        with_offset = feature((noise + 9.81).astype(np.float32))
        np.testing.assert_allclose(with_offset, feature(noise.astype(np.float32)), atol=1e-3)


def test_silence_is_finite():
    """A dead sensor gives numbers, which the spec then refuses."""
    silence = np.zeros((2560, 2), np.float32)
    levels = log_bands(silence, n_bands=BANDS, octaves=OCTAVES)
    assert levels.shape == (2, BANDS)
    assert np.isfinite(levels).all()
    assert log_crest(silence).tolist() == [0.0, 0.0]


def test_the_crest_of_a_sine_is_the_root_of_two_whatever_its_strength():
    """Peak over RMS."""
    for amplitude in (0.1, 1.0, 30.0):
        crest = log_crest(sine(bin_=64, amplitude=amplitude))
        assert crest[0] == pytest.approx(np.log(np.sqrt(2)), abs=1e-3)


def test_one_impulse_has_the_crest_of_its_length():
    """A single one among n samples: the root of n."""
    x = np.zeros((2500, 1), np.float32)
    x[7] = 1.0
    assert log_crest(x)[0] == pytest.approx(np.log(50), abs=1e-3)


@given(st.integers(64, 100_000), st.integers(1, 32), st.integers(1, 12))
def test_bands_rise_strictly_and_end_at_the_nyquist_frequency(samples, n_bands, octaves):
    """No band is ever empty, at any length of window."""
    bins = samples // 2
    edges = _band_edges(bins, n_bands, octaves)
    assert len(edges) == n_bands + 1
    assert edges[0] >= 0
    assert edges[-1] == bins
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize("samples", [0, 1, 31, 63])
def test_too_few_samples_for_the_bands_are_refused(samples):
    """With how many it takes."""
    with pytest.raises(ValueError, match="need 64"):
        log_bands(np.zeros((samples, 1), np.float32), n_bands=BANDS, octaves=OCTAVES)


def test_just_enough_samples_give_every_band():
    """The limit itself."""
    noise = np.random.default_rng(3).normal(size=(64, 3)).astype(np.float32)
    levels = log_bands(noise, n_bands=BANDS, octaves=OCTAVES)
    assert levels.shape == (3, BANDS)
    assert levels.dtype == np.float32
