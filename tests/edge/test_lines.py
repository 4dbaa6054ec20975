"""The process that keeps a line's inputs and outputs, with a chip made of files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from gpio_lines import FakeChip

from edge import lines_off
from edge.errors import SourceError
from edge.lines import Wired
from edge.lines_child import Keeper, Wiring
from edge.rejector import RejectorConfig
from edge.trigger import EncoderTrigger, GpioTrigger

_MS = 1_000_000
LATE = 80 * _MS  # a machine that does other things as well


@pytest.fixture
def chip(tmp_path, monkeypatch):
    chip = FakeChip(tmp_path, monkeypatch)
    yield chip
    chip.close()


def rejector(chip, **more):
    return RejectorConfig(chip=chip.path, line=1, deadline_ms=400, pulse_ms=100, **more)


@pytest.fixture
def wired(chip):
    lines = Wired(Wiring(GpioTrigger(chip=chip.path, line=0), rejector(chip)))
    yield lines
    lines.close()


def wait_for(is_so, *, most_s=5.0):
    until = time.monotonic() + most_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.002)


def one_pulse(chip):
    wait_for(lambda: [level for _, level in chip.log()] == [0, 1, 0])
    return chip.pulses()


def trigger(chip, lines):
    t_ns = chip.edge()
    wait_for(lambda: chip_has_said(lines, t_ns))
    return t_ns


def chip_has_said(lines, t_ns):
    lines.sync()
    return t_ns in lines.take()


def test_a_part_that_is_passed_in_time_opens_the_gate_when_it_is_there(chip, wired):
    wired.open()
    t_ns = trigger(chip, wired)
    assert wired.decide(t_ns, may_pass=True)
    ((start_ns, end_ns),) = one_pulse(chip)
    assert 0 <= start_ns - t_ns - 400 * _MS < LATE  # on a busy machine
    assert 0 <= end_ns - t_ns - 500 * _MS < LATE


def test_a_reject_and_a_part_nobody_decides_leave_it_shut(chip, wired):
    wired.open()
    assert not wired.decide(trigger(chip, wired), may_pass=False)
    trigger(chip, wired)
    time.sleep(0.6)
    assert [level for _, level in chip.log()] == [0]  # at rest from the start


def test_a_decision_that_comes_too_late_is_a_reject_and_says_so(chip, wired):
    wired.open()
    t_ns = trigger(chip, wired)
    time.sleep(0.41)
    assert not wired.decide(t_ns, may_pass=True)
    assert chip.pulses() == []


def test_two_parts_closer_than_the_decision_takes_are_not_mixed_up(chip, wired):
    wired.open()
    first = chip.edge()
    time.sleep(0.08)
    second = trigger(chip, wired)
    assert not wired.decide(first, may_pass=False)
    assert wired.decide(second, may_pass=True)
    ((start_ns, end_ns),) = one_pulse(chip)
    assert start_ns >= first + 500 * _MS  # not before the reject has gone by
    assert 0 <= end_ns - second - 500 * _MS < LATE


_HOLDER = """
import sys, time, msgspec
from edge.lines import Wired
from edge.lines_child import Wiring
lines = Wired(msgspec.json.decode(sys.argv[1], type=Wiring))
lines.open()
print("open", flush=True)
while not (taken := lines.take()):
    lines.sync()
