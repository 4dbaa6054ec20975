"""Simulated attacks: what the physics says, by numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contract.ops import drawn
from training.datasets.synthetic import replays, replays_camera, replays_held, replays_media
from training.datasets.synthetic.replays import KINDS

BOX = (90.0, 50.0, 230.0, 190.0)


def at(height, width):
    """Where the pixels of a camera look that sees a sheet from the front."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([x, y], -1)


@pytest.mark.parametrize("wide", [0.3, 0.9, 1.0, 2.7])
def test_stripes_over_a_pixel_are_the_mean_of_what_is_rendered_finely(wide):
    x = np.linspace(-3, 3, 41).astype(np.float32)
    fine = x[:, None] + (np.arange(4000) + 0.5) / 4000 * wide - wide / 2
    rendered = (((fine - 0.2 + 0.15) % 1.0) < 0.3).mean(axis=1) / 0.3
    np.testing.assert_allclose(replays_media._covered(x, wide, 0.2, 0.3), rendered, atol=5e-3)


def test_a_screen_almost_as_fine_as_the_camera_beats_with_it():
    """Stripes every 1.05 pixels seen by pixels that catch half of the light: one beat in 21."""
    medium = _lcd(pitch=1.05)
    light = medium.pattern(at(64, 420), np.full((64, 420, 3), 0.5, np.float32), 0.5)
    waves = abs(np.fft.rfft(light[32, :, 1] - light[32, :, 1].mean()))
    assert waves.argmax() == 420 / 21


def test_a_screen_far_finer_than_the_camera_is_even():
    medium = _lcd(pitch=0.25)
    light = medium.pattern(at(40, 40), np.full((40, 40, 3), 0.5, np.float32), 1.0)
    np.testing.assert_allclose(light, 0.5, atol=1e-3)


def _lcd(pitch):
    """A monitor of that pitch: generators are tried until one draws it."""

    class Drawn:
        def __init__(self):
            self._rng = np.random.default_rng(0)
            self._first = True

        def __getattr__(self, name):
            return getattr(self._rng, name)

        def uniform(self, *args):
            if self._first:
                self._first = False
                return np.log(pitch)
            return self._rng.uniform(*args)

    return replays_media.lcd_screen(Drawn())


@pytest.mark.parametrize("kind", ["lcd_screen", "oled_phone"])
def test_subpixels_share_out_the_light_and_add_none(kind):
    medium = KINDS[kind](np.random.default_rng(3))
    light = medium.pattern(at(300, 300), np.full((300, 300, 3), 0.4, np.float32), 0.7)
    np.testing.assert_allclose(light.mean(axis=(0, 1)), 0.4, rtol=0.02)
    assert light.min() >= 0.0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_dots_of_toner_cover_the_paper_as_dark_as_it_is_meant(share):
    light = np.full((200, 200, 3), 1.0 - share, np.float32)
    args = {"every": 2.3, "turn": 10.0, "is_mono": True}
    dots = replays_media._halftone(at(200, 200), light, 1.0, **args)
    assert (dots.mean() - 0.03) / 0.97 == pytest.approx(1.0 - share, abs=0.02)


def test_ink_has_weaker_blacks_and_duller_colours_than_light():
    tone = replays_media.matte_print(np.random.default_rng(0)).tone
    black, red = tone(np.array([[[0, 0, 0], [0.8, 0.1, 0.1]]], np.float32))[0]
    assert (black > 0.03).all()
    assert red[0] / red[1] < 0.8 / 0.1
    glossy = replays_media.glossy_print(np.random.default_rng(0)).tone
    assert (glossy(np.zeros((1, 1, 3), np.float32)) < 0.025).all()


def test_srgb_is_undone():
    values = np.arange(256, dtype=np.uint8)
    back = replays_camera.to_srgb(replays_camera.to_linear(values)) * 255
    np.testing.assert_allclose(back, values, atol=0.02)


