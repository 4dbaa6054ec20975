"""A trouble that goes on does not fill the journal, and none is hidden by another."""

from __future__ import annotations

import logging

from fakes import FakeClock

from edge.logs import Moderation


class Log:
    """What gets through, as text."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lines: list[str] = []
        self._filter = Moderation(lambda: self.clock.mono / 1e9)

    def say(self, text: str, *arguments: object, level: int = logging.WARNING) -> None:
        record = logging.LogRecord("x", level, __file__, 1, text, arguments, None)
        if self._filter.filter(record):
            self.lines.append(record.getMessage())


def test_what_goes_on_is_said_ten_times_and_then_every_ten_minutes():
    """With the number of those that were left out; a day of it is some 150 lines."""
    log = Log()
    for _ in range(86_400 // 5):
        log.say("%s: %s; trying again", "camera", "no picture")
        log.clock.advance(5.0)
    assert log.lines[9] == "camera: no picture; trying again"
    assert log.lines[10] == "camera: no picture; trying again (119 more like this)"
    assert 140 < len(log.lines) < 160


def test_another_pipeline_speaks_for_itself():
    """The first argument tells them apart."""
    log = Log()
    for _ in range(100):
        log.say("%s: %s", "camera", "no picture")
    log.say("%s: %s", "pump", "no samples")
    assert log.lines[-1] == "pump: no samples"


def test_what_was_over_may_speak_again():
    """After ten minutes of silence, ten times again."""
    log = Log()
    for _ in range(3):
        for _ in range(10):
            log.say("%s away", "broker")
        log.clock.advance(601.0)
    assert log.lines == ["broker away"] * 30


def test_alerts_and_deaths_are_always_said():
    """INFO and CRITICAL are nobody's to leave out."""
    log = Log()
    for _ in range(50):
        log.say("alert stored", level=logging.INFO)
        log.say("thread %s died", "p", level=logging.CRITICAL)
    assert len(log.lines) == 100
