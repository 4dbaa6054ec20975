import numpy as np
import pytest

from contract.spec import Detection, OperatingPoint
from contract.workloads.machine_condition import WORKLOAD
from training.datasets import Recording
from training.metrics import Alarms, auroc, replay, run_to_failure, sqnr_db
from training.thresholds import silent_threshold
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


def alarms(raised, learn=3):
    """Alarm state after each of twenty windows, on at the numbers given."""
    made = recording(20, learn)
    is_raised = np.isin(np.arange(20), raised)
    return Alarms(made, np.arange(20) >= learn, is_raised, int(is_raised.any()))


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
    early = alarms(range(4, 20))  # a false start: two of its three windows
    late = alarms(range(14, 20))
    never = alarms([])
    measured = run_to_failure([early, late, never])
    assert measured == {
        "bearings": 3,
        "found": 2,
        "median_first_alarm_fraction": pytest.approx(0.75),
        "false_alarm_share_15_30": pytest.approx(2 / 9),
        "bearings_with_false_alarm": 1,
        "median_false_starts_as_1": 1.0,
        "alarm_share_last_5": pytest.approx(2 / 3),
    }
    assert (early.first_alarm, never.first_alarm) == (pytest.approx(0.25), None)


def test_an_alarm_while_learning_counts_nowhere():
    assert alarms([4, 5], learn=6).false_alarm_share == 0.0


def test_replay_raises_and_clears_by_the_policy():
    scores = [0.5] * 10 + [2.0] * 10 + [0.1] * 30
    found = replay(WORKLOAD, watched(scores), OperatingPoint(1.0, 0.8, "", {}))
    on = np.flatnonzero(found.is_raised)
    assert found.times_raised == 1
    assert 3 + 10 < on[0] <= 3 + 20
    assert not found.is_raised[-1]
    assert not found.is_judged[:3].any()


def test_the_silent_threshold_is_the_lowest_that_raises_nothing():
    one = watched([0.1, 0.2] * 10 + [0.9] + [0.1, 0.2] * 10)  # one burst never makes an alarm
    threshold = silent_threshold(WORKLOAD, [one])
    assert threshold == pytest.approx(0.9)
    lasting = watched([0.1] * 10 + [0.7] * 10 + [5.0])
    threshold = silent_threshold(WORKLOAD, [lasting])
    point = OperatingPoint(threshold, threshold, "", {})
    assert replay(WORKLOAD, lasting, point).times_raised == 0
    assert threshold == pytest.approx(5.0)
