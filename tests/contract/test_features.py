import numpy as np
import pytest

from contract.ops import features

RATE_HZ = 25_600.0
T = np.arange(2560) / RATE_HZ


def tone(hz, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * hz * T)


def test_subband_energies_find_a_tone_and_add_up_to_the_variance():
    x = np.column_stack([tone(1_930.0, 2.0), tone(12_700.0, 1.0)]).astype(np.float32)
    x += np.float32(5.0)
    energies = features.subband_energies(x)
    assert energies.shape == (2, 100)
    assert energies.dtype == np.float32
    # bands of 128 Hz: (1920, 2048] is the sixteenth, and the last one ends at the Nyquist frequency
    assert energies.argmax(axis=1).tolist() == [15, 99]
    np.testing.assert_allclose(energies.sum(axis=1), [2.0, 0.5], rtol=1e-4)


@pytest.mark.parametrize("samples", [2560, 2561])
def test_subband_energies_of_noise_add_up_to_its_variance(samples):
    x = np.random.default_rng(0).normal(size=(samples, 2)).astype(np.float32)
    np.testing.assert_allclose(features.subband_energies(x).sum(axis=1), x.var(axis=0), rtol=1e-4)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="150 samples are too few for 100 bands; need 200"):
        features.subband_energies(np.zeros((150, 1), np.float32))


def test_kurtosis_of_known_signals():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=200_000), np.sin(np.arange(200_000) * 0.1)])
    found = features.kurtosis((x + 3.0).astype(np.float32))
    np.testing.assert_allclose(found, [3.0, 1.5], atol=0.05)
    impulse = np.zeros((1000, 1), np.float32)
    impulse[17] = 1e-3
    assert features.kurtosis(impulse)[0] == pytest.approx(1000, rel=0.01)
    assert features.kurtosis(np.zeros((1000, 1), np.float32))[0] == 0.0


def test_velocity_rms_of_a_tone_is_acceleration_over_angular_frequency():
    inside = tone(100.0, 10.0)
    x = np.column_stack([inside, inside + tone(5_000.0, 50.0)]).astype(np.float32)
    found = features.velocity_rms(x, rate_hz=RATE_HZ)
    expected = 10.0 / np.sqrt(2) / (2 * np.pi * 100.0)
    np.testing.assert_allclose(found, [expected, expected], rtol=1e-3)


def test_robust_scaling():
    rows = np.array(
        [[1.0, 5.0, 0.0], [2.0, 5.0, 0.0], [3.0, 5.0, 0.0], [4.0, 5.0, 0.0], [99, 5, 8]]
    )
    centre, spread = features.robust_scale(rows)
    np.testing.assert_allclose(centre, [3.0, 5.0, 0.0])
    # by hand: deviations 2 1 0 1 96; none at all; four of 0 and one of 8, so their mean
    np.testing.assert_allclose(spread, [1.0, np.inf, 1.6])
    np.testing.assert_allclose(
        features.robust_z(np.array([[5.0, 7.0, 3.2]]), centre, spread), [[2, 0, 2]]
    )
