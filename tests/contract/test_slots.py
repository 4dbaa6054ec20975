"""The bounded memory of the last while, against a plain one that forgets nothing by itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import slots as module
from contract.slots import SLOT_S, Slots

SPAN_S = 120.0


class Plain:
    """The docstring of `Slots` word for word, with lists."""

    def __init__(self, span_s):
        self.span_s, self.slots = span_s, []

    def add(self, now_s, value):
        if self.slots and now_s - self.slots[-1][0] < module._JITTER * SLOT_S:
            self.slots[-1][1].append(value)
            return
        self.slots.append((now_s, [value]))
        young = [s for s in self.slots if s[0] >= now_s - self.span_s + SLOT_S / 2]
        self.slots = self.slots[-max(len(young), min(module._FEWEST, len(self.slots))) :]

    @property
    def values(self):
        return [np.mean(values, axis=0) for _, values in self.slots]


# seconds from one window to the next; some machines are looked at once an hour
_A_HOP_S = st.sampled_from([0.0, 0.1, 1.0, 3.0, 9.4, 9.5, 10.0, 11.0, 45.0, 3600.0])
HOPS = st.lists(
    st.tuples(_A_HOP_S, st.integers(1, 30)).map(lambda run: [run[0]] * run[1]),
    min_size=1,
    max_size=12,
).map(lambda runs: [hop for run in runs for hop in run])


@settings(max_examples=60, deadline=None)
@given(HOPS, st.sampled_from([30.0, SPAN_S, 600.0]))
def test_it_keeps_what_a_plain_one_keeps(hops, span_s):
    kept, plain, rng = Slots(span_s), Plain(span_s), np.random.default_rng(len(hops))
    now_s = 0.0
    for hop in hops:
        now_s += hop
        value = rng.normal(size=3).astype(np.float32)
        plain.add(now_s, value)
        if kept.add(now_s, value):
            assert len(plain.slots[-1][1]) == 1
            np.testing.assert_allclose(kept.values, plain.values, atol=1e-5)
            assert 0.0 <= kept.full <= 1.0
        else:
            assert len(plain.slots[-1][1]) > 1
    np.testing.assert_allclose(kept.values, plain.values, atol=1e-5)


def test_thousands_of_slots_take_no_more_room_than_the_first():
    kept, plain = Slots(SPAN_S), Plain(SPAN_S)
    room = len(kept._means)
    for number in range(5000):
        value = np.float32([number, -number])
        kept.add(10.0 * number, value)
        plain.add(10.0 * number, value)
        np.testing.assert_array_equal(kept.values, plain.values)
    assert len(kept._means) == len(kept._starts_s) == room
    assert len(kept.values) == SPAN_S / SLOT_S


def test_windows_within_ten_seconds_are_one_value():
    kept = Slots(SPAN_S)
    assert [kept.add(float(t), np.float32(t)) for t in range(20)] == ([True] + [False] * 9) * 2
    np.testing.assert_allclose(kept.values, [4.5, 14.5])


def test_a_window_that_is_a_little_early_still_begins_a_slot():
    kept = Slots(SPAN_S)
    assert all(kept.add(9.9 * number, np.float32(0)) for number in range(10))


def test_three_are_kept_however_old_they_are():
    kept = Slots(SPAN_S)
    for hour in range(6):
        kept.add(3600.0 * hour, np.float32(hour))
    np.testing.assert_array_equal(kept.values, [3, 4, 5])
    assert kept.full == 1.0


def test_it_is_full_when_the_span_is_covered():
    kept, seen = Slots(SPAN_S), []
    for number in range(20):
        kept.add(10.0 * number, np.float32(0))
        seen.append(kept.full)
    assert seen[0] == 0.0, "a lone slot covers nothing"
    assert seen[5] == pytest.approx(60 / SPAN_S)
    assert seen[11:] == [1.0] * 9


def test_what_is_older_than_the_span_counts_no_more():
    kept = Slots(SPAN_S)
    for number in range(12):
        kept.add(10.0 * number, np.float32(100))
    for number in range(12, 24):
        kept.add(10.0 * number, np.float32(1))
    assert kept.values.max() == 1


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(1, 40))
def test_after_a_restart_it_goes_on_where_it_was(before, after):
    """The state takes the way over a file; half precision is all that is lost."""
    rng = np.random.default_rng(before)
    whole, first, second = Slots(SPAN_S), Slots(SPAN_S), Slots(SPAN_S)
    rows = rng.normal(size=(before + after, 2, 4)).astype(np.float32)
    for number, row in enumerate(rows[:before]):
        for kept in (whole, first):
            kept.add(10.0 * number, row)
    file = io.BytesIO()
    np.savez(file, **first.state())
    file.seek(0)
    with np.load(file) as stored:
        state = dict(stored)
    for array in state.values():
        array.setflags(write=False)  # as they come from a device's disk
    second.resume(state)
    for number, row in enumerate(rows[before:], start=before):
        for kept in (whole, second):
            kept.add(10.0 * number, row)
        np.testing.assert_allclose(second.values, whole.values, rtol=1e-3, atol=1e-3)
        assert second.full == whole.full


def test_a_state_is_a_copy():
    kept = Slots(SPAN_S)
    kept.add(0.0, np.float32([1]))
    state = kept.state()
    kept.add(1.0, np.float32([9]))
    for number in range(1, 200):
        kept.add(10.0 * number, np.float32([9]))
    assert state["means"].tolist() == [[1.0]]
    assert state["starts_s"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda s: s.pop("means"), KeyError),
        (lambda s: s.pop("starts_s"), KeyError),
        (lambda s: s.update(starts_s=s["starts_s"][:-1]), ValueError),
        (lambda s: s.update(means=np.zeros((9999, 2)), starts_s=np.zeros(9999)), ValueError),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_lost(spoil, error):
    kept = Slots(SPAN_S)
    for number in range(5):
        kept.add(10.0 * number, np.float32([number, 0]))
    state, before = kept.state(), kept.values.copy()
    spoil(state)
    with pytest.raises(error):
        kept.resume(state)
    np.testing.assert_array_equal(kept.values, before)
