"""Sections through the workload as a device runs it: measured, judged, told."""

from __future__ import annotations

import numpy as np
import pytest
from section_pictures import section, seen

from contract.fold import fold
from contract.section_limits import Limit, Limits, as_arrays
from contract.spec import OperatingPoint, Profile, Window
from contract.workloads.catheter_section import WORKLOAD

POINT = OperatingPoint(1.0, 1.0, "the limits of the drawing", {})
LIMITS = Limits(2.0, {"lumens": Limit(2, 2), "outer_diameter_um": Limit(598.0, 604.0)})


def judged(picture, limits=LIMITS):
    (found,), _ = fold(WORKLOAD, {}, [Window("camera", 0, 0, 0, picture, 0.0)])
    return WORKLOAD.judge(found, Profile(POINT, as_arrays(limits), "0" * 12, 0))


def readings(*pictures):
    policy = WORKLOAD.policy(POINT)
    said = [body for picture in pictures for body in policy.update(judged(picture), 0)]
    return [body for body in said if hasattr(body, "sizes")]


def test_a_good_section_passes_with_its_sizes():
    (reading,) = readings(section())
    assert (reading.workload, reading.label, reading.part) == ("catheter_section", "pass", 1)
    assert reading.sizes["outer_diameter_um"] == pytest.approx(601.2, abs=0.1)
    assert reading.sizes["lumens"] == 2
    assert reading.score <= reading.threshold


def test_a_lumen_too_few_is_rejected_and_said():
    (reading,) = readings(section(lumens=[(150.0, 150.0, 50.0, 50.0)]))
    assert (reading.label, reading.reason) == ("reject", "lumens 1, must be 2")
    assert reading.score > reading.threshold


@pytest.mark.parametrize(
    ("picture", "why"),
    [(seen(section(), blur=4.0), "out of focus"), (np.zeros((200, 200, 3), np.uint8), "too dark")],
)
def test_what_cannot_be_measured_is_refused_without_a_size(picture, why):
    (reading,) = readings(picture)
    assert reading.label == "refused"
    assert reading.reason.startswith(why)
    assert reading.sizes == {}


def test_parts_are_counted_whatever_became_of_them():
    told = readings(section(), seen(section(), blur=4.0), section())
    assert [(one.part, one.label) for one in told] == [(1, "pass"), (2, "refused"), (3, "pass")]


def test_without_limits_whatever_can_be_measured_passes():
    (part,) = judged(section(), Limits())
    assert (part.label, part.score) == ("pass", 0.0)
    assert "outer_diameter_px" in part.sizes
    assert "outer_diameter_um" not in part.sizes
