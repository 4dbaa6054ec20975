"""What is sent when, what is sent again, and what is given up: the publisher's books by example."""

from __future__ import annotations

import itertools

import pytest
from fuzz.line import RESEND_S, Line


def test_what_is_acknowledged_is_sent_once_and_in_order():
    """As on every good day."""
    line = Line()
    seqs = line.put(1000)
    line.live(10)
    assert line.sent[:1000] == seqs
    assert len(set(line.sent)) == len(line.sent)
    assert not line.under_way


def test_no_more_than_256_are_under_way():
    """Without acknowledgements the others wait."""
    line = Line()
    line.put(1000)
    line.drain()
    line.drain()
    assert line.sent == list(range(1, 257))
    assert line.books.room == 0


def test_without_an_acknowledgement_a_row_is_sent_again_ever_more_rarely():
    """After 5, 10, 20 and then every 30 seconds."""
    line = Line()
    line.has_collector = False
    line.put()
    times_s = []
    for _ in range(1500):
        before = len(line.sent)
        line.turn(0.1)
        times_s += [line.now_s] * (len(line.sent) - before)
    gaps_s = [round(b - a) for a, b in itertools.pairwise(times_s)]
    assert gaps_s == [5, 10, 20, 30, 30, 30]


@pytest.mark.parametrize(("at_first", "each_minute"), [(1, 0), (300, 6)])
def test_the_collector_is_away_for_a_day_and_nothing_is_put_aside(at_first, each_minute):
    """Nothing is acknowledged, so no row is worse than another, however often it was sent."""
    line = Line()
    line.has_collector = False
    line.put(at_first)
    for _ in range(24 * 60):
        line.put(each_minute)
        line.turn(60.0)
    assert not line.buried
    line.has_collector = True
    line.live(120)
    assert not line.waiting
    assert not line.buried


def test_a_connection_that_breaks_all_night_puts_nothing_aside():
    """Only what is refused while others are stored is poison; here it is the line."""
    line = Line()
    line.put(3)
    for _ in range(500):
        line.drain()
        line.hang_up()
        line.now_s += 1.0
    line.live(30)
    line.put(3)
    line.drain()
    line.hang_up()
    line.live(30)
    assert not line.buried
    assert not line.waiting


def test_a_row_nobody_acknowledges_is_put_aside_while_all_others_get_through():
    """The broker may not pass it on, or the collector does not understand it."""
    line = Line()
    (bad,) = line.put()
    line.hopeless = {bad}
    line.live(600)
    assert list(line.buried) == [bad]
    assert line.buried[bad] == "never acknowledged by the collector; sent 10 times"
    assert line.sent.count(bad) == 10
    assert not line.waiting


def test_a_row_the_broker_hangs_up_on_is_put_aside_while_all_others_get_through():
    """It is caught alone; meanwhile no other waits for long."""
    line = Line()
    before, (bad,), after = line.put(30), line.put(), line.put(30)
    line.deadly = {bad}
    line.live(20)
    assert set(line.acknowledged) >= {*before, *after}
    line.live(300)
    assert line.buried == {bad: "the broker hangs up on it; 10 times"}
    assert not line.waiting


def test_a_row_the_broker_hangs_up_on_is_caught_in_a_stream_of_others():
    """With something new in every turn it is never the only one that waits."""
    line = Line()
    (bad,) = line.put()
    line.deadly = {bad}
    line.live(120, health_s=0.05)
    assert list(line.buried) == [bad]
    assert len(line.waiting) < 50


def test_rows_the_broker_refuses_say_so_when_they_are_put_aside():
    """MQTT 5 has a word for it."""
    line = Line()
    (bad,) = line.put()
    line.hopeless = {bad}
    while not line.buried:
        line.put()
        line.drain()
        line.answer()
        line.books.answered(f"id-{bad}", "refused by the broker: Not authorized")
        line.acknowledge()
        line.now_s += 1.0
    assert line.buried == {bad: "refused by the broker: Not authorized; sent 10 times"}


def test_rows_that_nobody_wants_hide_no_others():
    """More of them than may be under way, all older than the rest."""
    line = Line()
    line.hopeless = set(line.put(400))
    good = line.put(50)
    line.live(120)
    assert set(line.acknowledged) >= set(good)


def test_a_row_that_is_given_up_for_space_while_under_way_is_forgotten():
    """And is not sent for, again and again, in every turn of the loop."""
    line = Line()
    line.has_collector = False
    gone, kept = line.put(2)
    line.turn()
    line.give_up(gone)
    line.now_s += RESEND_S
    for _ in range(100):
        line.turn(0.01)
    assert line.sent.count(kept) <= 3
    assert list(line.under_way.values()) == [kept]


def test_a_row_put_late_is_sent_though_later_ones_are_gone():
    """Numbers are given out before rows are put."""
    line = Line()
    late = line.skip()
    line.put(3)
    line.turn()
    line.put_late([late])
    line.turn()
    assert late in line.acknowledged
