"""Tables of timings through the rejector's schedule: milliseconds on a clock of its own."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.rejector import RejectorConfig, Schedule

_MS = 1_000_000


def config(**more):
    table = {"chip": "/dev/gpiochip0", "line": 22, "deadline_ms": 100, "pulse_ms": 50, **more}
    return msgspec.convert(table, RejectorConfig)


def pulses(parts, *, until=1000, **more):
    """(from, to) of every stretch with the output energised.

    Args:
        parts: trigger, decision time or None, whether it may pass; each in ms.
    """
    schedule = Schedule(config(**more))
    events = [(trigger, 0, trigger, False) for trigger, *_ in parts]
    events += [(at, 1, trigger, passes) for trigger, at, passes in parts if at is not None]
    found, on_since, now = [], None, 0
    for at, is_decision, trigger, passes in [*sorted(events), (until, 2, 0, False)]:
        while (due := schedule.next_ns(now * _MS)) is not None and due < at * _MS:
            now = due / _MS
            on_since = _note(found, on_since, now, is_on=schedule.is_energised(due))
        now = at
        if is_decision == 1:
            schedule.decide(trigger * _MS, may_pass=passes, now_ns=at * _MS)
        elif is_decision == 0:
            schedule.add(trigger * _MS)
        on_since = _note(found, on_since, now, is_on=schedule.is_energised(at * _MS))
    assert on_since is None
    return found


def _note(found, on_since, now, *, is_on):
    if is_on and on_since is None:
        return now
    if not is_on and on_since is not None:
        found.append((on_since, now))
        return None
    return on_since


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([(0, 40, True)], [(100, 150)], id="a good part in time"),
        pytest.param([(0, 40, False)], [], id="a reject"),
        pytest.param([(0, None, True)], [], id="no decision"),
        pytest.param([(0, 100, True)], [(100, 150)], id="just in time"),
        pytest.param([(0, 101, True)], [], id="too late"),
        pytest.param([(0, 40, True), (200, 240, True)], [(100, 150), (300, 350)], id="two"),
        pytest.param([(0, 90, True), (30, 95, False)], [(100, 130)], id="a reject shuts the gate"),
        pytest.param([(0, 90, False), (30, 95, True)], [(150, 180)], id="until it has gone by"),
        pytest.param([(0, 90, True), (30, None, True)], [(100, 130)], id="so does no decision"),
        pytest.param([(0, 90, True), (30, 95, True)], [(100, 180)], id="two good ones together"),
        pytest.param([(0, 95, True), (30, 60, False)], [(100, 130)], id="decided out of order"),
        pytest.param([(0, 40, False), (0, 40, True)], [], id="the first word counts"),
    ],
)
def test_a_gate_that_opens_for_good_parts(parts, expected):
    assert pulses(parts) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([(0, 40, True)], [], id="a good part in time"),
        pytest.param([(0, 40, False)], [(100, 150)], id="a reject"),
        pytest.param([(0, None, True)], [(100, 150)], id="no decision"),
        pytest.param([(0, 101, True)], [(100, 150)], id="too late"),
        pytest.param([(0, 90, True), (30, 95, False)], [(130, 180)], id="its own pulse"),
        pytest.param([(0, 90, False), (30, 95, True)], [(100, 150)], id="is never cut short"),
    ],
)
def test_a_jet_that_blows_at_rejects(parts, expected):
    assert pulses(parts, energised="reject") == expected


def test_the_pulse_comes_when_the_part_is_at_the_gate():
    assert pulses([(0, 40, True)], delay_ms=400) == [(400, 450)]
    assert pulses([(0, 150, True)], delay_ms=400) == []  # though there would be time


def test_a_part_nobody_announced_is_not_passed():
    assert not Schedule(config()).decide(0, may_pass=True, now_ns=1)


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.none() | st.integers(0, 140), st.booleans()), max_size=12
    )
)
def test_the_gate_is_never_open_for_a_part_that_did_not_earn_it(parts):
    """Whatever comes: no moment of an energised output belongs to a part that may not pass."""
    at, table = 0, []
    for gap, took, passes in parts:
        at += gap
        table.append((at, None if took is None else at + took, passes))
    for start, end in pulses(table, until=10_000):
        for trigger, decided, passes in table:
            earned = passes and decided is not None and decided <= trigger + 100
            if not earned:
                assert end <= trigger + 100 or start >= trigger + 150


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"delay_ms": 99}, "delay_ms = 99 is before deadline_ms = 100"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"energised": "both"}, "energised"),
        ({"chip": "gpiochip0"}, "chip"),
        ({"line": -1}, "line"),
        ({"lines": 3}, "lines"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(more, why):
    with pytest.raises(msgspec.ValidationError, match=why):
        config(**more)
