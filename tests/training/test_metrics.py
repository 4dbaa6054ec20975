import dataclasses
from functools import partial

import numpy as np
import pytest

from contract.policy import Debounce
from contract.spec import Detection, OperatingPoint
from contract.workloads.machine_condition import WORKLOAD
from training.datasets import Recording
from training.metrics import Alarms, auroc, replay, run_to_failure, sqnr_db
from training.watch import Seen, Watched


def recording(windows=20, learn=3):
    life = (np.arange(1, windows + 1) / windows).astype(np.float32)
    return Recording("m", "made", life, learn, None, "", lambda _i: None)


def watched(scores, learn=3):
    """A recording with these scores after learning."""
    made = recording(len(scores) + learn, learn)
    times = tuple(i * 10**10 for i in range(len(made)))
    found = ((),) * learn + tuple((Detection("novelty", score=s),) for s in scores)
    return Watched(Seen(made, times, (), {}), found)


def alarms(raised, learn=3, alarm=()):
    """What was on after each of twenty windows: any level, and level `alarm`."""
    made = recording(20, learn)
    is_alarm = np.isin(np.arange(20), alarm)
    is_raised = np.isin(np.arange(20), raised) | is_alarm
    return Alarms(made, np.arange(20) >= learn, is_raised, is_alarm, int(is_raised.any()))


@pytest.mark.parametrize(
    ("negative", "positive", "area"),
    [([1, 2], [3, 4], 1.0), ([3, 4], [1, 2], 0.0), ([1, 2], [1, 2], 0.5), ([1, 3], [2, 2], 0.5)],
)
def test_auroc(negative, positive, area):
    assert auroc(np.float32(negative), np.float32(positive)) == area


def test_sqnr_of_a_tenth_is_twenty_decibels():
    signal = np.float32([1, -1, 1, -1])
    assert sqnr_db(signal, signal * np.float32(1.1)) == pytest.approx(20.0, abs=1e-3)
    assert sqnr_db(signal, signal) == float("inf")


def test_run_to_failure_by_hand():
    # lives of 20 windows: window i is at (i + 1) / 20; 15-30 % are the windows 3, 4, 5
    early = alarms(range(4, 20), alarm=range(10, 20))  # a false start: two of its three windows
    late = alarms(range(14, 20))
    never = alarms([])
    measured = run_to_failure([early, late, never])
    assert measured == {
        "bearings": 3,
        "found": 2,
        "median_first_alarm_fraction": pytest.approx(1.0),
        "false_alarm_share_15_30": pytest.approx(2 / 9),
        "bearings_with_false_alarm": 1,
        "alarm_level_found": 1,
        "alarm_level_false_bearings": 0,
        "alarm_share_last_5": pytest.approx(2 / 3),
    }
    assert (early.first_alarm, never.first_alarm) == (pytest.approx(0.25), None)
    assert (early.first_of_level, late.first_of_level) == (pytest.approx(0.55), None)
    assert (early.last_share, never.last_share) == (1.0, 0.0)


def test_guessing_early_does_not_pay():
    """A clock that always alarms at a quarter of life finds all, and its median is the worst."""
    honest = run_to_failure([alarms(range(first, 20)) for first in (9, 11, 13)])
    assert honest["median_first_alarm_fraction"] == pytest.approx(0.6)
    clock = run_to_failure([alarms(range(4, 20))] * 3)
    assert clock["found"] == 3
    assert clock["median_first_alarm_fraction"] == 1.0
    cleared = run_to_failure([alarms([4, *range(9, 20)])] * 3)
    assert cleared["median_first_alarm_fraction"] == 1.0, "one window of it is enough"


def test_a_false_start_of_level_alarm_is_counted_apart():
    measured = run_to_failure([alarms([], alarm=[5]), alarms([5]), alarms([], alarm=[6])])
    assert measured["bearings_with_false_alarm"] == 2
    assert measured["alarm_level_false_bearings"] == 1
    assert measured["alarm_level_found"] == 2


def test_an_alarm_while_learning_counts_nowhere():
    assert alarms([4, 5], learn=6).false_alarm_share == 0.0


def two_levels(notices, alarms_, learn=3, hop_s=60):
    """A recording with these scores of each level after learning."""
    made = recording(len(notices) + learn, learn)
    times = tuple(i * hop_s * 10**9 for i in range(len(made)))
    found = ((),) * learn + tuple(
        (Detection("a", score=notice, level="notice"), Detection("b", score=alarm, level="alarm"))
        for notice, alarm in zip(notices, alarms_, strict=True)
    )
    return Watched(Seen(made, times, (), {}), found)


def test_replay_raises_and_clears_by_the_policy():
    notices = [0.5] * 10 + [2.0] * 20 + [0.1] * 30
    alarms_ = [0.5] * 15 + [2.0] * 5 + [0.1] * 40
    found = replay(WORKLOAD, two_levels(notices, alarms_), OperatingPoint(1.0, 0.8, "", {}))
    raised, alarm = np.flatnonzero(found.is_raised), np.flatnonzero(found.is_alarm)
    assert found.times_raised == 2
    assert (raised[0], alarm[0]) == (3 + 10, 3 + 15)
    assert 3 + 20 < alarm[-1] < raised[-1] < 3 + 59, "both are cleared after a calm while"
    assert len(raised) == raised[-1] - raised[0] + 1
    assert not found.is_judged[:3].any()
    assert found.is_judged[3:].all()


def test_an_alarm_without_a_notice_is_a_message_too():
    found = replay(WORKLOAD, two_levels([0.1] * 5, [2.0] * 5), OperatingPoint(1.0, 0.8, "", {}))
    assert found.is_raised[3:].all()
    assert found.is_alarm[3:].all()


DEBOUNCED = dataclasses.replace(
    WORKLOAD, policy=partial(Debounce, workload="machine_condition", k=4, n=6, cooldown_s=600.0)
)
