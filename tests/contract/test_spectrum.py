"""Lines between the bins, and what they stand out of."""

import numpy as np
import pytest

from contract.ops import spectrum

RATE_HZ, SAMPLES = 25_600, 25_600


def sine(hz, *, amplitude=1.0, samples=SAMPLES, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / RATE_HZ
    x = amplitude * np.sin(2 * np.pi * hz * t + rng.uniform(0, 6.28))
    return (x + noise * rng.normal(size=samples)).astype(np.float32)[:, None]


def lines(x):
    """(bins,) amplitudes of a window of one channel."""
    return spectrum.amplitudes(spectrum.transform(spectrum.centred(x)))[0]


def test_a_sine_on_a_bin_has_its_amplitude_and_an_offset_has_none():
    amplitude = lines(sine(500.0, amplitude=2.5) + np.float32(7.0))
    assert amplitude[500] == pytest.approx(2.5, rel=1e-4)
    assert amplitude[0] == 0.0
    assert amplitude[510:].max() < 1e-3


@pytest.mark.parametrize("hz", np.linspace(100.0, 101.0, 11))
def test_a_line_between_bins_is_found_to_a_fiftieth_of_a_bin(hz):
    amplitude = lines(sine(hz, noise=0.01))
    peak = int(amplitude.argmax())
    assert spectrum.between_bins(amplitude, peak) == pytest.approx(hz, abs=0.02)


def test_a_flat_top_stays_on_its_bin():
    assert spectrum.between_bins(np.ones(9, np.float32), 4) == 4.0


def test_the_background_of_noise_is_its_median():
    x = np.random.default_rng(0).normal(size=(20, SAMPLES, 1)).astype(np.float32)
    amplitude = spectrum.amplitudes(spectrum.transform(spectrum.centred(x)))
    assert np.median(amplitude / spectrum.background(amplitude)) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("hz", [20.0, 29.95, 100.0, 4321.3])
def test_a_line_does_not_lift_its_own_background(hz):
    noise, both = lines(sine(hz, amplitude=0.0, noise=1.0)), lines(sine(hz, noise=1.0))
    ratio = spectrum.background(both) / spectrum.background(noise)
    assert ratio.max() < 2.0
    assert np.median(ratio) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("bins", [16, 17, 31, 32, 40, 64, 65, 100, 1281])
def test_the_background_has_one_value_per_bin_whatever_their_number(bins):
    amplitude = np.full((2, bins), 3.0, np.float32)
    background = spectrum.background(amplitude)
    assert background.shape == (2, bins)
    np.testing.assert_allclose(background, background[0, 0], rtol=1e-5)


def test_silence_has_a_background_to_divide_by():
    assert (spectrum.background(np.zeros((1, 100), np.float32)) > 0).all()


def test_peaks_are_local_maxima_above_the_limit_and_past_the_start():
    prominence = np.array([9, 1, 6, 1, 7, 7, 1, 4, 1, 8], np.float32)
    assert spectrum.peaks(prominence, at_least=5.0, start=1).tolist() == [2, 4]
    assert spectrum.peaks(prominence, at_least=5.0, start=3).tolist() == [4]


def test_the_largest_nearby_and_nothing_beyond_the_end():
    values = np.array([[0, 5, 1, 2, 9]], np.float32)
    near = spectrum.near(values, np.array([2.4, 4.0, 7.0, -3.0]))
    assert near.tolist() == [[5.0, 9.0, 0.0, 0.0]]
    assert spectrum.near(values, np.array([2.4]), reach=2).tolist() == [[9.0]]
