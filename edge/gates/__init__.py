"""Whether a window can be believed, asked before any model sees it. One gate per kind of input.

A gate remembers what the sensor was like a moment ago; it never looks ahead. It must be far cheaper
than the model, and must never take a failing machine for a failing sensor.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from contract.spec import InputSpec, SignalSpec, Window


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[pipeline.gate]`: what only the owner of a sensor knows about it.

    Attributes:
        full_scale: of a signal, in its unit: the most the sensor can measure.
        floor: of a signal, in its unit: a standard deviation that even a stopped machine exceeds.
        frozen_s: of a camera: how long a picture may stay the same to the bit.
        rate_tolerance: of a signal: how far its sample rate may be off.
    """

    full_scale: Annotated[float, Meta(gt=0.0)] | None = None
    floor: Annotated[float, Meta(ge=0.0)] | None = None
    frozen_s: Annotated[float, Meta(gt=0.0)] = 10.0
    rate_tolerance: Annotated[float, Meta(gt=0.0)] = 0.01


class Gate(Protocol):
    """Asked once for every window, in order."""

    def refuse(self, window: Window) -> str | None:
        """Why `window` must not be judged, in one word for a counter; None if it may be."""


def open_gate(spec: InputSpec, limits: Limits) -> Gate:
    """The gate for what a workload needs of its sensor."""
    from edge.gates.image import ImageGate
    from edge.gates.signal import SignalGate

    if isinstance(spec, SignalSpec):
        return SignalGate(spec, limits)
    return ImageGate(spec, limits)
