"""What is decided of one part on a line, and by what: the words that all of `inspection` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.spec import Detection, Floats

if TYPE_CHECKING:  # OpenCV, which those who only read decisions need not have
    from contract.ops.looks import Looks

PASS, REJECT, REVIEW = "pass", "reject", "review"
OUTCOMES = (PASS, REJECT, REVIEW)


@dataclass(frozen=True, eq=False)
class Part(Detection):
    """One part in view.

    `label` is one of `OUTCOMES`, `score` how much of a defect there is in the worst place, judged
    against `threshold`; `box` is around that place, None where the part passes.

    Attributes:
        features: (rows, columns, d) float32, what the network says of each place; None where there
            is no network.
        step_px: from one place to the next, pixels of the picture.
        heat: (rows, columns) float32, the score of each place, spread evenly over the picture;
            None before it is judged.
        reason: in plain words, why it was decided so.
        sizes: what was measured, by name with the unit at its end (`_px`).
        looks: what the picture is like whatever is on it; None where nobody follows that.
    """

    features: Floats | None = None
    step_px: float = 8.0
    heat: Floats | None = None
    reason: str = ""
    sizes: Mapping[str, float] = field(default_factory=dict)
    looks: Looks | None = None
