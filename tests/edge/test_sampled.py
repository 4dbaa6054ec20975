"""The rate is measured, gaps are not counted across, and windows say both."""

from __future__ import annotations

import numpy as np
import pytest
from fake_out import Taken

from edge import sampled
from edge.capture import Item
from edge.errors import SourceError
from edge.sampled import Blocks, SampleClock, SampledSource
from edge.sources import adxl


def measured(true_hz: float, *, seconds: float, late_s: float, seed: int = 0, busy: float = 0.0):
    """(time in s, rate) after each look: every 0.1 s, late; a share `busy` of them by 0.1 s."""
    rng = np.random.default_rng(seed)
    clock, seen, rates = SampleClock(), 0, []
    for due in np.arange(0.1, seconds, 0.1):
        t = due + rng.exponential(late_s) + (0.1 if rng.random() < busy else 0.0)
        count = int(due * true_hz)
        rates.append((t, clock.look(count - seen, round(t * 1e9))))
        seen = count
    return np.array(rates)


class TestSampleClock:
    """Samples counted against a clock that is looked at late."""

    def test_says_nothing_before_it_knows(self):
        """Three seconds."""
        rates = measured(3295.7, seconds=5, late_s=0.0)
        assert (rates[rates[:, 0] < 3.0, 1] == 0).all()
        assert (rates[rates[:, 0] > 3.15, 1] > 0).all()

    def test_a_slow_sampler_takes_until_it_has_given_400(self):
        """Or counting whole samples would be too coarse."""
        rates = measured(50.0, seconds=12, late_s=0.0)
        assert (rates[rates[:, 0] < 8.0, 1] == 0).all()
        assert rates[-1, 1] == pytest.approx(50.0, rel=2e-3)

    @pytest.mark.parametrize("true_hz", [31.0, 103.0, 824.0, 3295.7, 3880.0])
    def test_is_right_far_below_half_a_percent_from_the_first_word_on(self, true_hz):
        """Looks 1 ms late on average, each tenth by 100 ms: a busy board. Twenty such boards."""
        for seed in range(20):
            rates = measured(true_hz, seconds=40, late_s=1e-3, seed=seed, busy=0.1)
            off = np.abs(rates[rates[:, 1] > 0, 1] / true_hz - 1)
            assert off[0] < 4e-3
            assert off[-1] < 3e-4

    def test_follows_a_sensor_that_warms_up(self):
        """By one percent within ten minutes; never farther behind than half its memory."""
        clock = SampleClock()
        count = 0.0
        for n in range(6000):
            hz = 1000 * (1 - 0.01 * n / 6000)
            before, count = int(count), count + hz / 10
            clock.look(int(count) - before, n * 100_000_000)
        assert clock.rate_hz == pytest.approx(hz, rel=1e-3)

    def test_a_hole_does_not_change_the_rate(self):
        """A second is lost; counted across it, the rate would be off by ten percent."""
        clock = SampleClock()
        for n in range(100):
            clock.look(100, n * 100_000_000)
        clock.begin_anew()
        rates = [clock.look(100, (n + 10) * 100_000_000) for n in range(100, 200)]
        assert rates == [pytest.approx(1000.0)] * 100


