"""From what a network says of every place to a decision."""

import numpy as np
import pytest

from contract import defects
from contract.defects import BANK, BLOCK, MEAN, MIDDLE, SPREAD, WHITEN
from contract.inspection import PASS, REJECT, REVIEW, Part
from contract.spec import OperatingPoint, Profile

POINT = OperatingPoint(threshold=2.0, clear_threshold=1.0, chosen_on="nothing", measured={})


def decided(heat, *, step_px=8.0, learned=None):
    part = Part(PASS, features=np.asarray(heat, np.float32), step_px=step_px)
    (judged,) = defects.judge((part,), Profile(POINT, learned or {}, "model", 0))
    return judged


def spot(value, *, rows=20, columns=30):
    heat = np.zeros((rows, columns, 1))
    heat[4:6, 10:13] = value
    return heat


@pytest.mark.parametrize(
    ("value", "label"), [(0.5, PASS), (1.0, REVIEW), (1.99, REVIEW), (2.0, REJECT), (9.0, REJECT)]
)
def test_two_thresholds_make_three_decisions(value, label):
    judged = decided(spot(value))
    assert judged.label == label
    assert judged.score == pytest.approx(value)
    assert judged.threshold == (1.0 if label == PASS else 2.0)
    assert (judged.box is None) == (label == PASS)


def test_a_rejected_part_says_where_and_how_large():
    judged = decided(spot(5.0))
    assert judged.box == (80.0, 32.0, 104.0, 48.0)
    assert judged.sizes == {"width_px": 24.0, "height_px": 16.0, "area_px2": 6 * 64.0}
    assert judged.reason.startswith("24 x 16 px at (80, 32): score 5, rejected from 2 on")
    assert judged.heat.shape == (20, 30)


def test_sizes_are_those_of_the_picture_where_it_was_enlarged():
    judged = decided(spot(5.0), step_px=4.0)
    assert judged.box == (40.0, 16.0, 52.0, 24.0)
    assert judged.sizes["area_px2"] == 6 * 16.0


def test_only_what_hangs_together_with_the_peak_is_measured():
    heat = spot(5.0)
    heat[15:18, 20:25] = 4.0
    assert decided(heat).box == (80.0, 32.0, 104.0, 48.0)


def test_one_noisy_place_alone_is_not_the_score():
    heat = np.zeros((20, 30, 1))
    heat[3, 3] = 3.9
    assert decided(heat).label == PASS
    assert decided(heat).score == pytest.approx(3.9 / 4)


def test_a_tiny_map_has_a_score_too():
    assert defects.score(np.array([[1.0, 3.0]], np.float32)) == 2.0


def test_distance_to_a_gaussian_of_each_place():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(4, 5, 3)).astype(np.float32)
    whiten = np.broadcast_to(np.diag([1.0, 2.0, 0.5]), (4, 5, 3, 3)).astype(np.float32)
    features = mean.copy()
    features[2, 3] += (1.0, -1.0, 4.0)
    heat = defects.heat(features, {MEAN: mean, WHITEN: whiten, BLOCK: np.array([1.0, 1.0])})
    assert heat.shape == (4, 5)
    assert heat[2, 3] == pytest.approx(np.sqrt((1 + 4 + 4) / 3))
    heat[2, 3] = 0.0
    assert not heat.any()


def test_a_larger_picture_than_learned_is_compared_with_the_edge():
    mean = np.zeros((2, 2, 1), np.float32)
    mean[:, 1] = 7.0
    learned = {MEAN: mean, WHITEN: np.ones((2, 2, 1, 1), np.float32), BLOCK: np.array([1.0, 1.0])}
    features = np.array([[0.0, 7.0, 7.0], [0.0, 7.0, 8.0], [0.0, 7.0, 7.0]], np.float32)[..., None]
    np.testing.assert_allclose(defects.heat(features, learned), [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_a_rectangle_of_places_may_share_a_gaussian():
    mean = np.array([[0.0, 5.0]], np.float32)[..., None]
    learned = {MEAN: mean, WHITEN: np.ones((1, 2, 1, 1), np.float16), BLOCK: np.array([3.0, 2.0])}
    features = np.array([[0.0, 1, 5, 5], [0, 0, 5, 7], [3, 0, 5, 5]], np.float32)[..., None]
    expected = [[0, 1, 0, 0], [0, 0, 0, 2], [3, 0, 0, 0]]
    np.testing.assert_allclose(defects.heat(features, learned), expected)


def test_a_distance_counts_by_what_good_parts_have_there():
    mean = np.zeros((1, 2, 1), np.float32)
    learned = {MEAN: mean, WHITEN: np.ones((1, 2, 1, 1), np.float32), BLOCK: np.array([1.0, 1.0])}
    levels = {MIDDLE: np.array([[1.0, 2.0]]), SPREAD: np.array([[1.0, 4.0]])}
    heat = defects.heat(np.full((1, 2, 1), 4.0, np.float32), learned | levels)
    np.testing.assert_allclose(heat, [[3.0, 0.5]])


def test_distance_to_the_nearest_of_a_bank():
    rng = np.random.default_rng(1)
    bank = rng.normal(size=(50, 8)).astype(np.float32)
    features = rng.normal(size=(70, 80, 8)).astype(np.float32)
    exact = np.sqrt(((features[:, :, None] - bank) ** 2).sum(-1).min(-1))
    np.testing.assert_allclose(defects.heat(features, {BANK: bank}), exact, atol=2e-3)
