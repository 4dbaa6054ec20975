"""Tables of parts through the policy of a line."""

from __future__ import annotations

import math

import pytest
from fakes import POINT
from hypothesis import given
from hypothesis import strategies as st

from contract import messages
from contract.drift import Drifted
from contract.inspection import OUTCOMES, PASS, REJECT, REVIEW, Part
from contract.inspection_policy import EachPart
from contract.messages import Address, Alert, Reading, Stamp
from contract.spec import Detection

P, R, V = PASS, REJECT, REVIEW


def policy(k=3, n=5, calm=4):
    return EachPart(POINT, workload="inspection", k=k, n=n, calm=calm)


def alerts(parts, *, each=None):
    """(number of the part, state, level, label) of every alert."""
    each = each or policy()
    said = []
    for number, label in enumerate(parts, 1):
        reading, *rest = each.update((Part(label, score=0.7, reason="a scratch"),), number)
        assert isinstance(reading, Reading)
        assert (reading.label, reading.part) == (label, number)
        said += [(number, one.state, one.level, one.label) for one in rest]
    return said


RAISED, ALARM = ("raised", "notice", R), ("raised", "alarm", R)
OVER, CALM = ("cleared", "notice", R), ("cleared", "alarm", R)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([P] * 30, [], id="good parts say nothing"),
        pytest.param([P, R], [(2, *RAISED)], id="a reject is a notice"),
        pytest.param([R, P, P, R, P, P], [(1, *RAISED)], id="once, while it is raised"),
        pytest.param([R, R, R], [(1, *RAISED), (3, *ALARM)], id="three in a row"),
        pytest.param([R, P, R, P, R], [(1, *RAISED), (5, *ALARM)], id="three of five"),
        pytest.param([R, P, P, R, P, R], [(1, *RAISED)], id="three of six are no alarm"),
        pytest.param([R] * 50, [(1, *RAISED), (3, *ALARM)], id="a run of rejects does not flood"),
        pytest.param([R, P, P, P, P], [(1, *RAISED), (5, *OVER)], id="over after four good ones"),
        pytest.param([R, P, P, P], [(1, *RAISED)], id="not before"),
        pytest.param(
            [R, R, R, P, P, P, P],
            [(1, *RAISED), (3, *ALARM), (7, *OVER), (7, *CALM)],
            id="both are over at once",
        ),
        pytest.param(
            [R, P, P, P, P, R], [(1, *RAISED), (5, *OVER), (6, *RAISED)], id="and may come again"
        ),
        pytest.param([V] * 20, [], id="what a person decides is no reject"),
        pytest.param([R, P, P, V, P, P], [(1, *RAISED), (6, *OVER)], id="nor does it count"),
        pytest.param([R, V, R, V, R], [(1, *RAISED), (5, *ALARM)], id="neither way"),
        pytest.param([P, "refused"], [(2, *RAISED)], id="what was not looked at did not pass"),
    ],
)
def test_what_a_line_is_told(parts, expected):
    assert alerts(parts) == expected


def test_a_reading_says_all_that_is_known_of_a_part():
    part = Part(
        R, score=0.9, threshold=0.6, reason="a scratch " * 60, sizes={"w_px": 3.5, "h_px": math.nan}
    )
    reading, alert = policy().update((part,), 0)
    assert isinstance(reading, Reading)
    assert isinstance(alert, Alert)
    assert (reading.score, reading.threshold, reading.sizes) == (0.9, 0.6, {"w_px": 3.5})
    assert alert.text.startswith("Part 1: a scratch")
    assert (alert.hits, alert.of, alert.threshold) == (1, 1, 0.6)
    for body in (reading, alert):  # and every message is one that its receiver takes
        address = Address("vedette", "d", "line")
        stamp = Stamp(ts_ns=1, mono_ns=1, boot_id="b", seq=1, clock_synced=True)
        sent = messages.encode(body, address, stamp)
        assert messages.decode(sent.topic, sent.payload, prefix="vedette").body == body


def test_without_one_of_its_own_a_part_is_judged_by_the_operating_point():
    (reading,) = policy().update((Part(P, score=0.1),), 0)
    assert isinstance(reading, Reading)
    assert reading.threshold == POINT.threshold


def drifts(scores, *, label="focus", each=None):
    """(window, state) of every alert about what drifts."""
    each = each or policy()
    said = []
    for number, score in enumerate(scores):
        drift = Drifted(label, score=score, level="notice", threshold=0.5, text="as it is")
        _, *rest = each.update((Part(P), drift), number)
        assert all(one.label == label and one.level == "notice" for one in rest)
        assert all((one.text == "as it is") == (one.state == "raised") for one in rest)
        said += [(number, one.state) for one in rest]
    return said


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([0.1, 0.49, 0.2], [], id="as it was"),
        pytest.param([0.1, 0.5, 0.9, 0.9], [(1, "raised")], id="told once"),
        pytest.param([0.6, 0.1, 0.1, 0.1, 0.1], [(0, "raised"), (4, "cleared")], id="over"),
        pytest.param([0.6, 0.1, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1], [(0, "raised")], id="not flapping"),
    ],
)
def test_drift_is_raised_once_and_cleared_once(scores, expected):
    assert drifts(scores) == expected


def test_each_kind_of_drift_has_its_own_alert():
    each = policy()
    found = tuple(
        Detection(label, score=1.0, level="notice", threshold=0.5)
        for label in ("lighting", "focus", "position", "scores")
    )
    _, *raised = each.update((Part(P), *found), 0)
    assert [one.label for one in raised] == ["lighting", "focus", "position", "scores"]
    # whoever shows one state a level tells them apart by it
    assert [one.visit for one in raised] == [one.label for one in raised]
    for number in range(4):
        (_, *over) = each.update((Part(P), Detection("focus", threshold=0.5)), number)
    assert [(one.label, one.state) for one in over] == [("focus", "cleared")]


@given(st.lists(st.sampled_from(OUTCOMES), max_size=60), st.integers(0, 60))
def test_a_restart_changes_nothing(parts, at):
    whole = alerts(parts)
    before, after = policy(), policy()
    said = alerts(parts[:at], each=before)
    after.resume(before.state())
    for number, label in enumerate(parts[at:], at + 1):
        reading, *rest = after.update((Part(label, score=0.7),), number)
        assert reading.part == number
        said += [(number, one.state, one.level, one.label) for one in rest if at < number]
    assert said == whole


@given(st.lists(st.sampled_from(OUTCOMES), max_size=200))
def test_whatever_comes_each_level_is_raised_and_cleared_in_turn(parts):
    for level in ("notice", "alarm"):
        states = [state for _, state, of, _ in alerts(parts) if of == level]
        assert states == ["raised", "cleared"] * (len(states) // 2) + ["raised"] * (len(states) % 2)
