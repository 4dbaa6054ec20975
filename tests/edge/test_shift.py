"""Shifts by the local clock, and what is counted in them."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from contract.inspection import PASS, REJECT, REVIEW
from contract.messages import Reading, Shift
from edge.shift import ShiftConfig, Shifts, began

ZURICH = ShiftConfig(starts=["06:00", "14:00", "22:00"], zone="Europe/Zurich")


def ns(text):
    return round(dt.datetime.fromisoformat(text).timestamp() * 1e9)


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-11-23T06:00:00+01:00", "2026-11-23T06:00:00+01:00"),
        ("2026-11-23T05:59:59+01:00", "2026-11-22T22:00:00+01:00"),
        ("2026-11-23T00:10:00+01:00", "2026-11-22T22:00:00+01:00"),
        ("2026-11-23T13:59:59+01:00", "2026-11-23T06:00:00+01:00"),
        ("2026-11-23T13:00:00+00:00", "2026-11-23T14:00:00+01:00"),
        ("2026-07-01T04:30:00+00:00", "2026-07-01T06:00:00+02:00"),
        # the night the clocks go back, and the one they go forward
        ("2026-10-25T05:30:00+01:00", "2026-10-24T22:00:00+02:00"),
        ("2026-03-29T06:30:00+02:00", "2026-03-29T06:00:00+02:00"),
    ],
)
def test_a_shift_begins_by_the_local_clock(now, start):
    assert began(ns(now), ZURICH) == start


def test_without_a_zone_it_is_the_systems():
    now = ns("2026-11-23T13:00:00+00:00")
    local = dt.datetime.fromtimestamp(now / 1e9).astimezone()
    assert began(now, ShiftConfig()) == local.replace(hour=0, minute=0).isoformat()


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"starts": ["24:00"]}, "starts"),
        ({"starts": []}, "starts"),
        ({"zone": "Mars/Olympus"}, "zone = 'Mars/Olympus' is not known"),
        ({"zone": "../../etc"}, "is not known"),
        ({"start": ["06:00"]}, "start"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(table, why):
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(table, ShiftConfig)


def reading(part, label):
    return Reading(workload="inspection", label=label, score=0.5, part=part)


MORNING, LATE, NIGHT = (f"2026-11-23T{at}+01:00" for at in ("08:00", "15:00", "23:00"))


def counted(*parts):
    """Shifts after parts, each a label and a time."""
    shifts = Shifts(ZURICH)
    for number, (label, at) in enumerate(parts, 1):
        shifts.count(reading(number, label), ns(at))
    return shifts


def test_parts_are_counted_by_what_became_of_them():
    labels = (PASS, REJECT, PASS, REVIEW, "refused")
    shifts = counted(*((label, MORNING) for label in labels))
    start = "2026-11-23T06:00:00+01:00"
    assert shifts.latest == [Shift(began=start, passed=2, rejected=2, review=1)]


def test_this_shift_and_the_one_before_are_known():
    shifts = counted((PASS, MORNING), (REJECT, LATE), (PASS, NIGHT), (PASS, NIGHT))
    assert [(one.passed, one.rejected) for one in shifts.latest] == [(2, 0), (0, 1)]


def test_a_reading_gets_its_shift_and_one_that_is_about_no_part_is_left_alone():
    shifts = Shifts(ZURICH)
    assert shifts.count(reading(1, PASS), ns(MORNING)).shift == "2026-11-23T06:00:00+01:00"
    other = Reading(workload="tone", label="hum", score=0.5)
    assert shifts.count(other, ns(MORNING)) is other
    assert shifts.latest[0].passed == 1


def test_verdicts_count_in_the_shift_of_the_part_each_once():
    shifts = counted((REJECT, MORNING), (REJECT, MORNING), (REVIEW, MORNING), (PASS, LATE))
    said = [
        shifts.review(part, verdict, workload="inspection")
        for part, verdict in [(1, "good"), (1, "good"), (2, "defect"), (3, "good"), (4, "good")]
    ]
    assert [one and (one.part, one.label, one.verdict) for one in said] == [
        (1, REJECT, "good"),
        None,  # said before
        (2, REJECT, "defect"),
        (3, REVIEW, "good"),
        None,  # nobody has rejected it
    ]
    late, morning = shifts.latest
    assert (morning.reviewed, morning.false_rejects) == (2, 1)
    assert (late.reviewed, late.false_rejects) == (0, 0)
    assert said[0].shift == morning.began


def test_a_verdict_on_a_part_of_long_ago_is_still_told():
    shifts = counted((REJECT, MORNING), (PASS, LATE), (PASS, NIGHT))
    assert shifts.review(1, "good", workload="inspection").shift == "2026-11-23T06:00:00+01:00"
    assert [one.false_rejects for one in shifts.latest] == [0, 0]


def test_a_restart_forgets_nothing():
    before = counted((REJECT, MORNING), (PASS, MORNING))
    after = Shifts(ZURICH)
    after.resume(before.states().get)
    assert after.latest == before.latest
    after.count(reading(3, PASS), ns(MORNING))
    assert after.review(1, "good", workload="inspection") is not None
    assert after.latest == [
        Shift(
            began="2026-11-23T06:00:00+01:00",
            passed=2,
            rejected=1,
            reviewed=1,
            false_rejects=1,
        )
    ]


def test_what_people_may_say_is_written_again_only_when_it_has_changed():
    shifts = counted((REJECT, MORNING))
    assert set(shifts.states()) == {"shifts", "told"}
    shifts.count(reading(2, PASS), ns(MORNING))
    assert set(shifts.states()) == {"shifts"}
    shifts.review(1, "good", workload="inspection")
    assert set(shifts.states()) == {"shifts", "told"}


def test_what_is_remembered_is_bounded():
    shifts = Shifts(ZURICH)
    for number in range(1, 1501):
        shifts.count(reading(number, REJECT), ns(MORNING))
    assert shifts.review(500, "good", workload="inspection") is None
    assert shifts.review(501, "good", workload="inspection") is not None
