"""Gaussians of good parts: how many places share one."""

import numpy as np

from contract import defects
from contract.defects import BLOCK, MEAN
from training import good_parts

ROWS, COLUMNS, D = 8, 6, 3


def features(count, pattern, *, moved=0):
    """Noise of unit variance around a pattern, moved down by up to so many places."""
    rng = np.random.default_rng(0)
    return [
        (
            np.roll(pattern, int(rng.integers(moved + 1)), axis=0)
            + rng.normal(size=(ROWS, COLUMNS, D))
        ).astype(np.float32)
        for _ in range(count)
    ]


def fitted(good):
    """The last fifth of them kept apart."""
    kept = len(good) * 4 // 5
    return good_parts.fit(good[:kept], good[kept:])


def test_many_parts_that_lie_alike_have_a_gaussian_for_each_place():
    pattern = np.random.default_rng(1).normal(0, 5, (ROWS, COLUMNS, D))
    learned = fitted(features(200, pattern))
    assert learned[BLOCK].tolist() == [1, 1]
    np.testing.assert_allclose(learned[MEAN], pattern, atol=0.4)
    heats = np.stack([defects.heat(x, learned) for x in features(100, pattern)])
    assert abs(np.median(heats)) < 0.1
    assert 0.98 < np.mean(heats < 1.0) < 0.999


def test_parts_that_are_the_same_everywhere_share_one():
    learned = fitted(features(20, np.zeros((ROWS, COLUMNS, D))))
    assert learned[BLOCK].prod() >= ROWS * COLUMNS / 2


def test_places_along_which_parts_move_share_one():
    columns = np.random.default_rng(1).normal(0, 5, (1, COLUMNS, D))
    along = np.random.default_rng(2).normal(0, 1, (ROWS, 1, D))
    learned = fitted(features(60, columns + along, moved=ROWS - 1))
    rows, columns = learned[BLOCK]
    assert rows >= ROWS / 2
    assert columns == 1


def test_a_defect_stands_out_where_parts_move():
    columns = np.random.default_rng(1).normal(0, 5, (1, COLUMNS, D))
    *good, part = features(60, np.repeat(columns, ROWS, axis=0))
    learned = fitted(good)
    part[5, 2] += 8.0
    heat = defects.heat(part, learned)
    assert np.unravel_index(heat.argmax(), heat.shape) == (5, 2)


def test_a_single_part_is_enough_for_something():
    learned = good_parts.fit(features(1, np.zeros((ROWS, COLUMNS, D))), [])
    assert np.isfinite(
        defects.heat(features(1, np.ones((9, 9, 1))[:ROWS, :COLUMNS])[0], learned)
    ).all()


def test_upright_and_lying_pictures_may_be_mixed():
    shapes = [(4, 12), (12, 4)] * 10
    rng = np.random.default_rng(0)
    learned = fitted([rng.normal(size=(*shape, D)).astype(np.float32) for shape in shapes])
    heat = defects.heat(rng.normal(size=(12, 12, D)).astype(np.float32), learned)
    assert np.isfinite(heat).all()
