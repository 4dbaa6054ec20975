"""Waiting for what should come soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

READY_S = 40.0


def until(condition: Callable[[], Any], what: str, *, within_s: float = READY_S) -> Any:
    """The first true value of `condition`; a TimeoutError that says `what` was awaited."""
    deadline_s = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.05)
    return value
