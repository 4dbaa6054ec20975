"""Surrogate healthy lives: silent for a silent machine, the same for the same seed, as long as
promised, and drifting as the machine did."""

from dataclasses import replace

import numpy as np
import pytest

from contract.spec import Detection, OperatingPoint
from contract.workloads.machine_condition import N_BANDS, WORKLOAD
from training import surrogates
from training.datasets import Recording
from training.watch import Seen, judge

SCALES = {"spectrum": 1.0, "impulses": 0.2, "level": float(np.log(2.5)), "novelty": 1.5}
POINT = OperatingPoint(1.0, 0.8, "", {}, SCALES)
# twice the noise of the level's median over two minutes
NERVOUS = OperatingPoint(1.0, 0.99, "", {}, dict.fromkeys(SCALES, 1e9) | {"level": 0.13})
WINDOWS, LEARN, HOP_S = 300, 250, 10


def seen():
    """A machine of noise, as after the last stage."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0.0, 0.15, (WINDOWS, 2, N_BANDS + 2)).astype(np.float32)
    life = (np.arange(1, WINDOWS + 1) / WINDOWS).astype(np.float32)
    made = Recording("m", "made", life, LEARN, None, "", lambda _i: None)
    found = tuple(tuple(Detection("channel", vector=one) for one in row) for row in rows)
    times = tuple(i * HOP_S * 10**9 for i in range(WINDOWS))
    return Seen(made, times, found, {})


def alerts(point=POINT, hours=5.0, seed=1):
    return surrogates.alerts(WORKLOAD, seen(), [point], hours=hours, seed=seed)[0]["notice"]


def test_a_silent_machine_is_silent_for_longer_than_it_was_learned():
    assert alerts() == 0


def test_with_thresholds_within_the_noise_there_are_many():
    """Each is cleared in between, or there could be two at most."""
    assert alerts(NERVOUS) > 2


def test_a_threshold_below_the_noise_is_reached_once_and_never_left():
    assert alerts(OperatingPoint(0.01, 0.001, "", {}, SCALES), hours=1.0) in {1, 2}


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    counts = [alerts(NERVOUS, seed=seed) for seed in (1, 1, 2, 3)]
    assert counts[0] == counts[1]
    assert len(set(counts)) > 1


def life(rows, hours, seed=1, hop_s=10.0):
    return np.stack(list(surrogates._life(rows, hop_s, hours=hours, seed=seed)))


@pytest.mark.parametrize("learned", [12, 50, 250])
def test_a_life_is_as_long_as_it_was_asked_for(learned):
    """However short the learning period; or the rate of false alarms would be too good."""
    rows = np.random.default_rng(1).normal(size=(learned, 2, 3)).astype(np.float32)
    assert len(life(rows, 10.0)) == pytest.approx(3600, rel=0.02)


def test_a_life_has_the_noise_and_the_drift_of_its_learning_period():
    """Nothing that was not there: the drift is run through forth and back, not on for ever."""
    rows = np.random.default_rng(1).normal(0.0, 0.1, (250, 1, 2)).astype(np.float32)
    rows[:, :, 0] += np.linspace(0, 5, 250)[:, None]
    lived = life(rows, 50.0)
    assert lived[..., 0].min() > -1.0
    assert lived[..., 0].max() < 6.0
    assert np.ptp(lived[..., 0]) > 4.0
    assert lived[..., 1].std() == pytest.approx(0.1, rel=0.2)
    assert np.abs(np.diff(lived[:, 0, 0])).max() < 2.0, "no steps where blocks meet"


def test_what_was_not_measured_stays_unknown():
    """And nothing else becomes so."""
    rows = np.random.default_rng(1).normal(size=(250, 1, 3)).astype(np.float32)
    rows[::5, :, 0] = np.nan
    lived = life(rows, 20.0)
    assert np.isnan(lived[..., 0]).mean() == pytest.approx(0.2, abs=0.02)
    assert np.isfinite(lived[..., 1:]).all()


def test_only_the_learning_period_is_used():
    """What happens later, a fault, is no part of a healthy life."""
    whole = seen()
    faulty = replace(
        whole,
        found=whole.found[:LEARN]
        + tuple(
            tuple(replace(d, vector=d.vector + 9) for d in found) for found in whole.found[LEARN:]
        ),
    )
    counts = [
        surrogates.alerts(WORKLOAD, one, [NERVOUS], hours=2.0, seed=1) for one in (whole, faulty)
    ]
    assert counts[0] == counts[1]
    assert np.nanmax(judge(WORKLOAD, faulty, POINT).scores) > 1, "the fault would be found"
