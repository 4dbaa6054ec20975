"""What the network for liveness is shown of a face."""

from __future__ import annotations

import numpy as np
import pytest

from contract.ops import live


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def test_the_second_look_is_the_cameras_own_pixels(noise):
    looks = live.looks(noise, (150.0, 100.0, 250.0, 200.0))
    assert looks.shape == (80, 80, 6)
    assert looks.dtype == np.float32
    np.testing.assert_allclose(looks[..., 3:], noise[110:190, 160:240], atol=1e-3)


def test_the_first_look_has_the_surroundings():
    """2.3 sides of the box: an edge a whole side from its middle is seen, one further is not."""
    picture = np.zeros((400, 400, 3), np.uint8)
    box = (150.0, 150.0, 250.0, 250.0)
    picture[:, 305:310] = 255
    assert live.looks(picture, box)[..., :3].max() > 200
    picture[:] = 0
    picture[:, 320:] = 255
    assert live.looks(picture, box)[..., :3].max() == 0


def test_of_a_large_face_the_second_look_shows_a_good_part_of_it():
    """Else it would be a patch of skin: 0.45 of 1000 pixels."""
    picture = np.zeros((1200, 1200, 3), np.uint8)
    picture[:, 820:] = 255  # 220 from the middle
    look = live.looks(picture, (100.0, 100.0, 1100.0, 1100.0))[..., 3:]
    assert look[:, -1].max() > 100
    assert look[:, :-2].max() < 30


def test_beyond_the_picture_its_edge_goes_on(noise):
    look = live.looks(noise, (-40.0, -40.0, 60.0, 60.0))[..., :3]
    np.testing.assert_array_equal(look[0, :20], look[10, :20])


def test_a_box_of_no_size_is_one_pixel(noise):
    assert np.isfinite(live.looks(noise, (10.0, 10.0, 10.0, 10.0))).all()
