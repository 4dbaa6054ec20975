"""Parts and their pictures: tables of times, and a camera that shows a belt."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest
from fakes import FakeSource

from contract.inspection import PASS, REJECT, Part
from contract.spec import Window
from edge.errors import SourceError
from edge.trigger import ImageTrigger, TriggerConfig
from edge.trigger_image import PartSeen
from edge.trigger_pictures import Shots, Triggered

_MS = 1_000_000


def picture(t_ms, *, value=0, seq=0):
    data = np.full((8, 8, 3), value, np.uint8)
    return Window("p", seq, round(t_ms * _MS), 0, data, 0.0)


def settled(events, *, delay=0, wait=100):
    """(trigger, time of its picture or None) in ms, in the order in which parts leave.

    Args:
        events: ("part" | "picture" | "late", time in ms).
    """
    shots = Shots(delay_ns=delay * _MS, wait_ns=wait * _MS)
    left = []
    for kind, t_ms in events:
        if kind == "part":
            shots.part(t_ms * _MS)
        elif kind == "picture":
            left += shots.picture(picture(t_ms), t_ms * _MS)
        else:
            left += shots.late(t_ms * _MS)
    return [(s.t_ns // _MS, None if s.window is None else s.window.t_ns // _MS) for s in left]


PART, PICTURE, LATE = "part", "picture", "late"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([(PICTURE, 5), (PICTURE, 9)], [], id="no part, no picture"),
        pytest.param([(PART, 10), (PICTURE, 9)], [], id="never one from before"),
        pytest.param([(PART, 10), (PICTURE, 9), (PICTURE, 12)], [(10, 12)], id="the next one"),
        pytest.param([(PART, 10), (PICTURE, 10)], [(10, 10)], id="or of that very moment"),
        pytest.param([(PART, 10), (PICTURE, 12), (PICTURE, 14)], [(10, 12)], id="one a part"),
        pytest.param([(PART, 10), (PICTURE, 109)], [(10, 109)], id="a slow camera"),
        pytest.param([(PART, 10), (PICTURE, 111)], [(10, None)], id="slower than the deadline"),
        pytest.param([(PART, 10), (LATE, 110)], [], id="still time"),
        pytest.param([(PART, 10), (LATE, 111)], [(10, None)], id="no picture at all"),
        pytest.param(
            [(PART, 10), (PART, 30), (PICTURE, 35)],
            [(10, None), (30, 35)],
            id="a picture after the second trigger is not of the first part",
        ),
        pytest.param(
            [(PART, 10), (PICTURE, 20), (PART, 30), (PICTURE, 35)],
            [(10, 20), (30, 35)],
            id="two parts, two pictures",
        ),
        pytest.param(
            [(PART, 10), (PART, 30), (PICTURE, 20), (PICTURE, 40)],
            [(10, 20), (30, 40)],
            id="a picture that comes after the second trigger but was taken before it",
        ),
    ],
)
def test_which_picture_is_of_which_part(events, expected):
    assert settled(events) == expected


def test_a_delay_lets_the_part_come_into_the_middle():
    events = [(PART, 10), (PICTURE, 40), (PART, 45), (PICTURE, 61), (PICTURE, 97)]
    assert settled(events, delay=50) == [(10, 61), (45, 97)]


class FakeLines:
    """A line whose triggers a test puts there."""

    def __init__(self, *, passes=True):
        self.waiting, self.begun, self.asked, self.passes = [], [], [], passes

    def sync(self):
        pass

    def take(self):
        waiting, self.waiting = self.waiting, []
        return waiting

    def begin(self, t_ns):
        self.begun.append(t_ns)

    def decide(self, t_ns, *, may_pass):
        self.asked.append((t_ns, may_pass))
        return may_pass and self.passes


def triggered(source, lines, config=None, *, deadline_ms=1000.0, is_live=True):
    config = config or msgspec.convert({"kind": "gpio", "chip": "/dev/c", "line": 0}, TriggerConfig)
    return Triggered(source, config, lines, name="p", deadline_ms=deadline_ms, is_live=is_live)


def test_every_trigger_is_a_window_in_its_order_with_its_own_number():
    now = time.monotonic_ns()
    lines = FakeLines()
    lines.waiting = [now - 9 * _MS, now - 8 * _MS, now - 3 * _MS]
    pictures = [picture((now - age * _MS) / _MS, value=age) for age in (10, 7, 2)]
    line = triggered(FakeSource(pictures), lines)
    seen = []
    for window in line.windows():
        why = line.refuse(window)
        found, took_ms = line.settle(() if why else (Part(PASS),), why)
        seen.append((window.seq, window.data.max(initial=0), found[0].label, found[0].reason))
        assert 0 < took_ms < 1000
    assert seen == [
        (0, 0, REJECT, "Not judged: no_picture."),
        (1, 7, PASS, ""),
        (2, 2, PASS, ""),
    ]
    assert [may for _, may in lines.asked] == [False, True, True]


def test_a_part_that_waited_beyond_the_deadline_is_rejected_without_judging():
    now = time.monotonic_ns()
    lines = FakeLines()
    lines.waiting = [now]
    line = triggered(FakeSource([picture(now / _MS + 1)], hangs=True), lines, deadline_ms=30.0)
    windows = line.windows()
    window = next(windows)
    assert line.refuse(window) is None
    time.sleep(0.04)
    assert line.refuse(window) == "late"
    line.close()
    assert list(windows) == []


def test_pictures_of_parts_that_are_too_late_are_not_kept():
    now = time.monotonic_ns()
    lines = FakeLines()
    lines.waiting = [now, now + 2 * _MS]
    pictures = [picture(now / _MS + 1), picture(now / _MS + 3)]
    line = triggered(FakeSource(pictures, hangs=True), lines, deadline_ms=60.0)
    windows = line.windows()
    assert next(windows).data.size
    time.sleep(0.07)  # so long the first is judged
    window = next(windows)
    assert (line.refuse(window), window.data.size) == ("late", 0)
    line.close()


def test_good_but_too_late_for_the_rejector_is_said_so():
    now = time.monotonic_ns()
    lines = FakeLines(passes=False)
    lines.waiting = [now - _MS]
    line = triggered(FakeSource([picture(now / _MS)]), lines)
    (found,) = [line.settle((Part(PASS),), None)[0] for _ in line.windows()]
    assert found[0].label == REJECT
    assert "too late" in found[0].reason


def test_when_the_camera_fails_every_part_before_is_told_then_that_it_failed():
    def failing():
        yield from ()
        raise SourceError("gone")

    lines = FakeLines()
    lines.waiting = [time.monotonic_ns()]
    line = triggered(FakeSource(failing()), lines)
    windows = line.windows()
    assert next(windows).data.size == 0
    with pytest.raises(SourceError, match="gone"):
        next(windows)


def test_while_nothing_is_too_late_the_camera_waits_for_the_judge():
    taken = []

    def many():
        for number in range(40):
            taken.append(number)
            yield picture(number, value=200 * (number % 2))

    config = ImageTrigger(region=(0.0, 0.0, 1.0, 1.0))
    line = triggered(FakeSource(many()), FakeLines(), config, deadline_ms=None, is_live=False)
    windows = line.windows()
    next(windows)
    time.sleep(0.1)
    assert len(taken) < 20
    assert len(list(windows)) == 19  # every other picture shows a part, the first is one of them


def belt(at, *, size=16, width=96, level=90):
    """A bright square on a dark belt, its middle at `at` (None: no part), with noise."""
    rng = np.random.default_rng(abs(hash(at)) % 1000)
    picture = rng.normal(30, 3, (48, width, 3))
    if at is not None:
        left, right = max(round(at - size / 2), 0), max(round(at + size / 2), 0)
        picture[16:32, left:right] += level
    return picture.clip(0, 255).astype(np.uint8)


def seen_at(places, **more):
    """Numbers of the pictures at which a part was told of."""
    seen = PartSeen(ImageTrigger(region=(0.25, 0.2, 0.5, 0.6), **more))
    return [number for number, at in enumerate(places) if seen.see(belt(at))]


EMPTY = [None] * 30


def test_a_part_that_passes_is_told_of_once_near_the_middle():
    places = [*EMPTY, *range(-8, 104, 4), *EMPTY]
    (number,) = seen_at(places)
    assert abs(places[number] - 48) <= 8


def test_each_part_is_told_of_also_when_it_moves_the_other_way():
    places = [*EMPTY, *range(-8, 104, 6), *EMPTY, *range(104, -8, -6), *EMPTY]
    first, second = seen_at(places)
    assert abs(places[first] - 48) <= 9
    assert abs(places[second] - 48) <= 9


def test_a_part_that_comes_to_rest_beside_the_middle_is_told_of_once():
    places = [*EMPTY, *range(-8, 38, 4), *[38] * 40]
    (number,) = seen_at(places)
    assert number >= len(EMPTY) + 9


def test_an_empty_belt_and_slow_daylight_tell_nothing():
    assert seen_at(EMPTY * 3) == []
    seen = PartSeen(ImageTrigger())
    levels = np.linspace(0, 80, 400)
    assert not any(seen.see((belt(None) + level).astype(np.uint8)) for level in levels)


def test_a_damaged_picture_is_passed_over():
    assert not PartSeen(ImageTrigger()).see(np.zeros((0, 0, 3), np.uint8))


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"kind": "image", "region": [0.5, 0.5, 0.6, 0.2]}, "not inside the picture"),
        ({"kind": "image", "region": [0.5, 0.5, 0.0, 0.2]}, "not inside the picture"),
        ({"kind": "encoder", "chip": "/dev/c", "line": 1}, "pulses"),
        ({"kind": "gpio", "chip": "/dev/c", "line": 1, "edge": "both"}, "edge"),
        ({"kind": "gpio", "chip": "/dev/c"}, "line"),
        ({"kind": "gpio", "chip": "/dev/c", "line": 1, "pulses": 3}, "pulses"),
        ({"kind": "laser"}, "laser"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(table, why):
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(table, TriggerConfig)
