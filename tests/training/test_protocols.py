import numpy as np

from training.datasets.synthetic.run_to_failure import simulate
from training.metrics import Alarms


class FakeBench:
    """Raises the alarm at a given window of each recording; keeps what it was asked to run."""

    def __init__(self, raised_at):
        self.raised_at, self.ran, self.shown = raised_at, [], []

    def alarms(self, recording):
        self.ran.append(recording.name)
        is_raised = np.arange(len(recording)) >= self.raised_at[recording.name]
        is_judged = np.arange(len(recording)) >= recording.learn_windows
        return Alarms(recording, is_judged, is_raised, is_raised, int(is_raised.any()))

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
