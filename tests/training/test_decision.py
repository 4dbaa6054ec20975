"""Thresholds by cost, with a reject option, and what may be claimed of them."""

from pathlib import Path

import numpy as np
import pytest

from contract.inspection import PASS, Part
from training import decision
from training.inspection_metrics import Decided
from training.parts import DEFECT, DOUBTFUL, GOOD, Shown


def decided(good=(), defects=(), doubtful=()):
    each = [(GOOD, good), (DEFECT, defects), (DOUBTFUL, doubtful)]
    return [
        Decided(Shown(Path("p.png"), label), Part(PASS, score=float(score)), None)
        for label, scores in each
        for score in scores
    ]


def test_a_gap_between_good_and_defective_is_left_to_a_person():
    good = np.linspace(-8, -4, 100)
    point = decision.choose(decided(good, [2.0, 3.0, 5.0]), items=20)
    assert point.clear_threshold == pytest.approx(good[97], abs=0.05)
    assert -1.0 <= point.threshold <= 2.0
    assert point.measured["recall"] == 1.0
    assert point.measured["false_reject_rate"] == 0.0
    assert point.measured["to_a_person"] == pytest.approx(2 / 103)
    assert point.measured["miss_bound"] == pytest.approx(1 - 0.05 ** (1 / 3))
    assert point.chosen_on == "103 pictures of 20 items not learned from"


def test_a_miss_costs_more_than_a_false_reject():
    """Where both lie in each other's range: few to a person, few good parts rejected."""
    rng = np.random.default_rng(0)
    good, defects = rng.normal(-2, 1, 400), rng.normal(2, 1, 200)
    point = decision.choose(decided(good, defects), items=50)
    assert point.clear_threshold < point.threshold
    assert 0.05 < point.measured["to_a_person"] <= 0.2
    assert point.measured["false_reject_rate"] <= 0.04
    assert point.measured["recall"] > 0.98
    assert (defects < point.clear_threshold).mean() < (good >= point.threshold).mean() + 0.02


def test_no_more_than_a_fifth_goes_to_a_person_whatever_it_costs():
    rng = np.random.default_rng(1)
    point = decision.choose(decided(rng.normal(0, 1, 300), rng.normal(0.5, 1, 300)), items=50)
    assert point.measured["to_a_person"] <= 0.23


def test_good_parts_alone_give_quantiles_of_themselves():
    point = decision.choose(decided(np.arange(200.0)), items=10)
    assert point.clear_threshold == pytest.approx(179.0)
    assert point.threshold == pytest.approx(198.0)
    assert "recall" not in point.measured


def test_of_few_good_parts_none_is_rejected_and_the_highest_are_looked_at():
    point = decision.choose(decided(np.arange(28.0)), items=4)
    assert point.threshold > 27.0
    assert point.clear_threshold == pytest.approx(24.0)
    assert point.measured["to_a_person"] == pytest.approx(3 / 28)


def test_what_people_could_not_decide_goes_to_a_person():
    good, defects = np.linspace(-9, -5, 50), np.linspace(5, 9, 50)
    point = decision.choose(decided(good, defects, np.zeros(20)), items=20)
    assert point.measured["to_a_person"] == pytest.approx(20 / 120)
    assert point.measured["good"] == 50
