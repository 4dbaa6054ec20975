"""Inspect parts on a line: pass, reject, or send to a person, and show where and why.

The picture is looked at in squares at its own resolution, for the absolute size of a mark decides
whether it is a defect. What the network says of every place is judged by `contract.defects`; what
the pictures look like whatever is on them is followed by `contract.drift`.
"""

from __future__ import annotations

from functools import partial

from contract import defects
from contract.drift import PREFIX, Drift
from contract.inspection import OUTCOMES, PASS, Part
from contract.inspection_policy import EachPart
from contract.ops import tiles
from contract.ops.looks import looks
from contract.spec import (
    Detections,
    Floats,
    Follower,
    ImageSpec,
    Profile,
    Stage,
    Window,
    Workload,
)


def shown(window: Window, _found: Detections) -> Floats:
    """(looks, 256, 256, 3) float32 pixels from 0 to 255."""
    return tiles.looks(tiles.enlarged(window.data))


def mapped(window: Window, _found: Detections, _shown: Floats, maps: Floats) -> Detections:
    """The part in view: features of every place, and what the picture is like."""
    by = tiles.scale(*window.data.shape[:2])
    lies = tiles.layout(*tiles.enlarged(window.data).shape[:2])
    features = tiles.joined(maps, lies)
    return (Part(PASS, features=features, step_px=tiles.STEP / by, looks=looks(window.data)),)


def drift(profile: Profile) -> Follower:
    """What follows the looks of parts, where good ones were learned from."""
    return Drift(profile) if f"{PREFIX}view" in profile.learned else _Nothing()


class _Nothing:
    """Follows nothing: there were too few good parts to learn from."""

    def update(self, found: Detections, _t_ns: int) -> Detections:
        """The detections as they came."""
        return found

    def state(self) -> dict[str, Floats]:
        """Nothing."""
        return {}

    def resume(self, _state: object) -> None:
        """Nothing to go on from."""


WORKLOAD = Workload(
    name="inspection",
    revision=2,
    input=ImageSpec(min_height=32, min_width=32, example_height=256, example_width=256),
    stages=(Stage("look", shown, mapped, input_shape=(tiles.SIDE, tiles.SIDE, 3)),),
    judge=defects.judge,
    follow=drift,
    policy=partial(EachPart, workload="inspection", k=3, n=20, calm=20),
    tolerances={"auroc": 0.02},
    labels=OUTCOMES,
)
