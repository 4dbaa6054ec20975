"""A sensor's own alert: raised when it is bad for long, cleared when it is good for as long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.trouble import SourceTime, Trouble


def play(looks, *, alert_s=30.0, hop_s=1.0):
    """(second, state, label, refused) of each message for one look a hop."""
    trouble = Trouble(workload="w", alert_s=alert_s, hop_s=hop_s)
    said = []
    for i, reason in enumerate(looks):
        message = trouble.note(i * hop_s, reason)
        if message:
            said.append((i * hop_s, message.state, message.label, message.refused))
    return said


def test_a_few_bad_windows_raise_nothing():
    """A passing truck, a loose hand on the cable."""
    assert play([None] * 100 + ["clipped"] * 10 + [None] * 100) == []


def test_lasting_trouble_raises_once_and_clears_after_as_long_a_calm():
    """With the commonest reason, and how many windows it cost."""
    said = play([None] * 60 + ["stuck"] * 50 + ["clipped"] * 10 + [None] * 60)
    assert [(state, label) for _, state, label, _ in said] == [
        ("raised", "stuck"),
        ("cleared", "stuck"),
    ]
    (raised_s, *_), (cleared_s, *_, refused) = said
    assert 60 + 15 <= raised_s <= 60 + 30
    assert cleared_s == 60 + 60 + 30
    assert refused == 60


def test_a_sensor_that_is_bad_from_the_start_is_told_too():
    """Nothing good has ever come."""
    ((second, state, label, _),) = play(["source_failed"] * 60)
    assert (state, label) == ("raised", "source_failed")
    assert second < 35


def test_trouble_that_comes_and_goes_is_trouble():
    """Every second window: a broken cable on a shaking machine; it must be calm to clear."""
    said = play((["stuck", "stuck", None] * 40) + [None] * 40)
    assert [state for _, state, *_ in said] == ["raised", "cleared"]


def test_a_rare_window_looks_back_on_three_hops_at_least():
    """One bad snapshot every ten minutes is no proof."""
    assert play([None, "stuck", None, None], alert_s=30.0, hop_s=600.0) == []
    said = play([None] + ["stuck"] * 4, alert_s=30.0, hop_s=600.0)
    assert [state for _, state, *_ in said] == ["raised"]


def test_an_alert_raised_before_a_restart_is_cleared_after_it():
    """And not raised a second time."""
    before = Trouble(workload="w", alert_s=30.0, hop_s=1.0)
    for second in range(60):
        before.note(float(second), "stuck")
    after = Trouble(workload="w", alert_s=30.0, hop_s=1.0)
    after.resume(before.state())
    said = [after.note(float(second), "stuck" if second < 40 else None) for second in range(100)]
    assert [(m.state, m.label) for m in said if m] == [("cleared", "stuck")]
    assert Trouble(workload="w", alert_s=30.0, hop_s=1.0).state() == b""


@given(st.lists(st.sampled_from([None, "a", "b"]), max_size=300), st.floats(1.0, 60.0))
def test_raised_and_cleared_take_turns(looks, alert_s):
    """Never two of a kind, and none without a look that is bad."""
    states = [state for _, state, *_ in play(looks, alert_s=alert_s)]
    assert states == (["raised", "cleared"] * len(states))[: len(states)]
    assert any(looks) or not states


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        # live: its own clock and ours go alike
        ([(10.0, 0.0), (11.0, 1.0), (12.0, 2.0)], [0.0, 1.0, 2.0]),
        # recorded, a hundred times as fast
        ([(10.0, 0.0), (10.1, 10.0), (10.2, 20.0)], [0.0, 10.0, 20.0]),
        # nothing comes for a while, then it begins anew
        ([(10.0, 5.0), (12.0, None), (13.0, 0.0), (14.0, 1.0)], [0.0, 2.0, 3.0, 4.0]),
    ],
)
def test_time_goes_on_whatever_the_source_does(calls, seconds):
    """Recorded time where there is some, ours else; never back."""
    time = SourceTime()
    assert [time.at(mono_s, t_s) for mono_s, t_s in calls] == pytest.approx(seconds)
