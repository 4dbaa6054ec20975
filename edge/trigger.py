"""What says that a part is in view: `[pipeline.trigger]`, by its `kind`.

Without numpy, for the process that reads the lines is to start at once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge.rejector import Chip, LineNumber, Milliseconds

_Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class _Trigger(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"
):
    """What all have in common.

    Attributes:
        delay_ms: from the trigger until the part is where the picture is wanted.
        lag_ms: from a picture's exposure until it is here; None: one period of the camera.
    """

    delay_ms: Milliseconds = 0.0
    lag_ms: Milliseconds | None = None


class _LineTrigger(_Trigger, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Edges of an input of the board, stamped by the kernel."""

    chip: Chip
    line: LineNumber
    edge: Literal["rising", "falling"] = "rising"
    bias: Literal["as-is", "pull-up", "pull-down", "disabled"] = "as-is"
    active_low: bool = False


class GpioTrigger(_LineTrigger, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="gpio"):
    """`kind = "gpio"`: a light barrier, or a PLC; each edge is a part."""

    debounce_ms: Milliseconds = 2.0

    @property
    def pulses(self) -> int:
        """Edges a part."""
        return 1


class EncoderTrigger(
    _LineTrigger, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="encoder"
):
    """`kind = "encoder"`: one track of the belt's encoder; a part every so many pulses."""

    pulses: Annotated[int, Meta(ge=1, le=1_000_000)]
    debounce_ms: Milliseconds = 0.0


class ImageTrigger(_Trigger, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="image"):
    """`kind = "image"`: something is in a region of the picture that is not there otherwise."""

    region: tuple[_Share, _Share, _Share, _Share] = (0.25, 0.25, 0.5, 0.5)
    difference: Annotated[float, Meta(gt=0.0, le=255.0)] = 12.0

    def __post_init__(self) -> None:
        """The region is in the picture and not empty."""
        left, top, width, height = self.region
        if min(width, height) <= 0 or left + width > 1 or top + height > 1:
            raise ValueError(
                f"region = {list(self.region)} is not inside the picture; fix: left, top, width "
                "and height as shares of it, such as [0.25, 0.25, 0.5, 0.5]"
            )


LineTrigger = GpioTrigger | EncoderTrigger
TriggerConfig = GpioTrigger | EncoderTrigger | ImageTrigger