print(lines.decide(taken[0], may_pass=True), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_service_that_is_killed_or_hangs_leaves_the_gate_shut(chip, number):
    wiring = Wiring(
        GpioTrigger(chip=chip.path, line=0),
        RejectorConfig(chip=chip.path, line=1, deadline_ms=400, pulse_ms=600),
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, msgspec.json.encode(wiring)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"open\n"
        t_ns = chip.edge()
        assert holder.stdout.readline() == b"True\n"
        wait_for(lambda: chip.log()[-1][1] == 1)
        os.kill(holder.pid, number)
        killed_ns = time.monotonic_ns()
        wait_for(lambda: chip.log()[-1][1] == 0)
        (shut_ns, _) = chip.log()[-1]
        if number == signal.SIGKILL:
            assert shut_ns - killed_ns < 300 * _MS  # long before the end of the pulse
        else:  # the pulse ends as it would, and nobody after it passes
            assert 0 <= shut_ns - t_ns - 1000 * _MS < LATE
            chip.edge()
            time.sleep(0.6)
            assert len(chip.pulses()) == 1
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    wait_for(lambda: is_free(chip))


def is_free(chip):
    import gpiod

    with gpiod.Chip(chip.path) as opened:
        return not opened.get_line_info(1).used


def test_when_the_keeper_dies_it_says_so_and_begins_anew_with_the_gate_shut(chip, wired):
    wired.open()
    t_ns = trigger(chip, wired)
    wired._child.kill()
    wired._child.wait()
    assert not wired.decide(t_ns, may_pass=True)
    with pytest.raises(SourceError, match="has ended"):
        wired.sync()
    wired.open()
    assert wired.decide(trigger(chip, wired), may_pass=True)
    assert [level for _, level in chip.log()][:2] == [0, 0]


def test_a_line_somebody_else_has_is_refused_with_the_fix(chip, wired):
    wired.open()
    other = Wired(Wiring(None, rejector(chip)))
    with contextlib.closing(other), pytest.raises(SourceError, match=r"busy; fix: .*gpioinfo"):
        other.open()


def test_a_chip_that_is_not_there_is_refused_with_the_fix(chip):
    lines = Wired(Wiring(None, RejectorConfig(chip="/dev/gpiochip99", line=1, deadline_ms=100)))
    with contextlib.closing(lines), pytest.raises(SourceError, match=r"No such .*; fix: .*doctor"):
        lines.open()


def test_an_output_that_is_active_low_rests_high(chip):
    lines = Wired(Wiring(None, rejector(chip, active_low=True)))
    lines.open()
    lines.close()
    assert {level for _, level in chip.log()} == {1}


class FakeLines:
    """Edges as they are put there, and what was done to the output."""

    fd = None

    def __init__(self):
        self.waiting, self.levels = [], []

    def edges(self):
        waiting, self.waiting = self.waiting, []
        return waiting

    def energise(self, *, is_on):
        self.levels.append(is_on)

    def close(self):
        self.levels.append(False)


def test_an_encoder_gives_a_part_every_so_many_pulses():
    lines = FakeLines()
    keeper = Keeper(Wiring(EncoderTrigger(chip="/dev/c", line=0, pulses=4), None), lines)
    said = []
    for t_ns in range(1, 11):
        lines.waiting.append(t_ns)
        said += keeper.look()
    assert said == [("part", 4), ("part", 8)]


def test_what_the_camera_saw_is_a_part_too():
    lines = FakeLines()
    config = RejectorConfig(chip="/dev/c", line=1, deadline_ms=100, pulse_ms=60)
    keeper = Keeper(Wiring(None, config), lines)
    assert keeper.hear("part", 0, now_ns=20 * _MS) == []
    assert keeper.hear("pass", 0, now_ns=60 * _MS) == [("pass", 0)]
    assert keeper.turn(99 * _MS) == 100 * _MS
    assert keeper.turn(100 * _MS) == 160 * _MS
    assert keeper.turn(160 * _MS) is None
    assert lines.levels == [False, True, False]


def test_an_answer_to_sync_comes_after_every_edge_before_it():
    lines = FakeLines()
    lines.waiting = [5, 6]
    keeper = Keeper(Wiring(GpioTrigger(chip="/dev/c", line=0), None), lines)
    assert keeper.hear("sync", 9, now_ns=10) == [("part", 5), ("part", 6), ("sync", 9)]


def test_after_the_service_every_output_of_its_config_is_at_rest(chip, tmp_path):
    path = tmp_path / "edge.toml"
    path.write_text(f"""
[device]
name = "d"
[[pipeline]]
name = "line"
bundle = "b"
source = {{ type = "pictures", path = "p", hop_s = 0.05 }}
trigger = {{ kind = "gpio", chip = "{chip.path}", line = 0 }}
rejector = {{ chip = "{chip.path}", line = 1, deadline_ms = 100, active_low = true }}
""")
    assert lines_off.main(path) == 0
    assert [level for _, level in chip.log()] == [1]
    assert is_free(chip)
    path.write_text(path.read_text().replace("line = 1", "line = 99"))
    assert lines_off.main(path) == 1
