"""What a picture is like, on pictures whose light, focus and place are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.ops.looks import REACH, VIEW, looks, moved, shift

SIDE = 256


def picture_of(values):
    """(height, width[, 3]) of any numbers as a picture."""
    whole = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return whole if whole.ndim == 3 else np.repeat(whole[..., None], 3, axis=2)


def scene(seed=0, *, right=0, down=0):
    """A part with an edge, two marks and a grain, somewhere before a plain ground."""
    rng = np.random.default_rng(seed)
    part = np.full((SIDE, SIDE), 90.0)
    part[70 + down : 170 + down, 40 + right : 200 + right] = 150.0
    part[90 + down : 110 + down, 60 + right : 75 + right] = 60.0
    part[130 + down : 150 + down, 150 + right : 180 + right] = 200.0
    return picture_of(part + rng.normal(0.0, 2.0, part.shape))


def blurred(picture, sigma_px):
    return cv2.GaussianBlur(picture, (0, 0), sigma_px)


class TestLight:
    """The brighter half of the pixels, logarithmic."""

    @pytest.mark.parametrize("level", [0, 50, 255])
    def test_of_a_plain_picture_is_its_level(self, level):
        assert looks(picture_of(np.full((64, 64), level))).light == pytest.approx(np.log(1 + level))

    def test_a_dark_ground_does_not_count(self):
        half = np.zeros((64, 64))
        half[:, 32:] = 100.0
        assert looks(picture_of(half)).light == pytest.approx(np.log(101))
        # a quarter at 200 before black: half of the brighter half
        quarter = np.zeros((64, 64))
        quarter[:32, 32:] = 200.0
        assert looks(picture_of(quarter)).light == pytest.approx(np.log(101))

    def test_half_the_lamp_is_the_same_step_of_any_picture(self):
        for bright in (scene(), picture_of(scene() * 1.2)):
            step = looks(bright).light - looks(picture_of(bright * 0.5)).light
            assert step == pytest.approx(np.log(2), abs=0.01)

    def test_contrast_is_what_the_lamp_does_not_change(self):
        whole, fog = looks(scene()), looks(picture_of(100 + scene() * 0.5))
        assert looks(picture_of(scene() * 0.5)).contrast == pytest.approx(whole.contrast, abs=0.03)
        assert fog.contrast < whole.contrast - 0.5


class TestFocus:
    """Edges beside the same edges blurred."""

    def test_falls_with_every_blur(self):
        found = [looks(scene()).focus]
        found += [looks(blurred(scene(), sigma_px)).focus for sigma_px in (0.5, 1.0, 2.0, 3.0)]
        assert (np.diff(found) < -0.03).all()

    def test_hardly_changes_with_light_and_place(self):
        sharp, soft = looks(scene()).focus, looks(blurred(scene(), 1.0)).focus
        for other in (picture_of(scene() * 0.6), scene(1, right=20, down=-15)):
            assert abs(looks(other).focus - sharp) < 0.1 * (sharp - soft)

    def test_of_nothing_to_be_seen_is_a_number(self):
        plain = looks(picture_of(np.full((64, 64), 128)))
        assert plain.focus == pytest.approx(0.0)
        assert not plain.view.any()


class TestShift:
    """Places to a part of a pixel of the small copy."""

    @pytest.mark.parametrize(("right", "down"), [(0, 0), (5, 0), (0, -7), (-20, 13), (31, 31)])
    def test_is_found(self, right, down):
        found = shift(looks(scene(1, right=right, down=down)).view, looks(scene(2)).view)
        assert np.array(found) * SIDE == pytest.approx([right, down], abs=1.0)

    def test_does_not_depend_on_light_or_focus(self):
        soft = picture_of(blurred(scene(1, right=8, down=-4), 2.0) * 0.5)
        found = shift(looks(soft).view, looks(scene(2)).view)
        assert np.array(found) * SIDE == pytest.approx([8, -4], abs=1.0)

    def test_of_nothing_is_a_place_within_reach(self):
        nothing = looks(picture_of(np.full((64, 64), 128))).view
        assert np.abs(shift(nothing, looks(scene()).view)).max() <= REACH / VIEW

    def test_moved_goes_where_shift_finds_it(self):
        view = looks(scene()).view
        there = moved(view, 4 / SIDE, -10 / SIDE)
        assert np.array(shift(there, view)) * SIDE == pytest.approx([4, -10], abs=0.7)

    def test_pixels_are_of_the_picture(self):
        wide = looks(picture_of(np.zeros((40, 90))))
        assert (wide.height, wide.width) == (40, 90)
