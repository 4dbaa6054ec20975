"""Demodulation: the envelope's lines are where they were put, the band where the bursts are."""

import numpy as np
import pytest
import vibration

from contract.ops import envelope, spectrum
from contract.ops.envelope import Band

RATE_HZ, SAMPLES = 25_600, 25_600


def transformed(x):
    return spectrum.transform(spectrum.centred(x[:, None].astype(np.float32)))[0]


def modulated(carrier_hz, rate_hz, depth=0.5):
    t = np.arange(SAMPLES) / RATE_HZ
    return (1 + depth * np.cos(2 * np.pi * rate_hz * t)) * np.sin(2 * np.pi * carrier_hz * t)


@pytest.mark.parametrize("band", [Band(2000, 4000), Band(1, 12_801), Band(2500, 3501)])
def test_the_envelope_of_a_modulated_sine_has_the_depth_of_its_modulation(band):
    lines = envelope.envelope_spectrum(transformed(modulated(3000, 120)), band)
    assert lines.shape == ((band.high - band.low) // 2,)
    assert int(lines.argmax()) == 120
    assert lines[120] == pytest.approx(0.5, rel=0.01)


def test_a_band_beside_the_carrier_shows_nothing():
    lines = envelope.envelope_spectrum(transformed(modulated(3000, 120)), Band(6000, 9000))
    assert lines.max() < 1e-3


def test_the_analytic_signal_has_the_samples_magnitude():
    z = envelope.analytic(transformed(3 * modulated(3000, 120, depth=0.0)), Band(2000, 4000))
    np.testing.assert_allclose(np.abs(z)[50:-50], 3.0, rtol=0.01)


def test_windows_and_channels_are_carried_along():
    many = np.zeros((4, 2, 1281), np.complex64)
    assert envelope.envelope_spectrum(many, Band(100, 500)).shape == (4, 2, 200)
    assert envelope.spectral_kurtosis(many, Band(100, 500)).shape == (4, 2)


def test_kurtosis_is_zero_for_noise_and_negative_for_a_sine():
    noise = transformed(np.random.default_rng(0).normal(size=SAMPLES))
    assert envelope.spectral_kurtosis(noise, Band(2000, 6000)) == pytest.approx(0.0, abs=0.1)
    sine = transformed(modulated(3000, 120, depth=0.0))
    assert envelope.spectral_kurtosis(sine, Band(2000, 6000)) == pytest.approx(-1.0, abs=0.01)


def test_ends_that_do_not_meet_are_no_blow():
    noise = 0.003 * np.random.default_rng(0).normal(size=SAMPLES)
    ramp, band = transformed(np.linspace(0, 1, SAMPLES) + noise), Band(9600, 12_801)
    power = np.abs(envelope.analytic(ramp, band)) ** 2
    assert np.mean(power**2) / np.mean(power) ** 2 > 20  # the step is there
    assert envelope.spectral_kurtosis(ramp, band) < 0.5


@pytest.mark.parametrize("resonance_hz", [1800.0, 3000.0, 7000.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_burstiest_band_is_the_one_that_rings(seed, resonance_hz):
    rng = np.random.default_rng(seed)
    x = 0.1 * rng.normal(size=SAMPLES)
    x += vibration.blows(rng, rate_of_blows_hz=30.0, resonance_hz=resonance_hz)
    best, kurtosis = envelope.burstiest(transformed(x), envelope.bands(12_801, widest=0.34))
    low_hz, high_hz = best.hz(1.0)
    assert low_hz <= resonance_hz <= high_hz
    assert kurtosis > 5.0


def test_bands_tile_each_level_of_the_tree_and_are_wide_enough():
    made = envelope.bands(12_801)
    assert made[0] == Band(1, 12_801)
    assert len(made) == sum((1, 2, 3, 4, 6, 8, 12, 16))
    assert made[1].high == made[2].low
    assert all(band.high - band.low >= 64 for band in envelope.bands(400))
    assert envelope.bands(12_801, widest=0.1)[0].high - 1 <= 1280
