"""Figures of decisions against hand-computed values."""

from pathlib import Path

import numpy as np
import pytest

from contract.inspection import PASS, REJECT, REVIEW, Part
from training import inspection_metrics as metrics
from training.inspection_metrics import Decided
from training.parts import DEFECT, DOUBTFUL, GOOD, Shown


def one(label, score, outcome, *, mask=None, heat=None, name="p"):
    return Decided(Shown(Path(f"{name}.png"), label), Part(outcome, score=score, heat=heat), mask)


def test_areas_and_ranks_by_hand():
    is_defect = np.array([False, False, True, False, True])
    scores = np.array([0.1, 0.4, 0.4, 0.2, 0.9])
    # of the 6 pairs 5 are right and one is a tie
    assert metrics.auroc(is_defect, scores) == pytest.approx(5.5 / 6)
    assert metrics.average_precision(is_defect, np.array([1, 5, 4, 2, 9])) == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_pairs_that_int8_cannot_rank_are_counted():
    good, defects = np.linspace(0.0, 0.01, 11), np.array([0.005, 0.05, *np.full(8, 2.55)])
    is_defect = np.arange(21) >= 11
    # two steps are 0.02: one defect of ten lies among the good ones, none of the others near them
    assert metrics.too_close(is_defect, np.concatenate([good, defects])) == pytest.approx(0.1)
    assert metrics.too_close(is_defect, np.concatenate([good, defects + 3.0])) == 0.0
    upside_down = np.concatenate([good + 9.0, defects])
    assert metrics.too_close(is_defect, upside_down) == 0.0


def test_recall_where_a_share_of_good_parts_is_rejected():
    scores = np.concatenate([np.arange(20.0), [18.5, 19.5]])
    is_defect = np.arange(22) >= 20
    assert metrics.recall_at(is_defect, scores, 0.05) == 1.0
    assert metrics.recall_at(is_defect, scores, 0.0) == 0.5


def test_decisions_are_counted_as_a_line_counts_them():
    every = [
        *(one(GOOD, i, PASS) for i in range(6)),
        one(GOOD, 8, REVIEW),
        one(GOOD, 9, REJECT),
        one(DEFECT, 3, PASS),
        one(DEFECT, 8, REVIEW),
        *(one(DEFECT, 10, REJECT) for _ in range(8)),
        one(DOUBTFUL, 7, REVIEW),
        one(DOUBTFUL, 1, PASS),
    ]
    found = metrics.figures(every)
    assert found["files"] == 20
    assert (found["good"], found["defects"]) == (8, 10)
    assert found["recall"] == pytest.approx(0.9)
    assert found["false_reject_rate"] == pytest.approx(1 / 8)
    assert found["decided_share"] == pytest.approx(17 / 20)
    assert found["error_on_decided"] == pytest.approx(2 / 16)
    assert "aupro" not in found


def test_without_a_miss_in_n_about_3_by_n_may_be_claimed():
    assert metrics.miss_bound(0, 300) == pytest.approx(3 / 300, rel=0.02)
    assert metrics.miss_bound(300, 300) == 1.0
    assert metrics.miss_bound(1, 100) > 0.04


def spots(*, peak):
    mask = np.zeros((80, 80), bool)
    mask[20:30, 20:40] = True
    mask[60:64, 60:64] = True
    heat = np.zeros((80, 80), np.float32)
    heat[peak] = 2.0
    heat[20:30, 20:40] += 1.0
    heat[60:64, 60:64] += 1.0
    return mask, heat


def test_places_of_a_map_against_what_is_drawn():
    mask, heat = spots(peak=(25, 25))
    right = metrics.figures([one(DEFECT, 1, REJECT, mask=mask, heat=heat)])
    assert right["pointing"] == 1.0
    assert right["aupro"] == pytest.approx(1.0, abs=0.01)
    mask, heat = spots(peak=(75, 10))
    wrong = metrics.figures([one(DEFECT, 1, REJECT, mask=mask, heat=heat)])
    assert wrong["pointing"] == 0.0


def test_each_drawn_region_counts_the_same_however_small():
    mask, heat = spots(peak=(25, 25))
    heat[60:64, 60:64] = -1.0
    found = metrics.figures([one(DEFECT, 1, REJECT, mask=mask, heat=heat)])
    assert found["aupro"] == pytest.approx(0.5, abs=0.02)


def test_labels_that_look_wrong_come_first():
    every = [
        *(one(GOOD, score, PASS) for score in (0.0, 1.0, 2.0)),
        one(GOOD, 12.0, REJECT, name="missed by people"),
        *(one(DEFECT, score, REJECT) for score in (9.0, 10.0, 11.0)),
        one(DEFECT, 0.5, PASS, name="not there"),
    ]
    names = [suspect.shown.file.stem for suspect in metrics.suspects(every)]
    assert names[0] == "missed by people"
    assert set(names) == {"missed by people", "not there"}