class TestBlocks:
    """What goes from the child to the parent."""

    def test_are_a_tenth_of_a_second_with_the_time_of_the_last_reading(self):
        """Whatever the readings were."""
        taken = Taken()
        blocks = Blocks(taken, rate_hz=1000)
        for n in range(1, 8):
            blocks.add(np.full((33, 3), n, dtype=np.float32), t_ns=n)
        assert [(len(data), t_ns) for data, t_ns, *_ in taken.puts] == [(132, 4)]
        assert taken.puts[0][0][:, 0].tolist() == np.repeat([1.0, 2.0, 3.0, 4.0], 33).tolist()

    def test_end_before_a_hole_and_begin_after_it(self):
        """No block has a hole inside, and the first after it says so."""
        taken = Taken()
        blocks = Blocks(taken, rate_hz=100)
        samples = np.zeros((4, 1), dtype=np.float32)
        for what in (samples, None, None, samples, samples, samples):
            blocks.lose() if what is None else blocks.add(what, t_ns=0)
        assert [(len(data), is_after) for data, _, _, is_after in taken.puts] == [
            (4, False),
            (12, True),
        ]

    def test_carry_a_rate_that_is_not_counted_across_holes(self):
        """Five good seconds, then every second one is lost."""
        taken = Taken()
        blocks = Blocks(taken, rate_hz=1000)
        samples = np.zeros((100, 1), dtype=np.float32)
        for n in range(200):
            is_lost = n >= 50 and n // 10 % 2 == 1
            if is_lost:
                blocks.lose()
            else:
                blocks.add(samples, t_ns=n * 100_000_000)
        rates = [rate_hz for _, _, rate_hz, _ in taken.puts]
        assert rates[40:] == [pytest.approx(1000.0)] * len(rates[40:])


class Played:
    """In place of `Capture`: (seq, arrival in s, rate) of blocks of 100 samples."""

    def __init__(self, *items):
        self._items = items

    def items(self):
        for seq, t_s, rate_hz in self._items:
            data = np.full((100, 1), seq, dtype=np.float32)
            yield Item(seq, round(t_s * 1e9), data, rate_hz)


def windows_of(*items, window_s=0.25):
    config = adxl.Config("adxl355", 1000.0, window_s, window_s)
    source = SampledSource(config, Played(*items), name="p", what="adxl355 at x")
    return [(w.seq, len(w.data), w.rate_hz, round(w.t_ns / 1e9, 6)) for w in source.windows()]


class TestWindows:
    """Of a sensor that samples at another rate than it was told."""

    def test_begin_when_the_rate_is_known_and_carry_it(self):
        """As many samples as the config makes of a window; time passes at the measured rate."""
        unknown = [(n, 0.1 * n, 0.0) for n in range(3)]
        known = [(n, 0.1 * n, 1030.0) for n in range(3, 9)]
        got = windows_of(*unknown, *known)
        assert [one[:3] for one in got] == [(0, 250, 1030.0), (1, 250, 1030.0)]
        assert got[1][3] - got[0][3] == pytest.approx(250 / 1030, abs=3e-3)

    def test_carry_the_same_rate_until_it_has_moved(self):
        """By more than the measurement itself does; their times follow it all the same."""
        rates = [1000.0, 1000.1, 999.85, 1000.15, 1000.25, 1000.1]
        got = windows_of(*((n, 0.1 * n, hz) for n, hz in enumerate(rates)), window_s=0.1)
        assert [hz for _, _, hz, _ in got] == [1000.0] * 4 + [1000.25] * 2
        assert got[-1][3] == pytest.approx(sum(100 / hz for hz in rates[1:]), abs=1e-6)

    def test_after_a_hole_begin_anew_and_count_what_was_lost(self):
        """Four seconds of a quarter each."""
        got = windows_of(
            *((n, 0.1 * n, 1000.0) for n in range(3)),
            *((n + 1, 0.1 * n + 4.0, 1000.0) for n in range(3, 6)),
        )
        assert [seq for seq, *_ in got] == [0, 17]

    def test_another_rate_than_the_one_asked_for_is_refused(self):
        """The wrong register, or the wrong line in the config."""
        with pytest.raises(
            SourceError, match=r"adxl355 at x: samples at 500.0 Hz, asked for 1000; fix: that rate"
        ):
            windows_of((0, 0.1, 500.0))

    def test_a_sensor_that_loses_all_the_time_is_told(self, monkeypatch):
        """Else it would be silent, and nobody would know why."""
        monkeypatch.setattr(sampled, "_UNMEASURED_S", -1.0)
        with pytest.raises(SourceError, match=r"cannot be measured; fix: a lower rate_hz"):
            windows_of((0, 0.1, 0.0), (1, 0.2, 0.0))
