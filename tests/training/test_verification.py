import math

import numpy as np
import pytest

from training.verification import (
    best_threshold,
    cosines,
    eer,
    exact_interval,
    fnir_at_fpir,
    match_rate,
    over_persons,
    paired_cosines,
    spread,
    tar_at_fmr,
    ten_fold,
    threshold_at,
)

GENUINE = np.array([0.9, 0.8, 0.7, 0.4])
IMPOSTOR = np.array([0.6, 0.5, 0.3, 0.2, 0.1])


def test_cosines_of_every_two_whatever_their_length():
    rows = np.array([[3, 0], [0, 0]], np.float32)
    columns = np.array([[5, 0], [0, 2], [-1, 0], [1, 1]], np.float32)
    np.testing.assert_allclose(cosines(rows, columns), [[1, 0, -1, math.sqrt(0.5)], [0, 0, 0, 0]])


def test_cosines_of_each_pair():
    first = np.array([[3, 0], [0, 0], [0, -2]], np.float32)
    second = np.array([[1, 1], [1, 0], [0, 7]], np.float32)
    np.testing.assert_allclose(paired_cosines(first, second), [math.sqrt(0.5), 0, -1])


def test_a_score_at_the_threshold_matches():
    assert match_rate(GENUINE, 0.8) == 0.5
    assert match_rate(GENUINE, 0.81) == 0.25


def test_the_threshold_lets_at_most_the_share_through():
    assert threshold_at(IMPOSTOR, 0.2) == np.nextafter(0.5, 1)
    assert match_rate(IMPOSTOR, threshold_at(IMPOSTOR, 0.2)) == 0.2
    # one percent of five is none
    assert threshold_at(IMPOSTOR, 0.01) == np.nextafter(0.6, 1)
    assert threshold_at(IMPOSTOR, 1.0) == -math.inf
    # 1 % of 100 is one, though 0.01 * 100 may round below
    assert match_rate(np.arange(100), threshold_at(np.arange(100), 0.01)) == 0.01


def test_equal_scores_pass_together_or_not_at_all():
    scores = np.array([0.5, 0.5, 0.5, 0.1])
    assert match_rate(scores, threshold_at(scores, 0.25)) == 0.0


def test_tar_at_fmr():
    assert tar_at_fmr(GENUINE, IMPOSTOR, 0.2) == 0.75
    assert tar_at_fmr(GENUINE, IMPOSTOR, 0.4) == 1.0
    assert tar_at_fmr(GENUINE, IMPOSTOR, 0.01) == 0.75


