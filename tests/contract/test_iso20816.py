"""Velocity and zones against values worked out by hand."""

import numpy as np
import pytest

from contract import iso20816

RATE_HZ = 12_800.0


def acceleration(hz, velocity_mm_s, *, seconds=1.0, rate_hz=RATE_HZ):
    """(samples, 1) float32 m/s^2 of a sine with a given velocity in mm/s RMS."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    peak = velocity_mm_s / 1e3 * np.sqrt(2) * 2 * np.pi * hz
    return (peak * np.sin(2 * np.pi * hz * t + 0.7)).astype(np.float32)[:, None]


@pytest.mark.parametrize("hz", [14.3, 29.95, 100.0, 512.7, 950.0])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0])
def test_a_sine_has_the_velocity_it_was_made_with(hz, seconds):
    x = acceleration(hz, 4.5, seconds=seconds)
    got = iso20816.velocity_rms(x, rate_hz=RATE_HZ, unit="m/s^2")
    assert got == pytest.approx(4.5, rel=0.03)


def test_what_lies_outside_the_band_does_not_count():
    x = acceleration(2000.0, 50.0) + acceleration(3.0, 5.0) + acceleration(100.0, 1.0)
    got = iso20816.velocity_rms(x, rate_hz=RATE_HZ, unit="m/s^2")
    assert got == pytest.approx(1.0, rel=0.03)
    slow = iso20816.velocity_rms(
        np.tile(x, (3, 1)), rate_hz=RATE_HZ, unit="m/s^2", from_hz=iso20816.lowest_hz(120.0)
    )
    assert slow == pytest.approx(np.hypot(5.0, 1.0), rel=0.05)


def test_g_are_converted_and_an_offset_does_not_matter():
    x = acceleration(50.0, 2.0)
    got = iso20816.velocity_rms(x / np.float32(9.80665) + 1.0, rate_hz=RATE_HZ, unit="g")
    assert got == pytest.approx(2.0, rel=0.01)


def test_each_channel_has_its_own():
    x = np.column_stack([acceleration(50.0, 2.0), acceleration(50.0, 6.0)])
    got = iso20816.velocity_rms(x, rate_hz=RATE_HZ, unit="m/s^2")
    np.testing.assert_allclose(got, [2.0, 6.0], rtol=0.01)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "from_hz", "said"),
    [
        (2560, 25_600.0, 10.0, "too short for 10 Hz; fix: windows of 0.5 s"),
        (25_600, 25_600.0, 2.0, "too short for 2 Hz; fix: windows of 2.5 s"),
        (2000, 2000.0, 10.0, "do not reach 1000 Hz; fix: sample at 2500"),
    ],
)
def test_no_number_where_it_would_be_wrong(samples, rate_hz, from_hz, said):
    x = np.zeros((samples, 1), np.float32)
    with pytest.raises(ValueError, match=said):
        iso20816.velocity_rms(x, rate_hz=rate_hz, unit="g", from_hz=from_hz)


@pytest.mark.parametrize(
    ("velocity", "iso_class", "zone"),
    [
        (1.4, "2-rigid", "A"),
        (1.5, "2-rigid", "B"),
        (2.9, "2-rigid", "C"),
        (4.6, "2-rigid", "D"),
        (4.6, "1-rigid", "C"),
        (4.6, "1-flexible", "B"),
        (7.2, "2-flexible", "D"),
        (0.7, "I", "A"),
        (2.0, "II", "B"),
        (11.3, "III", "D"),
        (11.3, "IV", "C"),
    ],
)
def test_zones_are_those_of_the_standard(velocity, iso_class, zone):
    assert iso20816.zone(velocity, iso_class) == zone


def test_limits_rise():
    for limits in iso20816.LIMITS_MM_S.values():
        assert list(limits) == sorted(set(limits))


def test_slow_machines_are_measured_from_two_hz():
    assert iso20816.lowest_hz(None) == iso20816.lowest_hz(600.0) == 10.0
    assert iso20816.lowest_hz(599.0) == 2.0


def test_an_unknown_class_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"no iso_class '5'; fix: one of 1-rigid, .*IV"):
        iso20816.zone(1.0, "5")
