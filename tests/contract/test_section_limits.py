"""Limits of sections: read, refused where they make no sense, and what they decide."""

from __future__ import annotations

import json

import numpy as np
import pytest
from section_pictures import LUMENS, disc, section, seen

from contract import section_limits
from contract.inspection import PASS, REJECT
from contract.section_limits import LOOKS, REFUSED, Limit, Limits, LimitsError

PICTURE = section()  # 300.6 px wide, two lumens
TOML = b"""
um_per_px = 2.0
[limits.lumens]
low = 2
high = 2
[limits.outer_diameter_um]
low = 600.0
high = 602.0
[limits.wall_least_px]
low = 40.0
[limits.ovality]
high = 0.01
"""


def read(raw, name="limits.toml"):
    return section_limits.read(raw, name=name)


def only(**limits):
    return Limits(limits={name: Limit(*ends) for name, ends in limits.items()})


def test_what_is_within_its_limits_passes_with_all_sizes():
    part = section_limits.inspect(PICTURE, read(TOML))
    assert (part.label, part.reason) == (PASS, "")
    assert 0.0 < part.score <= 1.0 == part.threshold
    assert part.sizes["outer_diameter_um"] == 2.0 * part.sizes["outer_diameter_px"]
    assert part.box == pytest.approx((50.1, 30.4, 350.7, 331.0), abs=0.2)


def test_toml_and_json_say_the_same():
    as_json = {
        "um_per_px": 2.0,
        "limits": {
            "lumens": {"low": 2, "high": 2},
            "outer_diameter_um": {"low": 600.0, "high": 602.0},
            "wall_least_px": {"low": 40.0},
            "ovality": {"high": 0.01},
        },
    }
    assert read(json.dumps(as_json).encode(), "limits.json") == read(TOML)


def test_what_is_out_of_its_limits_is_named_with_what_is_allowed():
    part = section_limits.inspect(PICTURE, only(wall_least_px=(45.0, 50.0), lumens=(3, 3)))
    assert part.label == REJECT
    assert part.reason == "wall_least_px 41.33, allowed 45 to 50; lumens 2, must be 3"
    # 41.33 is 6.2 from the middle, 2.5 are allowed
    assert section_limits.inspect(PICTURE, only(wall_least_px=(45.0, 50.0))).score == pytest.approx(
        6.2 / 2.5, abs=0.1
    )


@pytest.mark.parametrize(
    ("limit", "value", "excess"),
    [
        (Limit(10.0, 20.0), 15.0, 0.0),
        (Limit(10.0, 20.0), 20.0, 1.0),
        (Limit(10.0, 20.0), 5.0, 2.0),
        (Limit(10.0), 10.0, 1.0),
        (Limit(10.0), 5.0, 1.5),
        (Limit(None, 10.0), 12.0, 1.2),
        (Limit(3, 3), 3.0, 0.0),
        (Limit(3, 3), 4.0, 2.0),
    ],
)
def test_an_excess_is_one_at_the_limit(limit, value, excess):
    assert limit.excess(value) == pytest.approx(excess)


def test_a_size_that_is_limited_and_not_there_rejects():
    """The second lumen is closed: nobody may pass it for want of a number."""
    part = section_limits.inspect(section(lumens=LUMENS[:1]), only(lumen_2_diameter_px=(79, 81)))
    assert (part.label, part.score) == (REJECT, 2.0)
    assert part.reason == "lumen_2_diameter_px is missing: 1 lumens"


WRONG_PICTURES = {
    "dark": (seen(PICTURE, gain=0.3), "too dark"),
    "blurred": (seen(PICTURE, blur=3.0), "out of focus"),
    "cut": (np.ascontiguousarray(PICTURE[60:]), "not whole"),
    "empty": (section(disc(0, 0, 1), []), "too dark"),
}


@pytest.mark.parametrize("name", WRONG_PICTURES)
def test_a_refused_picture_has_a_reason_and_no_sizes(name):
    picture, why = WRONG_PICTURES[name]
    part = section_limits.inspect(picture, read(TOML))
    assert (part.label, part.score, dict(part.sizes)) == (REFUSED, 0.0, {})
    assert why in part.reason


def test_a_limit_on_the_picture_refuses_it_and_rejects_nothing():
    """A station whose light is set right can ask for more than what just can be measured."""
    brighter = seen(PICTURE, gain=1.6)
    assert section_limits.inspect(brighter, Limits()).label == PASS
    part = section_limits.inspect(brighter, only(shoulder=(0.9, None)))
    assert part.label == REFUSED
    assert part.reason.startswith("the picture is not as it should be: shoulder 0.")
    assert part.reason.endswith(", at least 0.9")
    assert section_limits.inspect(PICTURE, only(shoulder=(0.9, None))).label == PASS


@pytest.mark.parametrize("name", ["lumens", "lumen_12_longest_um", "septum_least_px", *LOOKS])
def test_every_size_and_look_can_be_limited(name):
    limits = Limits(1.0, {name: Limit(0.0, 1.0)})
    section_limits.check(limits, name="limits.toml")


def test_all_that_is_measured_can_be_limited():
    measured = section_limits.inspect(PICTURE, Limits(2.0)).sizes
    assert len(measured) > 25
    section_limits.check(Limits(2.0, {name: Limit(0.0) for name in measured}), name="all")


def test_a_bundle_carries_limits_as_arrays():
    limits = read(TOML)
    arrays = section_limits.as_arrays(limits)
    assert all(array.dtype.kind == "f" and not np.isnan(array).any() for array in arrays.values())
    assert section_limits.from_arrays(arrays) == limits
    assert section_limits.from_arrays({"good.mean": np.ones(3)}) == Limits()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"um_per_px = 0.0", "limits.toml: um_per_px: 0.0; fix: a number above 0"),
        (b"[limits.diameter]\nlow = 1.0", "limits.diameter: no such size; fix: such as outer"),
        (
            b"[limits.outer_least_um]\nlow = 1.0",
            "fix: give um_per_px, or a limit on outer_least_px",
        ),
        (b"[limits.ovality]", "limits.ovality: limits nothing; fix: give low or high"),
        (b"[limits.ovality]\nlow = 2\nhigh = 1", "low 2 is above high 1; fix: swap them"),
        (b"[limits.ovality]\nhihg = 1", "unknown field `hihg`"),
        (b"low high", "limits.toml: "),
        (b"\xff", "limits.toml: "),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_one_line(raw, said):
    with pytest.raises(LimitsError) as caught:
        read(raw)
    assert said in str(caught.value)
    assert "fix: " in str(caught.value)
    assert "\n" not in str(caught.value)