def test_a_camera_for_black_and_white_gives_grey():
    camera = replays_camera.draw(np.random.default_rng(1))
    light = np.random.default_rng(0).random((40, 50, 3), np.float32)
    taken = replays_camera.take(light, camera, np.random.default_rng(2), is_mono=True)
    assert taken.shape == (40, 50, 3)
    assert np.ptp(taken.astype(int), axis=2).max() <= 2  # JPEG has colours of its own


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_is_the_same_for_the_same_seeds_and_the_face_is_in_its_box(kind):
    picture = drawn.face(0)
    one, same = (replays.replay(kind, picture, BOX, setup=7) for _ in range(2))
    np.testing.assert_array_equal(one.picture, same.picture)
    assert one.box == same.box
    later = replays.replay(kind, picture, BOX, setup=7, moment=1)
    assert later.picture.shape == one.picture.shape
    assert (later.picture != one.picture).any()
    assert (replays.replay(kind, picture, BOX, setup=8).picture.shape != one.picture.shape) or (
        replays.replay(kind, picture, BOX, setup=8).picture != one.picture
    ).any()


@pytest.mark.parametrize("setup", [0, 1, 2, 3, 5, 6])  # in 4 a lamp hides half of it
def test_the_box_follows_the_face(setup):
    """A green face on a grey ground: the middle of the green is the middle of the box."""
    picture = np.full((240, 320, 3), 128, np.uint8)
    picture[80:160, 120:200] = (20, 200, 20)
    box = (110.0, 70.0, 210.0, 170.0)
    for taken in (
        replays.living(picture, box, setup=setup),
        replays.replay("glossy_print", picture, box, setup=setup),
    ):
        rgb = taken.picture.astype(int)
        y, x = np.nonzero(rgb[..., 1] - (rgb[..., 0] + rgb[..., 2]) / 2 > 40)
        if len(x) < 50:
            continue  # a camera for black and white
        left, top, right, bottom = taken.box
        side = right - left
        inside = (abs(x - (left + right) / 2) < side) & (abs(y - (top + bottom) / 2) < side)
        assert np.median(x[inside]) == pytest.approx((left + right) / 2, abs=0.12 * side)
        assert np.median(y[inside]) == pytest.approx((top + bottom) / 2, abs=0.12 * side)
        assert np.ptp(np.percentile(x[inside], [1, 99])) / side == pytest.approx(0.8, abs=0.15)


def test_nothing_about_the_camera_tells_living_from_replayed():
    """Cameras are drawn from the setup alone."""
    picture = drawn.face(1)
    scenes = [replays._scene(picture, BOX, 5) for _ in range(2)]
    assert scenes[0].camera == scenes[1].camera
    bright = replays.living(picture, BOX, setup=5).picture
    shown = replays.replay("matte_print", picture, BOX, setup=5)
    left, top, right, bottom = (int(one) for one in shown.box)
    quarter = (right - left) // 4
    face = shown.picture[top + quarter : bottom - quarter, left + quarter : right - quarter]
    assert abs(np.median(face) - np.median(bright)) < 60  # as bright, whatever paper gives back


def test_a_sheet_ends_where_the_picture_does():
    medium = replays_media.oled_phone(np.random.default_rng(0))
    shown = np.array([-40.0, -50.0, 40.0, 50.0])
    sheet = replays_held.sheet(np.random.default_rng(0), medium, 100.0, shown=shown)
    np.testing.assert_allclose(np.abs(sheet.ends), np.abs(shown))
    where = at(300, 300) - 150
    light = np.ones((300, 300, 3), np.float32)
    over = sheet.over(np.full((300, 300, 3), 0.5, np.float32), light, where)
    assert (over[150, 150] == 1.0).all()
    assert over[150, 5] == pytest.approx(0.5)
    assert over[150, 150 + 42] == pytest.approx(sheet.edge, abs=0.02)  # the bezel
