"""New lines, and the family each belongs to: the base is named, not one of its multiples."""

import numpy as np
import pytest

from contract.families import families
from contract.lines import new_lines

BINS = 4000


def noise(rng, *, level=1.0):
    """(bins,) amplitudes as noise has them."""
    return (level * rng.rayleigh(size=BINS)).astype(np.float32)


def put(amplitude, hz, height):
    """A line through a Hann window, 1 Hz bins."""
    at = np.arange(BINS) - hz
    shape = np.sinc(at) / np.where(np.abs(np.abs(at) - 1) < 1e-9, 1.0, 1 - at**2)
    shape[np.abs(np.abs(at) - 1) < 1e-9] = 0.5
    return amplitude + np.float32(height) * np.abs(shape).astype(np.float32)


def with_lines(rng, heights, *, level=1.0):
    amplitude = noise(rng, level=level)
    for hz, height in heights.items():
        amplitude = put(amplitude, hz, height)
    return amplitude


def healthy(rng, heights=(), *, windows=16, level=1.0):
    return np.stack([with_lines(rng, dict(heights), level=level) for _ in range(windows)])


@pytest.mark.parametrize("seed", range(5))
def test_noise_like_the_healthy_one_has_no_new_lines(seed):
    rng = np.random.default_rng(seed)
    before = healthy(rng, {100.0: 50.0})
    for _ in range(10):
        assert new_lines(with_lines(rng, {100.3: 55.0}), before, bin_hz=1.0) == []


@pytest.mark.parametrize("seed", range(5))
def test_what_is_louder_as_a_whole_has_no_new_lines(seed):
    rng = np.random.default_rng(seed)
    before = healthy(rng, {100.0: 50.0})
    assert new_lines(with_lines(rng, {100.0: 90.0}, level=1.8), before, bin_hz=1.0) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_new_line_is_told_between_the_bins_with_its_growth(seed):
    rng = np.random.default_rng(seed)
    (line,) = new_lines(with_lines(rng, {118.4: 40.0}), healthy(rng), bin_hz=1.0)
    assert line.hz == pytest.approx(118.4, abs=0.1)
    assert line.ratio > 8
    assert not line.was_there


def test_a_line_that_has_grown_is_told_by_how_much():
    rng = np.random.default_rng(0)
    (line,) = new_lines(with_lines(rng, {118.0: 120.0}), healthy(rng, {118.0: 30.0}), bin_hz=1.0)
    assert line.ratio == pytest.approx(4.0, rel=0.1)
    assert line.was_there


def test_a_line_that_has_wandered_with_the_load_is_not_new():
    rng = np.random.default_rng(0)
    assert (
        new_lines(with_lines(rng, {1007.0: 50.0}), healthy(rng, {1000.0: 50.0}), bin_hz=1.0) == []
    )


def test_without_healthy_windows_every_line_counts_and_has_no_ratio():
    rng = np.random.default_rng(0)
    (line,) = new_lines(with_lines(rng, {118.4: 40.0}), np.empty((0, BINS), np.float32), bin_hz=1.0)
    assert line.ratio is None


def family(heights, *, seed=0, shaft_hz=None, expected_hz=()):
    rng = np.random.default_rng(seed)
    now = with_lines(rng, heights)
    lines = new_lines(now, healthy(rng), bin_hz=1.0)
    return families(lines, now, bin_hz=1.0, shaft_hz=shaft_hz, expected_hz=expected_hz)


@pytest.mark.parametrize("seed", range(5))
def test_multiples_are_one_family_named_by_its_base(seed):
    found = family({107.4 * k: 60.0 / k for k in range(1, 6)}, seed=seed)
    assert found[0].base.hz == pytest.approx(107.4, abs=0.15)
    assert found[0].multiples[:3] == (1, 2, 3)
    assert found[0].is_row
    assert len(found) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_base_is_named_though_its_third_multiple_is_the_strongest(seed):
    found = family({107.4: 12.0, 214.8: 20.0, 322.2: 80.0, 429.6: 15.0}, seed=seed)
    assert found[0].base.hz == pytest.approx(107.4, abs=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_a_base_too_weak_to_be_a_line_is_known_by_its_multiples(seed):
    found = family({107.4: 5.0, 214.8: 40.0, 322.2: 40.0, 429.6: 30.0}, seed=seed)
    assert found[0].base.hz == pytest.approx(107.4, abs=0.2)


def test_a_line_alone_is_not_taken_for_a_multiple():
    (one,) = family({322.2: 40.0})
    assert one.base.hz == pytest.approx(322.2, abs=0.1)
    assert one.multiples == (1,)
    assert not one.is_row


@pytest.mark.parametrize("shaft_hz", [None, 29.95])
def test_lines_beside_multiples_are_told_by_their_distance(shaft_hz):
    base, apart = 162.2, 29.95
    heights = {base: 60.0, 2 * base: 40.0, 3 * base: 20.0}
    heights |= {k * base + side * apart: 25.0 for k in (1, 2) for side in (-1, 1)}
    found = family(heights, shaft_hz=shaft_hz)
    assert found[0].base.hz == pytest.approx(base, abs=0.15)
    assert found[0].beside_hz == pytest.approx(apart, abs=0.3)
    assert len(found) == 1


def test_two_rates_are_two_families():
    heights = {107.4 * k: 60.0 for k in (1, 2, 3)} | {163.1 * k: 30.0 for k in (1, 2, 3)}
    first, second = family(heights)
    assert first.base.hz == pytest.approx(107.4, abs=0.15)
    assert second.base.hz == pytest.approx(163.1, abs=0.15)


def test_a_known_fault_frequency_is_preferred_to_a_submultiple_of_it():
    heights = {81.1 * k: 12.0 for k in range(1, 8)} | {162.2 * k: 60.0 for k in (1, 2, 3)}
    assert family(heights)[0].base.hz == pytest.approx(81.1, abs=0.15)
    expected = family(heights, shaft_hz=29.95, expected_hz=(107.4, 162.0))
    assert expected[0].base.hz == pytest.approx(162.2, abs=0.2)


def test_no_lines_are_no_family():
    assert families([], np.ones(100, np.float32), bin_hz=1.0, shaft_hz=None) == []
