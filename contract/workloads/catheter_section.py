"""Measure the cross-section of a tube in view: sizes within their limits, or why not.

A classical method: a stage without a model. The limits travel with the bundle
(`contract.section_limits.as_arrays`); without any every section that can be measured passes.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from contract import section_limits
from contract.inspection import Part
from contract.inspection_policy import EachPart
from contract.spec import Detections, Floats, ImageSpec, Profile, Stage, Window, Workload


def grey(window: Window, _found: Detections) -> Floats:
    """(1, height, width) float32, the mean of the channels, 0 to 255."""
    light: Floats = window.data.mean(axis=2, dtype=np.float32)[None]
    return light


def measured(_window: Window, _found: Detections, rows: Floats, _same: Floats) -> Detections:
    """The section with its sizes, or why it must not be measured."""
    return (section_limits.measure(rows[0]),)


def judge(found: Detections, profile: Profile) -> Detections:
    """Pass, reject or refused, by the limits that the bundle brought."""
    limits = section_limits.from_arrays(profile.learned)
    return tuple(section_limits.decide(one, limits) for one in found if isinstance(one, Part))


WORKLOAD = Workload(
    name="catheter_section",
    revision=1,
    input=ImageSpec(min_height=64, min_width=64, example_height=480, example_width=640),
    stages=(Stage("measure", grey, measured),),
    judge=judge,
    policy=partial(EachPart, workload="catheter_section", k=3, n=20, calm=20),
    tolerances={},
    labels=section_limits.LABELS,
)
