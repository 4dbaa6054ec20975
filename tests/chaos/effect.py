"""What all faults have in common: something done to a target, undone, and proved."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from chaos.site import Site

EFFECT_S = 20.0  # how long a fault waits for something it can do harm to

# does something to a target for so many seconds, undoes it, and returns the proof
Act = Callable[[Site, str, Random, float], str]


class NoEffectError(Exception):
    """A fault found nothing to harm: it would prove nothing."""