def test_eer_is_where_both_errors_cross():
    # FMR falls from 2/5 at 0.5 to 1/5 at 0.6, FNMR is 1/4 at both
    assert eer(GENUINE, IMPOSTOR) == pytest.approx(0.25)
    # FMR falls from 1/2 to 0, FNMR rises from 0 to 1/4: they meet at 2/3 of the way
    assert eer(np.array([0.9, 0.8, 0.7, 0.5]), np.array([0.5, 0.1])) == pytest.approx(1 / 6)
    assert eer(np.array([0.9, 0.8]), np.array([0.1, 0.7])) == 0.0
    assert eer(np.array([0.1]), np.array([0.9])) == 1.0
    assert eer(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.5


def test_faces_not_found_count_as_never_matching():
    genuine = np.array([0.9, 0.8, -np.inf, -np.inf])
    # half of the genuine pairs never match: at 0.2 half of the impostors do
    assert eer(genuine, np.array([0.2, 0.1])) == 0.5
    assert eer(genuine, np.array([0.2, -np.inf])) == 0.5
    assert eer(np.array([0.9, 0.8, 0.7, -np.inf]), np.array([0.2, 0.1])) == 0.25


def test_the_best_threshold_is_in_the_middle_of_the_equally_good():
    scores = np.array([0.1, 0.2, 0.6, 0.8])
    assert best_threshold(scores, np.array([False, False, True, True])) == pytest.approx(0.4)
    # nobody is the same: above all; everybody is: at or below all
    assert best_threshold(scores, np.zeros(4, bool)) > 0.8
    assert best_threshold(scores, np.ones(4, bool)) <= 0.1
    assert best_threshold(np.array([-np.inf]), np.array([True])) == 0.0


def test_ten_folds_are_judged_by_the_thresholds_of_the_others():
    # the second fold's scores lie higher by half: a threshold of its own would be perfect
    scores = np.array([0.1, 0.3, 0.1, 0.3, 0.6, 0.8, 0.6, 0.8])
    is_same = np.array([False, True] * 4)
    fold = np.repeat([0, 1], 4)
    np.testing.assert_array_equal(ten_fold(scores, is_same, fold), [0.5, 0.5])
    np.testing.assert_array_equal(ten_fold(scores % 0.5, is_same, fold), [1.0, 1.0])


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.3084971),  # 1 - 0.025 ** (1 / 10)
        (10, 10, 0.6915029, 1.0),
        (0, 3000, 0.0, 0.0012289),  # nearly the rule of three
        (5, 10, 0.1870860, 0.8129140),  # Clopper and Pearson's own tables: 0.187, 0.813
        (1, 1, 0.025, 1.0),
        (250, 278, 0.857728, 0.932024),
    ],
)
def test_exact_intervals(hits, of, low, high):
    found = exact_interval(hits, of)
    assert found == pytest.approx((low, high), abs=2e-5)


def test_an_exact_interval_of_many_is_that_of_the_normal_distribution():
    low, high = exact_interval(12_000, 24_000)
    assert (low, high) == pytest.approx(
        (0.5 - 1.96 * 0.5 / 24_000**0.5, 0.5 + 1.96 * 0.5 / 24_000**0.5), abs=5e-5
    )


def test_the_bootstrap_draws_persons_not_pairs():
    # one person of ten is wrong in every pair, each person has twenty of their own
    person = np.repeat(np.arange(10), 20)
    by_person = over_persons(person == 3, person, person, seed=1)
    assert by_person[0] == 0.0
    assert 0.25 <= by_person[1] <= 0.35  # a third time is drawn once in 14
    # as if every pair were somebody else's
    pair = np.arange(200)
    by_pair = over_persons(person == 3, pair, pair, seed=1)
    assert by_pair == pytest.approx((0.06, 0.145), abs=0.02)
    assert over_persons(person == 3, person, person, seed=1) == by_person


def test_a_pair_of_two_counts_as_often_as_both_are_drawn():
    first, second = np.array([0, 0, 1]), np.array([1, 2, 2])
    assert over_persons(np.ones(3, bool), first, second, seed=0) == (1.0, 1.0)
    low, high = over_persons(np.array([True, False, False]), first, second, seed=0)
    assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("accuracies", "sd", "gap", "ser"),
    [
        # Racial Faces in the Wild: a prototype, and a network of 128 numbers
        ((73.63, 78.77, 87.99, 84.16), 5.43, 14.4, 2.20),
        ((80.20, 83.41, 89.76, 85.97), 3.50, 9.6, 1.93),
    ],
)
def test_the_spread_of_published_accuracies(accuracies, sd, gap, ser):
    found = spread([value / 100 for value in accuracies])
    assert found.sd * 100 == pytest.approx(sd, abs=0.005)
    assert found.gap * 100 == pytest.approx(gap, abs=0.05)
    assert found.ser == pytest.approx(ser, abs=0.005)


def test_a_group_without_any_error_has_no_error_ratio():
    assert spread([1.0, 0.9]).ser is None


def test_fnir_at_fpir():
    enrolled = np.array([0.9, 0.7, 0.5, -np.inf])
    assert fnir_at_fpir(enrolled, np.array([0.6, 0.1]), 0.01) == 0.5
    assert fnir_at_fpir(enrolled, np.array([0.6, 0.1]), 0.5) == 0.25
