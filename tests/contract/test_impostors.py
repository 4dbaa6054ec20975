"""From how often strangers were alike to the cosine that keeps a promise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import impostors
from contract.impostors import Tail

TAIL = Tail(1_000_000, ((0.5, 100_000), (0.6, 10_000), (0.7, 1_000)))


def test_wilsons_bound_by_hand():
    """Of 0 in n it is z²/(n + z²); 10 of 100 with z = 1.6449 give 0.1595."""
    z2 = 1.6449**2
    assert impostors.upper_bound(0, 1000) == pytest.approx(z2 / (1000 + z2))
    assert impostors.upper_bound(10, 100) == pytest.approx(0.16036, abs=1e-5)
    assert impostors.upper_bound(7, 7) == pytest.approx(1.0)


def test_between_two_points_the_logarithm_is_straight():
    """Halfway between the cosines the rate is the geometric mean of both bounds."""
    (_, more), (_, less) = TAIL.bounds[1:]
    wanted = math.sqrt(more * less)
    found = impostors.threshold_for(1000 * wanted, 1, TAIL)
    assert found.cosine == pytest.approx(0.65)
    assert found.false_match_rate == pytest.approx(wanted)
    assert found.is_measured


def test_at_a_measured_point_it_is_that_point():
    """Above the highest rate measured nothing lower is believed."""
    for cosine, bound in TAIL.bounds:
        assert impostors.threshold_for(1000 * bound, 1, TAIL).cosine == pytest.approx(cosine)
    assert impostors.threshold_for(900.0, 1, TAIL).cosine == 0.5


def test_beyond_the_tail_it_goes_on_as_over_its_last_well_counted_tenth():
    """From 10,000 to 1,000 in 0.1; a tenth of the last bound is 0.1 beyond it."""
    found = impostors.threshold_for(1000 * TAIL.bounds[-1][1] / 10, 1, TAIL)
    assert found.cosine == pytest.approx(0.8)
    assert not found.is_measured


def test_counts_of_a_few_do_not_say_how_fast_a_tail_falls():
    """400 to 20 in 0.1 (a tenth of 400 is not reached before), whatever came after."""
    tail = Tail(10_000, ((0.4, 500), (0.5, 400), (0.6, 20), (0.65, 9), (0.7, 0)))
    found = impostors.threshold_for(1000 * tail.bounds[-1][1] / 20, 1, tail)
    assert found.cosine == pytest.approx(0.8)
    steady = Tail(10_000, ((0.4, 50), (0.6, 25), (0.7, 0)))
    found = impostors.threshold_for(1000 * steady.bounds[-1][1] / 2, 1, steady)
    assert found.cosine == pytest.approx(0.9)


def test_each_person_enrolled_is_a_chance_more():
    """1 - (1 - rate)³ for three."""
    one = impostors.threshold_for(5.0, 1, TAIL)
    three = impostors.threshold_for(1000 * (1 - (1 - 0.005) ** 3), 3, TAIL)
    assert three.cosine == pytest.approx(one.cosine)
    assert three.false_match_rate == pytest.approx(0.005)
    assert impostors.threshold_for(5.0, 3, TAIL).cosine > one.cosine
    assert impostors.threshold_for(5.0, 0, TAIL) == one


def test_a_promise_nobody_can_keep_is_refused():
    """With the number and how many are enrolled."""
    with pytest.raises(ValueError, match=r"false_accepts_per_1000 = 1e-09 with 5 enrolled.*; fix"):
        impostors.threshold_for(1e-9, 5, TAIL)
    for flat in (Tail(100, ((0.5, 1), (0.6, 1))), Tail(100, ((0.5, 20), (0.6, 20)))):
        with pytest.raises(ValueError, match="no cosine"):
            impostors.threshold_for(0.1, 1, flat)
    few = Tail(100, ((0.5, 20), (0.6, 1)))
    with pytest.raises(ValueError, match="no cosine"):
        impostors.threshold_for(0.1, 1, few)


def test_of_points_with_one_count_the_lowest_counts():
    """Nothing is known to be rarer at the higher one."""
    tail = Tail(1000, ((0.5, 10), (0.6, 10), (0.7, 0)))
    assert [cosine for cosine, _ in tail.bounds] == [0.5, 0.7]


def test_counting_and_travelling_in_an_operating_point():
    """Both ways; cosines as they are counted at."""
    tail = impostors.count([0.1, 0.5, 0.55, 0.91], at=[0.5, 0.9])
    assert tail == Tail(4, ((0.5, 3), (0.9, 1)))
    measured = tail.measured()
    assert measured == {
        "impostor_pairs": 4.0,
        "impostors_at_0.5000": 3.0,
        "impostors_at_0.9000": 1.0,
    }
    assert impostors.read({"auc": 0.9, **measured}) == tail
    assert impostors.read({"auc": 0.9}) is None


@pytest.mark.parametrize(
    "reaching",
    [
        (),
        ((0.5, 1),),
        ((0.5, 1), (0.6, 2)),
        ((0.6, 2), (0.5, 1)),
        ((0.5, 2), (0.5, 1)),
        ((0.5, 200), (0.6, 1)),
        ((0.5, 2), (0.6, -1)),
    ],
)
def test_what_is_no_tail_is_refused(reaching):
    """It must fall, and be of at least two points."""
    with pytest.raises(ValueError, match="no tail"):
        Tail(100, reaching)


@given(st.floats(1e-3, 900.0), st.floats(1e-3, 900.0), st.integers(1, 500))
def test_a_stricter_promise_never_asks_for_less(one, other, persons):
    """Nor do more people."""
    strict, loose = sorted((one, other))

    def cosine(promise, people):
        try:
            return impostors.threshold_for(promise, people, TAIL).cosine
        except ValueError:
            return 2.0

    assert cosine(strict, persons) >= cosine(loose, persons)
    assert cosine(strict, persons + 1) >= cosine(strict, persons)
