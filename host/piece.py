"""What a demo shows: something for a device to watch, and what is to be said of it afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Alerts = Sequence[dict[str, Any]]  # as the collector's API gives them


@dataclass(frozen=True)
class Piece:
    """One.

    Attributes:
        name: for people.
        pipeline: the `[[pipeline]]` table of the device's config.
        windows: how many there are from the beginning to the end.
        where: in it, of a window's number, for people.
        summarise: alerts that were raised -> what the summary has besides what all have.
        lines: the summary -> what a person wants to read of it.
        is_right: the summary -> whether it went as it must.
    """

    name: str
    pipeline: str
    windows: int
    where: Callable[[int], str]
    summarise: Callable[[Alerts], dict[str, Any]]
    lines: Callable[[dict[str, Any]], list[str]]
    is_right: Callable[[dict[str, Any]], bool]
