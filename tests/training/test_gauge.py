"""Gauge R&R against the worked example of the manual, by hand, and as a command."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from section_pictures import disc, section, seen, turned

from training import gauge
from training.datasets import DataError
from training.gauge_study import study, table

# AIAG, Measurement Systems Analysis, 4th edition, table III-B 6a: three appraisers, each three
# times ten parts.
AIAG = np.array(
    [
        [
            [0.29, -0.56, 1.34, 0.47, -0.80, 0.02, 0.59, -0.31, 2.26, -1.36],
            [0.41, -0.68, 1.17, 0.50, -0.92, -0.11, 0.75, -0.20, 1.99, -1.25],
            [0.64, -0.58, 1.27, 0.64, -0.84, -0.21, 0.66, -0.17, 2.01, -1.31],
        ],
        [
            [0.08, -0.47, 1.19, 0.01, -0.56, -0.20, 0.47, -0.63, 1.80, -1.68],
            [0.25, -1.22, 0.94, 1.03, -1.20, 0.22, 0.55, 0.08, 2.12, -1.62],
            [0.07, -0.68, 1.34, 0.20, -1.28, 0.06, 0.83, -0.34, 2.19, -1.50],
        ],
        [
            [0.04, -1.38, 0.88, 0.14, -1.46, -0.29, 0.02, -0.46, 1.77, -1.49],
            [-0.11, -1.13, 1.09, 0.20, -1.07, -0.67, 0.01, -0.56, 1.45, -1.77],
            [-0.15, -0.96, 0.67, 0.11, -1.45, -0.49, 0.21, -0.49, 1.87, -2.16],
        ],
    ]
).transpose(2, 0, 1)


def test_the_worked_example_of_the_manual_comes_out():
    """Tables III-B 7 and III-B 8; the manual's GRR differs by one in its last digit."""
    found = study(AIAG)
    lines = (found.operators, found.parts, found.interaction, found.repeats)
    squares = [round(one.squares, 4) for one in lines]
    assert squares == [3.1673, 88.3619, 0.3590, 2.7589]
    assert [one.freedom for one in lines] == [2, 9, 18, 60]
    assert found.f_interaction == pytest.approx(0.434, abs=5e-4)
    assert found.is_pooled
    deviations = (found.ev, found.av, found.interacting, found.grr, found.pv)
    assert deviations == pytest.approx((0.199933, 0.226838, 0.0, 0.302373, 1.042327), abs=2e-6)
    assert found.tv == pytest.approx(1.0853, abs=5e-5)
    shares = [found.study_percent(one) for one in (found.ev, found.av, found.grr, found.pv)]
    assert shares == pytest.approx([18.4, 20.9, 27.9, 96.0], abs=0.05)
    assert found.categories == 4
    assert "tells 4 kinds of parts only" in found.verdict


def test_a_study_small_enough_for_paper():
    """Two parts, two operators, twice; the second reads 1 more, and on the second part 3 more.

    Cells 0, 1, 10, 13, each -1 and +1: mean squares of parts 242, operators 8, both 2, repeats 2.
    """
    cells = np.array([[0.0, 1.0], [10.0, 13.0]])
    found = study(cells[:, :, None] + np.array([-1.0, 1.0]))
    assert [one.mean for one in (found.parts, found.operators)] == pytest.approx([242.0, 8.0])
    assert [one.mean for one in (found.interaction, found.repeats)] == pytest.approx([2.0, 2.0])
    assert found.f_interaction == pytest.approx(1.0)
    # for 1 and 4 degrees of freedom: twice the upper tail of Student's t with 4 at 1
    assert found.p_interaction == pytest.approx(0.373901, abs=1e-5)
    assert found.is_pooled
    assert found.ev == pytest.approx(math.sqrt(2.0))
    assert found.av == pytest.approx(math.sqrt((8.0 - 2.0) / 4))
    assert found.pv == pytest.approx(math.sqrt((242.0 - 2.0) / 4))
    assert found.categories == int(1.41 * math.sqrt(60.0) / math.sqrt(3.5))


def test_an_interaction_that_is_no_chance_stays_apart():
    """The same with repeats ten times closer: mean squares 242, 8, 2 and 0.02."""
    cells = np.array([[0.0, 1.0], [10.0, 13.0]])
    found = study(cells[:, :, None] + np.array([-0.1, 0.1]))
    assert not found.is_pooled
    assert found.ev == pytest.approx(math.sqrt(0.02))
    assert found.interacting == pytest.approx(math.sqrt((2.0 - 0.02) / 2))
    assert found.av == pytest.approx(math.sqrt((8.0 - 2.0) / 4))
    assert found.grr == pytest.approx(math.sqrt(0.02 + 0.99 + 1.5))


def test_variances_that_went_in_come_out():
    """Many parts and operators of known spread."""
    rng = np.random.default_rng(3)
    parts, operators = rng.normal(0, 5.0, (60, 1, 1)), rng.normal(0, 1.0, (1, 40, 1))
    found = study(parts + operators + rng.normal(0, 0.5, (60, 40, 3)))
    assert found.ev == pytest.approx(0.5, rel=0.03)
    assert found.av == pytest.approx(1.0, rel=0.25)
    assert found.pv == pytest.approx(5.0, rel=0.2)


@pytest.mark.parametrize(
    ("spread", "verdict"),
    [
        (0.1, "the gauge is good enough"),
        (1.0, "the gauge is bearable: 10 to 30 % of the variation"),
        (9.0, "the gauge is not good enough: more than 30 % of the variation"),
    ],
)
def test_the_verdict_follows_the_share(spread, verdict):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 5.0, (10, 1, 1)) + rng.normal(0, spread, (10, 3, 3))
    assert study(values).verdict == verdict


