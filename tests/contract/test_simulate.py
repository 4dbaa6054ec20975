"""The simulated machine: the same every time, healthy until its onset, worse after."""

from __future__ import annotations

import numpy as np
import pytest

from contract.ops.simulate import RunToFailure


def kurtosis(x: np.ndarray) -> float:
    """Fourth moment over the squared second; 3 for Gaussian noise."""
    centred = x - x.mean(axis=0)
    return float((np.mean(centred**4, axis=0) / np.mean(centred**2, axis=0) ** 2).mean())


def test_the_same_seed_gives_the_same_life_and_another_seed_another():
    """Numbers in reports can be made again."""
    first, again, other = (RunToFailure(seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.window(17), again.window(17))
    assert not np.array_equal(first.window(17), other.window(17))


def test_a_window_does_not_depend_on_which_were_made_before_it():
    """Any window can be made alone."""
    forwards, backwards = RunToFailure(seed=1, windows=9), RunToFailure(seed=1, windows=9)
    made = {i: forwards.window(i) for i in range(9)}
    for i in reversed(range(9)):
        np.testing.assert_array_equal(made[i], backwards.window(i))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_defect_is_nothing_before_its_onset_and_grows_to_the_end(seed):
    """The known answer that alarms are judged by."""
    machine = RunToFailure(seed=seed, windows=100, onset=0.6)
    heights = np.array([machine.defect(i) for i in range(100)])
    onset = int(np.ceil(0.6 * 99))
    assert not heights[:onset].any()
    assert (np.diff(heights[onset:]) > 0).all()
    assert heights[onset] == pytest.approx(0.5, rel=0.1)
    assert heights[-1] >= 12.0


def test_load_steps_are_there_before_the_onset_and_stay_within_their_limits():
    """Distractors: a step is not a fault."""
    for seed in range(5):
        machine = RunToFailure(seed=seed, windows=200, onset=0.9)
        loads = np.array([machine.load(i) for i in range(180)])
        assert len(set(loads)) >= 3
        assert loads.min() >= 0.75
        assert loads.max() <= 1.35


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_signal_becomes_impulsive_only_with_the_defect(seed):
    """Kurtosis, the classical measure, sees what was put in."""
    machine = RunToFailure(seed=seed, windows=60)
    healthy = np.median([kurtosis(machine.window(i)) for i in range(0, 35, 5)])
    late = np.median([kurtosis(machine.window(i)) for i in range(55, 60)])
    assert healthy < 4.5
    assert late > healthy + 1.0


def test_shape_type_and_channels_are_as_asked():
    """As a sensor would give them."""
    x = RunToFailure(seed=1, windows=3, samples=700, rate_hz=8000.0, channels=3).window(2)
    assert (x.shape, x.dtype) == ((700, 3), np.float32)
    assert np.isfinite(x).all()


def test_a_life_of_one_window_has_no_division_by_zero():
    """The shortest life."""
    machine = RunToFailure(seed=1, windows=1)
    assert machine.defect(0) == 0.0
    assert machine.window(0).shape == (2560, 2)
