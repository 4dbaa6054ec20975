"""A line as the service runs it: real triggers and pulses through files, a camera that is told what
it sees, and a judge that goes by brightness.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import plain_manifest
from gpio_lines import FakeChip

from contract import evidence
from contract.inspection import PASS, REJECT, REVIEW, Part
from contract.inspection_policy import EachPart
from contract.machine import Machine
from contract.messages import Address, Review
from contract.shelf import Shelf
from contract.spec import ImageSpec, Stage, Window, Workload
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.errors import EngineError, SourceError
from edge.recorder import Recorder
from edge.rejector import RejectorConfig
from edge.serving import Serving
from edge.shift import ShiftConfig
from edge.sources import camera
from edge.trigger import GpioTrigger
from edge.watcher import Watcher

_MS = 1_000_000
ADDRESS = Address("vedette", "d1", "line")
DEADLINE_MS = 600.0
GOOD, SCRATCHED, DOUBTFUL, DARK = 60, 180, 120, 0


def toy(judging):
    """Brightness decides.

    Args:
        judging: called when a part is judged; may take its time, or raise.
    """

    def look(seen, _found):
        return np.array([[seen.data.mean()]], np.float32)

    def mapped(_seen, _found, rows, _outputs):
        return (Part(PASS, score=float(rows[0, 0])),)

    def judge(found, _profile):
        judging()
        (part,) = found
        label = REJECT if part.score > 150 else REVIEW if part.score > 100 else PASS
        heat = np.full((4, 4), part.score, np.float32)
        return (Part(label, score=part.score, threshold=150.0, heat=heat, reason="how bright"),)

    return Workload(
        name="toy",
        revision=1,
        input=ImageSpec(8, 8, 64, 64),
        stages=(Stage("look", look, mapped),),
        judge=judge,
        policy=lambda point: EachPart(point, workload="toy", k=3, n=10, calm=5),
        tolerances={},
        labels=(PASS, REJECT, REVIEW),
    )


class Camera:
    """Shows what lies before it, every 10 ms, until closed."""

    def __init__(self):
        self.shows = GOOD
        self.is_broken = False
        self._closed = threading.Event()

    def windows(self):
        rng = np.random.default_rng(1)
        seq = 0
        while not self._closed.wait(0.01):
            if self.is_broken:
                raise SourceError("the camera is gone")
            data = rng.integers(0, 8, (64, 64, 3)).astype(np.uint8) + np.uint8(self.shows)
            seq += 1
            yield Window("line", seq, time.monotonic_ns(), time.time_ns(), data, 0.0)

    def close(self):
        self._closed.set()


class Line:
    """A watcher in its thread, its camera and its chip."""

    def __init__(self, folder: Path, monkeypatch, chip, *, states=None):
        self.chip = chip
        self.shelf = Shelf(folder / "evidence", max_bytes=1 << 24)
        self.readings, self.alerts, self.states = [], [], states or {}
        self.judging = lambda: None
        self.sending = lambda: None
        self.is_broken = self.is_open = False
        self.camera = Camera()
        monkeypatch.setattr("edge.sources.open_source", self._open)
        config = PipelineConfig(
            *("line", "b", camera.Config(url="/dev/video0", hop_s=0.01)),
            trigger=GpioTrigger(chip=self.chip.path, line=0),
            rejector=RejectorConfig(
                chip=self.chip.path, line=1, deadline_ms=DEADLINE_MS, pulse_ms=40
            ),
            shift=ShiftConfig(),
        )
        bundle = Bundle(Path(), plain_manifest("toy", [PASS]), toy(self._judging), "onnx", {}, "m1")
        self.watcher = Watcher(
            config,
            Serving(config, bundle, None, state_dir=folder, base=folder),
            Recorder(Machine(), ADDRESS, self.shelf),
            address=ADDRESS,
            clock=Clock(first_seq=1),
            send=self._send,
            send_score=lambda _: None,
            base=folder,
        )
        self.watcher.resume(self.states.get)
        self.failure = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.wait(lambda: self.is_open)

    def _judging(self):
        self.judging()

    def _open(self, *_, **__):
        self.camera = Camera()
        self.camera.is_broken = self.is_broken
        self.is_open = True  # after the lines
        return self.camera

    def _run(self):
        try:
            self.watcher.run()
        except Exception as error:  # noqa: BLE001 a test asks for it
            self.failure = error

    def _send(self, *encoded, states):
        self.sending()
        self.states |= states
        for each in encoded:
            data = json.loads(each.payload)["data"]
            if each.kind == "reading":
                self.readings.append(data)
            elif each.kind == "alert":
                self.alerts.append(data)

    def wait(self, is_so):
        until = time.monotonic() + 20
        while not is_so():
            assert self.failure is None, self.failure
            assert time.monotonic() < until
            time.sleep(0.005)

    def part(self, shows):
        """A part comes by, and what is told of it; the time of its trigger."""
        self.camera.shows = shows
        time.sleep(0.05)  # in view before the light barrier
        told = len(self.readings)
        t_ns = self.chip.edge()
        self.wait(lambda: len(self.readings) > told)
        return t_ns

    def close(self):
        self.watcher.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def passed(self, *times):
        """Whether the gate opened for the parts of these triggers and for no other."""
        time.sleep(DEADLINE_MS / 1e3 + 0.2)
        opened = [start for start, _ in self.chip.pulses()]
        due = [t_ns + DEADLINE_MS * _MS for t_ns in times]
        return len(opened) == len(due) and all(
            0 <= start - at < 100 * _MS for start, at in zip(opened, due, strict=True)
        )


@pytest.fixture
def chip(tmp_path, monkeypatch):
    chip = FakeChip(tmp_path, monkeypatch)
    yield chip
    chip.close()


@pytest.fixture
def line(tmp_path, monkeypatch, chip):
    running = Line(tmp_path, monkeypatch, chip)
    yield running
    running.close()


def told(line):
    return [(one["part"], one["label"]) for one in line.readings]


def test_good_parts_pass_and_no_other_does(line):
    times = [line.part(shows) for shows in (GOOD, SCRATCHED, DOUBTFUL, DARK, GOOD)]
    assert told(line) == [(1, PASS), (2, REJECT), (3, REVIEW), (4, REJECT), (5, PASS)]
    assert line.passed(times[0], times[-1])
    assert line.readings[3]["reason"] == "Not judged: black."
    assert all(0 < one["took_ms"] < DEADLINE_MS for one in line.readings)
    (raised,) = line.alerts
    assert (raised["label"], raised["level"], raised["state"]) == (REJECT, "notice", "raised")
    assert raised["evidence"] == line.readings[1]["evidence"]
    has_evidence = [one["evidence"] is not None for one in line.readings]
    assert has_evidence == [False, True, True, True, False]
    kept = evidence.decode(line.shelf.get(line.readings[1]["evidence"]))
    assert kept.picture.startswith(b"\xff\xd8")
    health = line.watcher.health()
    (shift,) = health.shifts
    assert (shift.passed, shift.rejected, shift.review) == (2, 2, 1)
    assert health.dropped == {"black": 1}
    assert health.windows == 4


def test_two_parts_closer_than_the_judging_takes_are_each_decided_by_their_own_picture(line):
    line.judging = lambda: time.sleep(0.15)
    line.camera.shows = SCRATCHED
    time.sleep(0.05)
    line.chip.edge()
    time.sleep(0.06)
    line.camera.shows = GOOD
    time.sleep(0.02)
    second = line.chip.edge()
    line.wait(lambda: len(line.readings) == 2)
    assert told(line) == [(1, REJECT), (2, PASS)]
    assert line.passed(second)


def test_judging_slower_than_the_deadline_rejects_and_says_so(line):
    line.judging = lambda: time.sleep(DEADLINE_MS / 1e3 + 0.05)
    line.part(GOOD)
    ((number, label),) = told(line)
    assert (number, label) == (1, REJECT)
    assert "too late for the rejector" in line.readings[0]["reason"]
    assert line.readings[0]["took_ms"] > DEADLINE_MS
    assert line.passed()


def test_a_disk_that_hangs_holds_up_no_decision(line):
    line.sending = lambda: time.sleep(0.5)
    line.camera.shows = GOOD
    time.sleep(0.05)
    times = []
    for _ in range(4):
        times.append(line.chip.edge())
        time.sleep(0.2)
    line.wait(lambda: len(line.readings) == 4)
    assert line.passed(*times)
    assert all(one["took_ms"] < 300 for one in line.readings)


def test_without_a_camera_every_part_is_rejected_and_told(line):
    line.is_broken = line.camera.is_broken = True
    line.wait(lambda: line.watcher.state == "waiting")
    line.chip.edge()
    time.sleep(0.1)
    line.is_broken = False
    line.wait(lambda: len(line.readings) == 1)
    assert told(line) == [(1, REJECT)]
    assert line.readings[0]["reason"] == "Not judged: no_picture."
    good = line.part(GOOD)
    assert told(line)[1] == (2, PASS)
    assert line.passed(good)


def test_a_failed_inference_rejects_the_part_tells_it_and_shuts_the_gate(line):
    def fail():
        raise EngineError("the runtime has failed")

    line.part(GOOD)
    line.judging = fail
    line.chip.edge()
    until = time.monotonic() + 10  # there is no bundle to go on with
    while line.failure is None and time.monotonic() < until:
        time.sleep(0.01)
    assert line.failure is not None
    assert told(line) == [(1, PASS), (2, REJECT)]
    assert line.readings[1]["reason"] == "Not judged: inference failed."
    assert line.chip.log()[-1][1] == 0


def test_a_restart_goes_on_with_the_numbers_and_counts(tmp_path, monkeypatch, chip):
    before = Line(tmp_path, monkeypatch, chip)
    before.part(SCRATCHED)
    before.part(GOOD)
    before.close()
    after = Line(tmp_path, monkeypatch, chip, states=before.states)
    after.part(SCRATCHED)
    after.close()
    assert told(after) == [(3, REJECT)]
    assert after.alerts == []  # raised before
    (shift,) = after.watcher.health().shifts
    assert (shift.passed, shift.rejected) == (1, 2)


def test_what_a_person_says_of_a_part_is_told_and_counted_once(line):
    line.part(SCRATCHED)
    for _ in range(2):
        line.watcher.review(Review(pipeline="line", part=1, verdict="good"))
    line.watcher.review(Review(pipeline="line", part=77, verdict="good"))
    first, said = line.readings
    assert (said["part"], said["label"], said["verdict"]) == (1, REJECT, "good")
    assert said["shift"] == first["shift"]
    (shift,) = line.watcher.health().shifts
    assert (shift.rejected, shift.reviewed, shift.false_rejects) == (1, 1, 1)


def test_an_idle_line_is_no_stalled_one(line):
    line.watcher._progress_s = time.monotonic() - 1000.0
    line.wait(lambda: not line.watcher.is_stalled())
    assert line.watcher.state == "watching"
