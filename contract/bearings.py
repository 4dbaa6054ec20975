"""Rolling bearings: how often each part of one passes a fault, by geometry; a small catalogue.

The formulas are those of a bearing that rolls without slip, its outer ring fixed and its inner ring
turning with the shaft (Randall and Antoni, "Rolling element bearing diagnostics", Mechanical
Systems and Signal Processing 25(2), 2011). Real ones slip by 1 to 2 %. Makers give bearings of one
designation different balls: `MAKERS_DIFFER` says by how much that moves a frequency; who needs it
closer writes the geometry itself into the config.
"""

from __future__ import annotations

import difflib
import math
import re
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Part = Literal["outer", "inner", "ball", "cage"]
Length = Annotated[float, Meta(gt=0.0, le=1e4)]

MAKERS_DIFFER = 0.02  # of a frequency: 6308 with 15.875 mm balls (Timken) against 15.081 mm (SKF)
_INCH = 25.4


class Bearing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The geometry that decides the fault frequencies.

    Attributes:
        elements: balls or rollers in one row.
        ball_mm: diameter of one.
        pitch_mm: diameter of the circle that their centres are on.
        angle_deg: contact angle.
        name: what to call it.
    """

    elements: Annotated[int, Meta(ge=3, le=200)]
    ball_mm: Length
    pitch_mm: Length
    angle_deg: Annotated[float, Meta(ge=0.0, lt=90.0)] = 0.0
    name: str = "given by its geometry"

    def __post_init__(self) -> None:
        """Refuse what cannot be built.

        Raises:
            ValueError: the elements would overlap.
        """
        room = self.pitch_mm * math.sin(math.pi / self.elements)
        if self.ball_mm >= room * 1.001:  # a full-complement bearing has none to spare
            raise ValueError(
                f"bearing {self.name}: {self.elements} elements of {self.ball_mm:g} mm do not fit "
                f"on a circle of {self.pitch_mm:g} mm; fix: give both diameters in mm"
            )

    @property
    def _ratio(self) -> float:
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.angle_deg))

    @property
    def bpfo(self) -> float:
        """Elements passing a point of the outer race, per turn of the shaft."""
        return self.elements / 2 * (1 - self._ratio)

    @property
    def bpfi(self) -> float:
        """Elements passing a point of the inner race, per turn of the shaft."""
        return self.elements / 2 * (1 + self._ratio)

    @property
    def bsf(self) -> float:
        """Turns of an element about itself, per turn of the shaft."""
        return self.pitch_mm / (2 * self.ball_mm) * (1 - self._ratio**2)

    @property
    def ftf(self) -> float:
        """Turns of the cage, per turn of the shaft."""
        return (1 - self._ratio) / 2

    def orders(self) -> dict[Part, float]:
        """Blows per turn of the shaft from a fault of each part.

        A spot on a ball strikes both races in one turn of the ball: twice `bsf`.
        """
        return {"outer": self.bpfo, "inner": self.bpfi, "ball": 2 * self.bsf, "cage": self.ftf}


# Name: elements, ball and pitch diameter (mm), contact angle (degrees).
_DATA_SETS = {
    # drive and fan end of the Case Western Reserve University Bearing Data Center (SKF 6205-2RS
    # JEM and 6203-2RS JEM)
    "6205": (9, 0.3126 * _INCH, 1.537 * _INCH, 0.0),
    "6203": (8, 0.2656 * _INCH, 1.122 * _INCH, 0.0),
    # Society for Machinery Failure Prevention Technology, fault data sets: "NICE" bearing
    "NICE": (8, 0.235 * _INCH, 1.245 * _INCH, 0.0),
    # IMS, University of Cincinnati, and Rexnord: Qiu et al., Journal of Sound and Vibration, 2006
    "ZA-2115": (16, 0.331 * _INCH, 2.815 * _INCH, 15.17),
    # PRONOSTIA: Nectoux et al., IEEE PHM 2012
    "6804DD": (13, 3.5, 25.6, 0.0),
    # XJTU-SY: Wang et al., IEEE Transactions on Reliability, 2018
    "UER204": (8, 7.92, 34.55, 0.0),
    # University of Ottawa, Huang and Baddour, Data in Brief, 2018
    "ER16K": (9, 7.94, 38.52, 0.0),
    # Harris, Rolling Bearing Analysis: the worked examples 218 (angular contact) and 209
    # (cylindrical roller)
    "7218B": (16, 22.225, 125.26, 40.0),
    "NU209": (14, 10.0, 65.0, 0.0),
}
# Deep-groove ball bearings: elements, ball diameter in inches, pitch diameter in mm. Ball sizes and
# numbers are those that give the frequency coefficients Timken prints for its 200K and 300K series
# (Ball Bearing Housed Unit Catalog, table A-9).
_DEEP_GROOVE = {
    "6202": (8, 7 / 32, 25.4),
    "6204": (8, 5 / 16, 33.5),
    "6206": (9, 3 / 8, 46.0),
    "6207": (9, 7 / 16, 53.5),
    "6208": (9, 1 / 2, 60.0),
    "6209": (9, 1 / 2, 65.0),
    "6210": (10, 1 / 2, 70.0),
    "6211": (10, 9 / 16, 77.5),
    "6212": (10, 5 / 8, 85.0),
    "6213": (10, 21 / 32, 92.5),
    "6214": (10, 11 / 16, 97.5),
    "6303": (7, 11 / 32, 32.0),
    "6304": (7, 3 / 8, 36.0),
    "6306": (7, 17 / 32, 51.0),
    "6307": (8, 9 / 16, 57.5),
    "6308": (8, 5 / 8, 65.0),
    "6309": (8, 11 / 16, 72.5),
    "6310": (8, 3 / 4, 80.0),
    "6311": (8, 13 / 16, 87.5),
    "6312": (8, 7 / 8, 95.0),
    "6314": (8, 1.0, 110.0),
    "6315": (8, 17 / 16, 117.5),
    "6316": (8, 9 / 8, 125.0),
    "6318": (8, 5 / 4, 140.0),
}
CATALOGUE = MappingProxyType(
    {
        name: Bearing(elements, round(ball_mm, 4), round(pitch_mm, 4), angle_deg, name)
        for name, (elements, ball_mm, pitch_mm, angle_deg) in sorted(
            {
                **{name: (n, d * _INCH, p, 0.0) for name, (n, d, p) in _DEEP_GROOVE.items()},
                **_DATA_SETS,
            }.items()
        )
    }
)


def find(name: str) -> Bearing:
    """The bearing of a designation; a maker's name before it and suffixes after it are allowed.

    Args:
        name: such as "6205", "SKF 6205-2RS" or "6205 ZZ C3".

    Raises:
        ValueError: not in the catalogue; the text names near ones and the way round it.
    """
    words = re.sub(r"[^A-Z0-9]", "", name.upper())
    for known, bearing in CATALOGUE.items():
        pattern = re.escape(known.replace("-", ""))
        # "6205" begins with "620" and "16205" ends with "6205": both are other bearings
        if re.search(rf"(?<![0-9]){pattern}(?![0-9])", words) or re.fullmatch(
            rf"[A-Z]*{pattern}[0-9]?(RS|Z|ZZ|RSH|RZ)[A-Z0-9]*", words
        ):
            return bearing
    digits = re.sub(r"[^0-9]", "", words) or words
    close = difflib.get_close_matches(words, CATALOGUE, n=3, cutoff=0.4) or (
        difflib.get_close_matches(digits, CATALOGUE, n=3, cutoff=0.0)
    )
    raise ValueError(
        f"no bearing {name!r} in the catalogue, which has {', '.join(close)}; fix: one of these, "
        "or its geometry { elements = 9, ball_mm = 7.94, pitch_mm = 39.04 }"
    )
