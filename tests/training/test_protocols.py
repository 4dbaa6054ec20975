from dataclasses import replace

import numpy as np
import pytest

from training.datasets.synthetic.run_to_failure import simulate
from training.metrics import Alarms
from training.protocols import SURROGATE_HOURS, early_and_silent
from training.watch import Seen


class FakeBench:
    """Raises the alarm at a given window of each recording; keeps what it was asked to run."""

    def __init__(self, raised_at):
        self.raised_at, self.ran, self.shown = raised_at, [], []
        self.surrogate_hours = []

    def alarms(self, recording):
        self.ran.append(recording.name)
        is_raised = np.arange(len(recording)) >= self.raised_at[recording.name]
        is_judged = np.arange(len(recording)) >= recording.learn_windows
        return Alarms(recording, is_judged, is_raised, is_raised, int(is_raised.any()))

    def see(self, recording):
        self.ran.append(recording.name)
        return Seen(recording, (), (), {})

    def told(self, seen):
        """A clock: a message so many windows after learning."""
        recording = seen.recording
        is_judged = np.arange(len(recording)) >= recording.learn_windows
        after = recording.learn_windows + self.raised_at[recording.name]
        is_raised = np.arange(len(recording)) >= after
        return Alarms(recording, is_judged, is_raised, is_raised, int(is_raised.any()))

    def surrogates(self, seen, *, hours, seed):
        self.surrogate_hours.append((seen.recording.name, hours, seed))
        return 3

    def split_of(self, recording):
        return "unseen" if recording.name == "machine000" else "training"

    def each(self, things, named):
        for thing in things:
            self.shown.append(named(thing))
            yield thing


def test_lives_are_run_once_each_and_told_apart():
    bench = FakeBench({"machine000": 150, "machine001": 200})
    found = simulate(2, seed=1).measure(bench)
    assert bench.ran == bench.shown == ["machine000", "machine001"]
    assert found.metrics["bearings"] == 2
    assert found.metrics["found"] == 1
    first, second = found.rows
    assert (first["name"], first["split"]) == ("machine000", "unseen")
    assert np.isclose(first["first_alarm_fraction"], 151 / 200)
    assert (second["split"], second["first_alarm_fraction"]) == ("training", None)
    assert first.keys() == second.keys()


def shares_of(recordings):
    """The same lives, learned from on more and more."""
    return {
        share: tuple(replace(r, learn_windows=int(share * len(r))) for r in recordings)
        for share in (0.15, 0.10, 0.20)
    }


def test_what_is_early_must_be_so_on_every_learning_period():
    """Clocks that speak so many windows after learning: a longer one pushes them past 30 %."""
    bench = FakeBench({"machine000": 25, "machine001": 60, "machine002": 100})
    lives = shares_of(simulate(3, seed=1).recordings)
    found = early_and_silent(lives, bench)
    assert bench.ran == bench.shown == ["machine000", "machine001", "machine002"]
    metrics = found.metrics
    assert metrics["bearings"] == 3
    # 0.15 of 200 are 30; machine000 speaks at window 55, within 30 %: a false start
    assert metrics["median_first_alarm_fraction"] == pytest.approx(131 / 200)
    assert metrics["bearings_with_false_alarm"] == 1
    for name in ("median_first_alarm_fraction", "bearings_with_false_alarm", "found"):
        assert metrics[f"{name}_at_15"] == metrics[name]
    assert metrics["bearings_with_false_alarm_at_10"] == 1
    assert metrics["bearings_with_false_alarm_at_20"] == 0
    assert metrics["median_first_alarm_fraction_at_10"] == pytest.approx(121 / 200)
    assert metrics["median_first_alarm_fraction_at_20"] == pytest.approx(101 / 200)
    assert [row["learn_windows"] for row in found.rows] == [30, 30, 30]


def test_surrogate_hours_are_shared_out_and_episodes_told_per_hundred():
    bench = FakeBench({"machine000": 150, "machine001": 200})
    found = early_and_silent(shares_of(simulate(2, seed=1).recordings), bench)
    assert bench.surrogate_hours == [
        ("machine000", SURROGATE_HOURS / 2, 0),
        ("machine001", SURROGATE_HOURS / 2, 1),
    ]
    assert found.metrics["surrogate_hours"] == SURROGATE_HOURS
    assert found.metrics["surrogate_episodes_per_100h"] == pytest.approx(600 / SURROGATE_HOURS)
