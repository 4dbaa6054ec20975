"""What is said of lines that are free, taken or not there, and of a deadline."""

from __future__ import annotations

import msgspec
import pytest
from gpio_lines import FakeChip

from edge import doctor_lines
from edge.config import PipelineConfig
from edge.lines import Wired
from edge.lines_child import Wiring


@pytest.fixture
def chip(tmp_path, monkeypatch):
    chip = FakeChip(tmp_path, monkeypatch)
    yield chip
    chip.close()


def pipeline(*, output=1, energised="pass", trigger=None, deadline_ms=150):
    table = {
        "name": "line",
        "bundle": "b",
        "source": {"type": "camera", "url": "/dev/video0", "hop_s": 0.03},
        "trigger": trigger or {"kind": "gpio", "chip": "/dev/gpiochip0", "line": 0},
        "rejector": {
            "chip": "/dev/gpiochip0",
            "line": output,
            "deadline_ms": deadline_ms,
            "energised": energised,
        },
    }
    return msgspec.convert(table, PipelineConfig)


@pytest.mark.usefixtures("chip")
def test_lines_that_are_free_are_ok():
    found = list(doctor_lines.needs([pipeline()]))
    assert [one.level for one in found] == ["ok", "ok"]
    assert all("is free" in one.text for one in found)


@pytest.mark.usefixtures("chip")
def test_a_line_that_is_not_there_fails_with_a_fix():
    _, found = doctor_lines.needs([pipeline(output=99)])
    assert found.level == "fail"
    assert "/dev/gpiochip0 line 99" in found.text
    assert found.fix


@pytest.mark.usefixtures("chip")
def test_a_line_somebody_has_fails():
    opened = pipeline()
    holder = Wired(Wiring(None, opened.rejector))
    holder.open()
    try:
        free, taken = doctor_lines.needs([opened])
        assert (free.level, taken.level) == ("ok", "fail")
        assert "in use by somebody" in taken.text
    finally:
        holder.close()


@pytest.mark.usefixtures("chip")
def test_what_lets_everything_pass_when_it_is_dead_is_warned_of():
    *_, found = doctor_lines.needs([pipeline(energised="reject", trigger={"kind": "image"})])
    assert found.level == "warn"
    assert "dead device" in found.text


@pytest.mark.parametrize(
    ("window_ms", "level"), [(20, "ok"), (59, "ok"), (61, "warn"), (119, "warn"), (121, "fail")]
)
def test_the_deadline_is_held_against_what_a_window_takes(window_ms, level):
    (found,) = doctor_lines.deadline(pipeline(), window_ms / 1e3)
    assert found.level == level
    assert "of 120 ms left of 150" in found.text


def test_without_a_rejector_there_is_no_deadline():
    alone = msgspec.structs.replace(pipeline(), rejector=None)
    assert list(doctor_lines.deadline(alone, 1.0)) == []