def test_a_gauge_without_any_spread_is_perfect():
    values = np.arange(5.0)[:, None, None].repeat(2, axis=1).repeat(2, axis=2)
    found = study(values)
    assert (found.grr, found.is_good) == (0.0, True)


@pytest.mark.parametrize("shape", [(1, 2, 2), (2, 1, 2), (2, 2, 1)])
def test_too_small_a_study_is_refused(shape):
    with pytest.raises(DataError, match="too few; fix: at least two of each"):
        study(np.arange(4.0).reshape(shape))


def test_values_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="all values are the same; fix: parts that differ"):
        study(np.ones((2, 2, 2)))


ROWS = [
    (p, o, r, float(i))
    for i, (p, o, r) in enumerate((p, o, r) for p in "xy" for o in "ab" for r in "12")
]


def test_a_table_may_stand_in_any_order():
    parts, operators, values = table(ROWS[::-1])
    assert (parts, operators) == (["y", "x"], ["b", "a"])
    assert values.tolist() == [[[7, 6], [5, 4]], [[3, 2], [1, 0]]]


def test_a_table_that_is_not_crossed_is_refused():
    with pytest.raises(DataError, match="part x, operator b: measured 1 times, others 2; fix"):
        table([row for row in ROWS if row[:3] != ("x", "b", "2")])
    with pytest.raises(DataError, match="part x, operator a: repeat 1 stands twice"):
        table([*ROWS, ROWS[0]])


def write(file, rows):
    lines = ["part,operator,repeat,value", *(",".join(str(one) for one in row) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def measures(tmp_path):
    """The manual's values as a table."""
    rows = [
        (part + 1, "ABC"[operator], repeat + 1, AIAG[part, operator, repeat])
        for part, operator, repeat in np.ndindex(AIAG.shape)
    ]
    return write(tmp_path / "measures.csv", rows)


@pytest.mark.slow
def test_the_command_says_and_draws_it(measures, tmp_path, capsys):
    page = tmp_path / "gauge.html"
    arguments = [str(measures), "--out", str(page), "--tolerance", "4", "--json"]
    assert gauge.main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ndc"] == 4
    assert said["grr_percent"] == pytest.approx(27.86, abs=0.01)
    assert said["grr_percent_of_tolerance"] == pytest.approx(100 * 6 * 0.302372 / 4, abs=0.01)
    html = page.read_text()
    assert html.count("<svg") == 2
    for shown in ("27.86", "18.42", "45.36", "0.30237", "10 parts, 3 operators, 3 repeats"):
        assert shown in html
    assert not [one for one in ("<link", "src=", 'href="http') if one in html]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text.replace("0.29", "much"), "line 2: value 'much'; fix: a number"),
        (lambda text: text.replace("value", "wert", 1), "no 'value'"),
        (lambda text: text.replace("1,A,1,0.29\n", ""), "part 1, operator A: measured 2 times"),
    ],
)
def test_a_spoilt_table_is_refused_in_one_line(measures, capsys, spoil, said):
    measures.write_text(spoil(measures.read_text()))
    assert gauge.main([str(measures)]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def photographed(tmp_path):
    """Three tubes, photographed twice by each of two people; one of whom turns the light up."""
    from PIL import Image

    rng = np.random.default_rng(7)
    folder = tmp_path / "pictures"
    for number, radius in enumerate((140.0, 142.0, 144.0)):
        tube = section(disc(200, 180, radius), [disc(203, 182, radius - 30)])
        for operator, gain in (("ann", 1.0), ("bea", 1.1)):
            (folder / f"tube{number}" / operator).mkdir(parents=True)
            for repeat, angle in enumerate(rng.uniform(0, 360, 2)):
                picture = seen(turned(tube, angle), gain=gain, noise=2.0, seed=repeat)
                file = folder / f"tube{number}" / operator / f"{repeat}.png"
                Image.fromarray(picture).save(file)
    return folder


def test_pictures_are_measured_and_the_limits_give_the_tolerance(photographed, tmp_path, capsys):
    """Radii 2 px apart: diameters of 560, 568 and 576 um, whose standard deviation is 8."""
    limits = tmp_path / "limits.toml"
    limits.write_text("um_per_px = 2.0\n[limits.outer_diameter_px]\nlow = 270.0\nhigh = 290.0\n")
    arguments = ["--size", "outer_diameter_um", "--limits", str(limits), "--json"]
    assert gauge.main([str(photographed), *arguments]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["pv"] == pytest.approx(8.0, abs=0.1)
    assert said["ev"] < 0.2
    assert said["av"] < 0.2
    tolerance = 20.0 * 2.0
    wanted = 100 * 6 * said["grr"] / tolerance
    assert said["grr_percent_of_tolerance"] == pytest.approx(wanted)


def test_a_picture_that_cannot_be_measured_stops_the_study(photographed, capsys):
    from PIL import Image

    file = photographed / "tube1" / "ann" / "0.png"
    Image.fromarray(seen(np.asarray(Image.open(file)), blur=4.0)).save(file)
    assert gauge.main([str(photographed)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "tube1/ann/0.png: not measured: out of focus" in said.replace(" /", "/")
    assert "fix: photograph it again" in said


def test_an_unknown_size_is_refused_with_the_known_ones(photographed, capsys):
    assert gauge.main([str(photographed), "--size", "girth_px"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "--size girth_px: not among what" in said
    assert "outer_diameter_px" in said


def test_a_folder_without_pictures_is_refused(tmp_path, capsys):
    assert gauge.main([str(tmp_path)]) == 1
    assert "no pictures as PART/OPERATOR/PICTURE" in " ".join(capsys.readouterr().err.split())
