"""People made of colour, and a test bench that sees them: every figure can be told by hand.

A face is an upright stripe of one colour, and its embedding is that colour less grey: what is
red, (255, 128, 128), is (127, 0, 0). Black is no face.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from contract.spec import Detection, OperatingPoint, Stage
from training.watch import Seen

HEIGHT, WIDTH = 8, 12
BLACK = (0, 0, 0)
RED, GREEN, BLUE = (255, 128, 128), (128, 255, 128), (128, 128, 255)
CYAN, MAGENTA, YELLOW = (1, 128, 128), (128, 1, 128), (128, 128, 1)  # opposite to the three
REDDISH = (255, 192, 128)  # 0.893 like red, 0.450 like green
ORANGE = (255, 255, 128)  # 0.707 like both


def save(file: Path, *stripes):
    """A picture of stripes of equal width."""
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = np.repeat(np.array(stripes, np.uint8), WIDTH // len(stripes), axis=0)
    Image.fromarray(np.repeat(columns[None], HEIGHT, axis=0)).save(file)


def write(file: Path, heading, rows):
    """A table."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(",".join(map(str, row)) for row in [heading, *rows]) + "\n")


def stripes(picture):
    """Boxes and colours of all stripes that are not black."""
    line = picture[0].astype(int)
    edges = np.flatnonzero((np.diff(line, axis=0) != 0).any(axis=1)) + 1
    for left, right in zip([0, *edges], [*edges, len(line)], strict=True):
        if tuple(line[left]) != BLACK:
            yield (float(left), 0.0, float(right), float(len(picture))), line[left]


class FaceBench:
    """Sees stripes; keeps the names of what was shown to the person."""

    def __init__(self, threshold=0.8):
        self.threshold, self.shown = threshold, []

    def see(self, recording):
        found = tuple(
            tuple(
                Detection("face", 0.9, (colour - 128).astype(np.float32), box=box)
                for box, colour in stripes(window.data)
            )
            for window in recording.windows()
        )
        rows = [np.array([face.vector for face in faces], np.float32) for faces in found]
        passes = {"embed": tuple((of_window, of_window) for of_window in rows)}
        return Seen(recording, tuple(range(len(found))), found, passes)

    def point(self, _recording):
        return OperatingPoint(self.threshold, self.threshold, "by hand", {})

    def split_of(self, _recording):
        return "unseen"

    def each(self, things, named):
        for thing in things:
            self.shown.append(named(thing))
            yield thing


def _never(_window, _found):
    raise AssertionError("nothing is run here")


def _embedded(_window, found, _inputs, outputs):
    return tuple(replace(one, vector=row) for one, row in zip(found, outputs, strict=True))


class FloatBench(FaceBench):
    """Has a float model too: it sees a little more blue in everything."""

    workload = SimpleNamespace(stages=(Stage("embed", _never, _embedded, (3,)),))

    def __init__(self, threshold=0.8, more_blue=127.0):
        super().__init__(threshold)
        self.more_blue = more_blue

    def float_outputs(self, stage, inputs):
        assert stage == "embed"
        return inputs + np.array([0, 0, self.more_blue], np.float32)
