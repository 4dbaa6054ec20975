"""What a person can say about a machine, and what an alert can say to a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from contract import bearings as catalogue
from contract import iso20816
from contract.bearings import Bearing
from contract.iso20816 import Unit, Zone


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[pipeline.machine]`: all optional; each key makes explanations more precise.

    Attributes:
        speed_rpm: of the shaft.
        bearings: names from the catalogue, such as "6205", or a geometry instead of a name.
        iso_class: machine group and mounting of ISO 20816-3, such as "2-rigid"; for severity.
        unit: of the sensor's samples; for severity.
    """

    speed_rpm: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    bearings: list[str | Bearing] = []
    iso_class: str | None = None
    unit: Unit | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be looked up.

        Raises:
            ValueError: no such bearing or class; one line with the fix.
        """
        self.geometries()
        if self.iso_class is not None:
            iso20816.check_class(self.iso_class)

    def geometries(self) -> tuple[Bearing, ...]:
        """Its bearings, those given by name from the catalogue."""
        return tuple(catalogue.find(one) if isinstance(one, str) else one for one in self.bearings)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why an alert was raised, for people.

    Attributes:
        text: plain words, at most 1,000 characters.
        severity: velocity zone of ISO 20816, where the machine's class is known.
        spectra: by name, arrays that a picture of before and after is drawn from; which ones the
            workload's `explain` says.
    """

    text: str
    severity: Zone | None = None
    spectra: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
