"""What the service says on stderr: one line each, in moderation, as systemd's journal reads it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from edge.notify import mark

_AT_ONCE = 10  # lines of a kind
_THEN_EVERY_S = 600.0
_MOST_KINDS = 1000


def begin(level: int) -> None:
    """Set up the log of this process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    handler.addFilter(Moderation())
    logging.basicConfig(level=level, handlers=[handler])


class Formatter(logging.Formatter):
    """Level, who and what, with the priority where the journal reads it."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines where there is a traceback."""
        return mark(super().format(record), record.levelno)


class Moderation(logging.Filter):
    """Lets a trouble that goes on speak ten times, then every ten minutes; the rest is counted.

    A dead sensor is tried again every few seconds, a broker's refusal can come with every message;
    in a journal on a card that would be megabytes a day. Of one kind is what has the same words
    and the same first argument, such as the name of a pipeline. Only warnings and errors are
    moderated: alerts are logged at INFO, each of them.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._lines: dict[tuple[str, str, str], list[float]] = {}  # when the last ones were said
        self._left_out: dict[tuple[str, str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this one is written; it tells how many before it were not."""
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        first = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        kind = record.name, str(record.msg), str(first)
        if len(self._lines) > _MOST_KINDS:
            self._lines.clear()
        said = self._lines.get(kind, [])
        if len(said) == _AT_ONCE and self._now_s() - said[-1] < _THEN_EVERY_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        calm = bool(said) and self._now_s() - said[-1] >= _THEN_EVERY_S
        count = self._left_out.pop(kind, 0)
        if calm and not count:
            said = []  # it was over in between
        self._lines[kind] = [*said[1 - _AT_ONCE :], self._now_s()]
        if count:
            record.msg, record.args = f"{record.getMessage()} ({count} more like this)", None
        return True
