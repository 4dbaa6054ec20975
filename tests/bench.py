"""A test bench without a device: features straight from the contract's signal operations."""

from contract.ops import signal
from contract.spec import Detection
from training.watch import Seen


class FakeBench:
    """Keeps the names of what was shown to the person, and of what it was asked to see."""

    def __init__(self):
        self.shown, self.saw = [], []

    def see(self, recording):
        self.saw.append(recording.name)
        found = tuple(
            tuple(
                Detection("channel", vector=row)
                for row in signal.log_bands(window.data, n_bands=16, octaves=6)
            )
            for window in recording.windows()
        )
        return Seen(recording, tuple(window.t_ns for window in recording.windows()), found, {})

    def each(self, things, named):
        for thing in things:
            self.shown.append(named(thing))
            yield thing
