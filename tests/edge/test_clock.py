"""Order by seq and time by a clock that may lie."""

from __future__ import annotations

import pytest
from fakes import FakeClock

from edge.clock import Clock

YEAR_S = 365 * 86_400.0


@pytest.fixture
def fake():
    return FakeClock()


@pytest.fixture
def clock(fake):
    return Clock(
        first_seq=7,
        boot="boot",
        wall_ns=fake.wall_ns,
        mono_ns=fake.mono_ns,
        is_kernel_synced=fake.is_kernel_synced,
    )


def test_seq_rises_by_one_from_where_the_outbox_left_off(clock):
    """Only for what is stored."""
    assert [clock.stamp().seq for _ in range(3)] == [7, 8, 9]
    assert clock.unordered().seq == 10
    assert clock.stamp().seq == 10


def test_a_jump_back_of_a_year_keeps_the_order_and_is_not_believed(fake, clock):
    """A dead battery, or somebody at the console."""
    before = clock.stamp()
    fake.wall -= int(YEAR_S * 1e9)
    after = [clock.stamp() for _ in range(3)]
    assert before.clock_synced
    assert [stamp.clock_synced for stamp in after] == [False] * 3
    assert [stamp.seq for stamp in after] == [8, 9, 10]
    assert after[0].ts_ns < before.ts_ns
    assert after[0].mono_ns >= before.mono_ns


def test_the_clock_is_believed_again_once_the_kernel_has_synchronised_anew(fake, clock):
    """Not merely because time goes by."""
    clock.stamp()
    fake.wall -= int(YEAR_S * 1e9)
    fake.advance(3600)
    assert not clock.stamp().clock_synced
    fake.synced = False
    assert not clock.stamp().clock_synced
    fake.synced = True
    fake.advance(1)
    assert clock.stamp().clock_synced


def test_small_steps_back_are_corrections(fake, clock):
    """A time service slews and steps by milliseconds."""
    clock.stamp()
    fake.wall -= 500_000_000
    assert clock.stamp().clock_synced


def test_a_boot_in_1970_is_not_believed_even_if_the_kernel_does(fake, clock):
    """A board without a battery."""
    fake.wall = 60 * 10**9
    stamp = clock.stamp()
    assert not stamp.clock_synced
    assert stamp.ts_ns == 60 * 10**9


def test_an_unsynchronised_kernel_is_not_believed(fake, clock):
    """However right it may look."""
    fake.synced = False
    assert not clock.stamp().clock_synced


def test_a_window_that_was_complete_earlier_has_its_own_monotonic_time(fake, clock):
    """Two seconds of waiting are two seconds on both clocks."""
    then_ns, mono_ns = fake.wall, fake.mono
    fake.advance(2.0)
    stamp = clock.stamp(wall_ns=then_ns, window=41)
    assert (stamp.ts_ns, stamp.mono_ns, stamp.window) == (then_ns, mono_ns, 41)


def test_a_time_in_the_future_does_not_push_the_monotonic_time_forward(fake, clock):
    """The wall clock was set back between window and message."""
    assert clock.stamp(wall_ns=fake.wall + 10**12).mono_ns == fake.mono


def test_a_clock_set_between_window_and_message_does_not_reach_the_monotonic_time(fake, clock):
    """From 1970 to now: the collector dates by `mono_ns` what came before."""
    then_ns = 60 * 10**9
    stamp = clock.stamp(wall_ns=then_ns)
    assert (stamp.ts_ns, stamp.mono_ns) == (fake.wall, fake.mono)


def test_the_boot_id_is_that_of_the_kernel():
    """The same for every service of one boot."""
    assert Clock(first_seq=1).boot_id == Clock(first_seq=1).boot_id
