"""Whatever happens on the line, a row gets through or is put aside, and nothing is left over."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from fuzz.line import Line
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

_COUNT = st.one_of(st.integers(1, 5), st.integers(200, 600))
_SOME = st.one_of(st.none(), st.integers(0, 10))


class LineMachine(RuleBasedStateMachine):
    """Any interleaving of what publisher, broker, collector, disk and network can do."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.late: list[int] = []

    @rule(count=_COUNT, is_hopeless=st.sampled_from([False, False, True]))
    def put(self, count, is_hopeless):
        seqs = self.line.put(count)
        if is_hopeless and len(self.line.hopeless) < 300:
            self.line.hopeless.update(seqs)

    @precondition(lambda self: len(self.line.deadly) < 3)
    @rule()
    def put_a_deadly_one(self):
        self.line.deadly.update(self.line.put())

    @rule()
    def give_a_number_out(self):
        self.late.append(self.line.skip())

    @precondition(lambda self: self.late)
    @rule()
    def put_late(self):
        self.line.put_late([self.late.pop()])

    @precondition(lambda self: self.line.waiting)
    @rule(at=st.floats(0.0, 0.999), count=st.integers(1, 64))
    def give_up_for_space(self, at, count):
        first = int(at * len(self.line.waiting))
        for seq in self.line.waiting[first : first + count]:
            self.line.give_up(seq)

    @rule()
    def drain(self):
        before = len(self.line.sent)
        self.line.drain()
        assert len(self.line.sent) - before <= 2 * 256

    @rule(count=_SOME)
    def broker_answers(self, count):
        self.line.answer(count)

    @rule(count=_SOME)
    def collector_acknowledges(self, count):
        self.line.acknowledge(count)

    @rule()
    def connection_breaks(self):
        self.line.hang_up()

    @rule(is_there=st.booleans())
    def collector_comes_or_goes(self, is_there):
        self.line.has_collector = is_there

    @rule(seconds=st.sampled_from([0.01, 1.0, 5.1, 31.0, 3600.0]))
    def time_passes(self, seconds):
        self.line.now_s += seconds

    @rule(seconds=st.sampled_from([2, 30, 120]))
    def nothing_happens(self, seconds):
        self.line.live(seconds)

    @invariant()
    def at_most_256_are_under_way(self):
        under_way = self.line.under_way
        assert len(under_way) <= 256
        assert len(set(under_way.values())) == len(under_way)

    @invariant()
    def nobody_is_given_up_while_nothing_else_is_acknowledged(self):
        strikes = sum(self.line.books._strikes.values())
        assert self.line.acknowledged or not strikes
        assert len(self.line.acknowledged) >= 10 or not self.line.buried

    def teardown(self):
        line = self.line
        line.has_collector = True
        line.live(3600.0)
        bad = line.hopeless | line.deadly
        for seq in line.waiting:
            assert seq in bad, f"{seq} has not come through"
        assert not line.waiting, f"{line.waiting[:9]} of {len(line.waiting)} never put aside"
        assert set(line.buried) <= bad, f"put aside though fine: {set(line.buried) - bad}"
        books = line.books
        for book in (books._sent, books._suspects, books._passed, books._strikes, books._struck_s):
            assert not book, f"kept for ever: {book}"


TestLine = LineMachine.TestCase
TestLine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestLine = pytest.mark.slow(TestLine)
