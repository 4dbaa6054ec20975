"""Published ways to recognise the people of a closed set. A file in this folder is a family.

Such a file defines `BASELINES`, a tuple of `Baseline`. Each sees a face in its own way, learns some
people from a few pictures of each, and says of another face how probable each of them is. None of
them knows that there are others.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from contract.spec import Array, Detection, Floats


class Fitted(Protocol):
    """Some people, learned."""

    @property
    def model(self) -> Any | None:
        """The Keras network that does it, so that a device's engine can be timed; None: none."""

    def classify(self, rows: Floats) -> Array:
        """(n, persons) probabilities of (n, ...) faces as the baseline sees them."""


@dataclass(frozen=True)
class Published:
    """What was published of it: other people, another camera, a Raspberry Pi of 2015.

    Attributes:
        p0: least probability with which somebody was named.
        accuracy: share of those named that were named right.
        accepted, pictures: how many were named, of how many.
        classify_ms: for a face that was found.
        total_ms: with finding it.
    """

    p0: float
    accuracy: float
    accepted: int
    pictures: int
    classify_ms: float
    total_ms: float


@dataclass(frozen=True)
class Baseline:
    """One way to recognise people.

    Attributes:
        name: what `--compare` calls it.
        see: picture (height, width, 3) uint8, a face with box and points -> what it makes of it.
        fit: (n, ...) of what it sees, (n,) int persons from 0, seed -> what it has learned.
        published: with these thresholds.
    """

    name: str
    see: Callable[[Array, Detection], Floats]
    fit: Callable[[Floats, Array, int], Fitted]
    published: tuple[Published, ...]


def load() -> dict[str, Baseline]:
    """All baselines by name, family by family."""
    return {
        baseline.name: baseline
        for module in sorted(module.name for module in pkgutil.iter_modules(__path__))
        for baseline in importlib.import_module(f"{__name__}.{module}").BASELINES
    }
