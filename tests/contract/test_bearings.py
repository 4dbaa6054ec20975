"""Fault frequencies against what data sets and makers print; names as people write them."""

import msgspec
import pytest

from contract import bearings
from contract.bearings import CATALOGUE, Bearing, find
from contract.machine import Machine

# BPFO, BPFI, BSF as printed: Timken, Ball Bearing Housed Unit Catalog, table A-9
PRINTED = {
    "6204": (3.052, 4.948, 1.992),
    "6206": (3.568, 5.432, 2.311),
    "6207": (3.565, 5.435, 2.303),
    "6208": (3.547, 5.453, 2.256),
    "6209": (3.621, 5.379, 2.461),
    "6210": (4.093, 5.907, 2.665),
    "6211": (4.078, 5.922, 2.620),
    "6212": (4.066, 5.934, 2.584),
    "6213": (4.099, 5.901, 2.685),
    "6214": (4.104, 5.896, 2.702),
    "6303": (2.545, 4.455, 1.696),
    "6304": (2.574, 4.426, 1.757),
    "6306": (2.574, 4.426, 1.757),
    "6307": (3.006, 4.994, 1.888),
    "6308": (3.023, 4.977, 1.925),
    "6309": (3.037, 4.963, 1.955),
    "6310": (3.047, 4.953, 1.981),
    "6311": (3.057, 4.943, 2.002),
    "6312": (3.064, 4.936, 2.020),
    "6314": (3.076, 4.924, 2.050),
    "6315": (3.081, 4.919, 2.062),
    "6316": (3.086, 4.914, 2.073),
    "6318": (3.093, 4.907, 2.091),
    # the bearing data center of Case Western Reserve University
    "6205": (3.5848, 5.4152, 4.7135 / 2),
    "6203": (3.0530, 4.9469, 3.9874 / 2),
    # 81.125 and 118.875 Hz at 25 Hz in the MFPT data
    "NICE": (3.245, 4.755, 2.5555),
}


@pytest.mark.parametrize("name", PRINTED)
def test_frequencies_are_those_in_print(name):
    bearing = find(name)
    assert (bearing.bpfo, bearing.bpfi, bearing.bsf) == pytest.approx(PRINTED[name], abs=1.1e-3)


def test_a_contact_angle_counts():
    # IMS at 2000 rpm: 236.4 Hz outer race, 296.9 Hz inner race
    bearing = find("ZA-2115")
    assert bearing.bpfo * 2000 / 60 == pytest.approx(236.4, abs=0.1)
    assert bearing.bpfi * 2000 / 60 == pytest.approx(296.9, abs=0.1)


@pytest.mark.parametrize("name", CATALOGUE)
def test_passes_of_both_races_add_up_and_a_ball_strikes_twice_a_turn(name):
    bearing = find(name)
    assert bearing.bpfo + bearing.bpfi == pytest.approx(bearing.elements)
    assert bearing.bpfo == pytest.approx(bearing.elements * bearing.ftf)
    orders = bearing.orders()
    assert orders["ball"] == pytest.approx(2 * bearing.bsf)
    assert orders["cage"] < 0.5 < orders["outer"] < orders["inner"]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("6205", "6205"),
        ("SKF 6205-2RS JEM", "6205"),
        ("6205 ZZ C3", "6205"),
        ("6308-2Z", "6308"),
        ("za2115", "ZA-2115"),
        ("NU 209 ECP", "NU209"),
        ("nsk 6804dd", "6804DD"),
    ],
)
def test_names_are_found_as_they_are_written_on_the_box(written, name):
    assert find(written).name == name


@pytest.mark.parametrize("written", ["16205", "62055", "620", "", "NJ2309"])
def test_another_bearing_is_not_taken_for_one_of_the_catalogue(written):
    with pytest.raises(ValueError, match=r"in the catalogue, .*; fix: .*geometry") as said:
        find(written)
    assert "\n" not in str(said.value)


def test_an_unknown_name_is_answered_with_near_ones():
    with pytest.raises(ValueError, match=r"which has .*6205"):
        find("6025")


def test_makers_differ_by_no_more_than_is_said():
    ours = find("6308")
    skf = Bearing(elements=8, ball_mm=15.081, pitch_mm=65.0)
    assert abs(skf.bpfo / ours.bpfo - 1) < bearings.MAKERS_DIFFER


def test_a_machine_takes_names_and_geometries():
    given = {"bearings": ["6205", {"elements": 9, "ball_mm": 7.94, "pitch_mm": 39.04}]}
    first, second = msgspec.convert(given, Machine).geometries()
    assert first.bpfo == pytest.approx(second.bpfo, abs=1e-3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bearings": ["9999"]}, "no bearing '9999'"),
        ({"bearings": [{"elements": 9, "ball_mm": 70, "pitch_mm": 39}]}, "do not fit"),
        ({"bearings": [{"elements": 2, "ball_mm": 7, "pitch_mm": 39}]}, "elements"),
        ({"bearings": [{"elements": 9, "ball_mm": 7, "pitch_mm": 39, "balls": 3}]}, "balls"),
        ({"iso_class": "3"}, "no iso_class '3'; fix: one of 1-rigid"),
        ({"unit": "mg"}, "mg"),
        ({"speed_rpm": 0}, "speed_rpm"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_in_one_line(given, said):
    with pytest.raises(msgspec.ValidationError, match=said) as refused:
        msgspec.convert(given, Machine)
    assert "\n" not in str(refused.value)
