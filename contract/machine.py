"""What a person can say about a machine, and what an alert can say to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

Zone = Literal["A", "B", "C", "D"]


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[pipeline.machine]`: all optional; each key makes explanations more precise.

    Attributes:
        speed_rpm: of the shaft.
        bearings: names from the catalogue, such as "6205".
        iso_class: machine group and mounting of ISO 20816-3, such as "2-rigid"; for severity.
    """

    speed_rpm: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    bearings: list[str] = []
    iso_class: str | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why an alert was raised, for people.

    Attributes:
        text: plain words, at most 1,000 characters.
        severity: velocity zone of ISO 20816, where the machine's class is known.
        spectra: by name, arrays that a picture of before and after is drawn from.
    """

    text: str
    severity: Zone | None = None
    spectra: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
