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


def test_bursts_are_found_in_their_band_and_at_their_rate():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, (2560, 2)).astype(np.float32)
    for start in range(37, 2560 - 60, 213):  # 120 blows a second that ring at 8 kHz
        ring = np.arange(60) / RATE_HZ
        x[start : start + 60, 1] += np.exp(-ring * 2000) * np.sin(2 * np.pi * 8_000 * ring)
    quiet, hit = features.burst_figures(x)
    assert hit[0] > quiet[0] + 1.0
    # the middle of the band lies near 8 kHz of 12.8 kHz
    assert 0.5 < hit[1] < 0.75
    assert hit[3] > quiet[3] + 0.5


def test_level_and_shape_is_one_row_in_logarithms():
    x = np.random.default_rng(0).normal(size=(2560, 2)).astype(np.float32)
    one = features.level_and_shape(x, rate_hz=RATE_HZ).reshape(2, 40)
    louder = features.level_and_shape(x * np.float32(np.e), rate_hz=RATE_HZ).reshape(2, 40)
    # e times the signal is one more in the logarithm: levels rise by 1, shapes stay
    levels = [*range(32), 36, 39]
    np.testing.assert_allclose((louder - one)[:, levels], 1.0, atol=1e-3)
    np.testing.assert_allclose(np.delete(louder - one, levels, axis=1), 0.0, atol=1e-3)


@pytest.mark.parametrize("samples", [100, 253])
def test_a_window_too_short_for_envelopes_is_refused(samples):
    x = np.random.default_rng(0).normal(size=(samples, 1)).astype(np.float32)
    with pytest.raises(ValueError, match=f"{samples} samples are too few to demodulate"):
        features.burst_figures(x)


def test_published_is_all_channels_one_after_another():
    x = np.random.default_rng(0).normal(size=(2560, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        features.published(x).reshape(3, 100), features.subband_energies(x)
    )
