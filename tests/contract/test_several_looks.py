"""What is kept of a picture that somebody is enrolled from."""

import numpy as np
import pytest

from contract import several_looks
from contract.ops import drawn, image
from contract.spec import Detection, Window
from contract.workloads.faces import CHIP, PLACES, WORKLOAD

POINTS = 2.0 * PLACES + (30.0, 20.0)


def window(picture):
    return Window("camera", 0, 0, 0, picture, 0.0)


def face(vector):
    return Detection("face", 0.9, vector=np.array(vector, np.float32), points=POINTS)


def test_looks_differ_a_little_in_size_turn_and_place():
    """Where nine looks have the middle between the eyes: around where one has it, within pixels."""
    spot = np.zeros((400, 400, 3), np.float32)
    x, y = np.round(POINTS[:2].mean(axis=0)).astype(int)
    spot[y - 6 : y + 6, x - 6 : x + 6] = 255.0
    aligned = image.similarity(POINTS, PLACES)
    middles = []
    for moved in several_looks._DISPLACED:
        seen = image.warp(spot, several_looks._after(aligned, moved), size=CHIP)[..., 0]
        rows, columns = np.mgrid[:CHIP, :CHIP] + 0.5
        middles.append(np.array([(columns * seen).sum(), (rows * seen).sum()]) / seen.sum())
    away = np.array(middles) - PLACES[:2].mean(axis=0)
    assert len(away) == 8
    np.testing.assert_allclose(away.mean(axis=0), 0.0, atol=0.5)
    assert np.linalg.norm(away, axis=1).min() > 1.5
    assert np.linalg.norm(away, axis=1).max() < 6.0
    sizes = [np.hypot(one[0, 0], one[1, 0]) for one in several_looks._DISPLACED]
    assert sorted({round(float(size), 3) for size in sizes}) == [0.970, 1.030]


def test_all_looks_count_alike_whatever_their_length():
    """The model says (3, 0) of every side; the first look, (0, 20), is one of nine."""
    given = []

    def embed(chips):
        given.append(chips)
        return np.tile(np.array([[3.0, 0.0]], np.float32), (len(chips), 1))

    kept = several_looks.vector(window(drawn.face(1, height=400, width=400)), face([0, 20]), embed)
    (chips,) = given
    assert chips.shape == (16, CHIP, CHIP, 3)
    np.testing.assert_array_equal(chips[1::2], chips[::2, :, ::-1])  # each with its mirror image
    np.testing.assert_allclose(kept, np.array([8.0, 1.0]) / np.hypot(8, 1), rtol=1e-6)
    assert kept.dtype == np.float32


def test_it_is_nearer_to_how_a_face_is_found_next_than_one_look_is():
    """A model of fixed random features; the same face found now a little to either side."""
    picture = drawn.face(3, height=400, width=400)
    project = np.random.default_rng(0).normal(size=(15 * 15 * 3, 64)).astype(np.float32)

    def embed(chips):
        small = chips.reshape(len(chips), 15, 10, 15, 10, 3).mean(axis=(2, 4))
        return (small.reshape(len(chips), -1) - 100.0) @ project

    def found(points):
        stage = next(one for one in WORKLOAD.stages if one.name == "embed")
        there = (Detection("face", 0.9, points=points),)
        chips = stage.preprocess(window(picture), there)
        return stage.postprocess(window(picture), there, chips, embed(chips))[0]

    rng = np.random.default_rng(1)
    first = found(POINTS + rng.normal(0.0, 4.0, 2))
    kept = several_looks.vector(window(picture), first, embed)
    one = first.vector / np.linalg.norm(first.vector)
    later = [found(POINTS + rng.normal(0.0, 4.0, 2)).vector for _ in range(40)]
    cosines = np.array([[v @ kept, v @ one] / np.linalg.norm(v) for v in later])
    assert cosines[:, 0].mean() > cosines[:, 1].mean()
    assert cosines[:, 0].min() > cosines[:, 1].min()


def test_a_face_without_an_embedding_is_nobody():
    with pytest.raises(AssertionError):
        several_looks.vector(window(drawn.face(1)), Detection("face", points=POINTS), len)
