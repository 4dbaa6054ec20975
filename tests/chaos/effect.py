"""What all faults have in common: something done to a target, undone, and proved."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from chaos.site import Site

EFFECT_S = 20.0  # how long a fault waits for something it can do harm to
DEAF_S = 75.0  # and until a collector has seen that its connection is dead

# does something to a target for so many seconds, undoes it, and returns the proof
Act = Callable[[Site, str, Random, float], str]


class NoEffectError(Exception):
    """A fault found nothing to harm: it would prove nothing."""
