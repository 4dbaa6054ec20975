"""`vedette bearing`: as an engineer would ask."""

import json

import pytest

from contract.__main__ import main


def test_a_bearing_at_a_speed(capsys):
    assert main("bearing", ["SKF 6205-2RS", "--rpm", "1797"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("6205: 9 elements of 7.94 mm on a circle of 39.0")
    assert "3.5848 x shaft    107.36 Hz  BPFO" in said


def test_orders_without_a_speed_and_json(capsys):
    assert main("bearing", ["6205"]) == 0
    assert " Hz" not in capsys.readouterr().out
    assert main("bearing", ["6205", "--rpm", "1797", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["bearing"] == "6205"
    assert said["hz"]["inner"] == pytest.approx(162.19, abs=0.01)


def test_without_a_name_the_catalogue(capsys):
    assert main("bearing", []) == 0
    assert "6205, 6206, 6207" in capsys.readouterr().out
    assert main("bearing", ["--json"]) == 0
    assert "NICE" in json.loads(capsys.readouterr().out)["bearings"]


def test_an_unknown_name_is_one_line_with_near_ones(capsys):
    assert main("bearing", ["6025"]) == 1
    said = capsys.readouterr().err
    assert "6205" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("rpm", ["0", "-5", "nan", "inf", "fast"])
def test_no_speed_is_wrong_usage(rpm):
    with pytest.raises(SystemExit) as left:
        main("bearing", ["6205", f"--rpm={rpm}"])
    assert left.value.code == 2
