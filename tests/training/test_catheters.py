"""Simulated catheters: the same everywhere, defects as they are said to be, and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

from training.datasets.synthetic import catheters_camera, catheters_visible
from training.datasets.synthetic.catheters_camera import Fault
from training.datasets.synthetic.catheters_defects import DEFECTS, Spot
from training.datasets.synthetic.catheters_parts import KINDS
from training.datasets.synthetic.catheters_picture import Setup, draw, expose, is_defective
from training.datasets.synthetic.catheters_visible import least_cnr, longest_px

GOLDEN = [
    [117.0, 122.08, 129.35, 131.2],
    [131.4, 133.92, 131.12, 134.75],
    [119.37, 119.67, 117.79, 126.12],
    [104.52, 109.88, 118.31, 121.44],
]
ALL = Setup(seed=11, defect_share=1.0)


@pytest.fixture(scope="module")
def defective():
    """Forty defects before noise."""
    return [expose(ALL, number) for number in range(40)]


def test_a_picture_depends_on_seed_and_number_alone():
    first, mask, facts = draw(ALL, 5)
    draw(replace(ALL, seed=12), 4)
    again, mask_again, facts_again = draw(ALL, 5)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(mask, mask_again)
    assert facts == facts_again
    assert first.shape == (256, 256)
    assert first.dtype == np.uint8
    assert (first != draw(replace(ALL, seed=12), 5)[0]).mean() > 0.5
    assert (first != draw(ALL, 6)[0]).mean() > 0.5


def test_pictures_are_those_of_another_machine():
    """Means of squares of 64 pixels; last digits of sines may differ, a picture may not."""
    picture, _, facts = draw(Setup(seed=1, defect_share=1.0), 3)
    means = picture.reshape(4, 64, 4, 64).mean(axis=(1, 3))
    np.testing.assert_allclose(means, GOLDEN, atol=0.1)
    assert (facts.part, facts.defect_type) == ("balloon", "pinhole")


def test_nothing_changes_beyond_the_mask(defective):
    for shot in defective:
        changed = shot.seen != shot.clean
        assert not (changed & (shot.mask == 0)).any()
        # the clear middle of a bubble or the gaps of a light that is white anyway do not change
        assert changed.sum() > 0.4 * (shot.mask > 0).sum()


def test_size_is_the_extent_of_the_mask(defective):
    for shot in defective:
        rows, columns = np.nonzero(shot.mask)
        at = np.stack([rows, columns], 1).astype(float)
        apart = np.sqrt(((at[:, None] - at[None]) ** 2).sum(-1)).max()
        assert shot.facts.defect_size_px == pytest.approx(apart + 1.0, abs=0.01)
        assert 3.0 <= shot.facts.defect_size_px <= 60.0


def test_every_defect_stands_out_of_the_noise(defective):
    """Measured again from the pictures, as the module says it."""
    for shot in defective:
        sigma = catheters_visible.unrest(shot.clean)
        ratio = np.sort((abs(shot.seen - shot.clean) / sigma)[shot.mask > 0])
        reached = ratio[len(ratio) // 2 :].mean()
        assert reached == pytest.approx(shot.facts.contrast_to_noise, abs=0.01)
        assert reached > 0.999 * least_cnr(shot.facts.defect_size_px)


def test_more_is_asked_for_on_an_edge_than_on_an_even_wall():
    clean = np.full((64, 64), 120.0, np.float32)
    clean[:, 32:] = 60.0
    unrest = catheters_visible.unrest(clean)
    even = np.hypot(catheters_camera.noise_sigma(clean), 1.3)
    np.testing.assert_allclose(unrest[:, :20], even[:, :20], rtol=0.02)
    assert (unrest[:, 31:33] > 1.5 * even[:, 31:33]).all()


def test_noise_is_what_the_camera_says_it_is():
    """A grey card: the deviation of its pixels is photons and reading."""
    grey = np.full((200, 200), 128.0, np.float32)
    seen = catheters_camera.sensed(grey, Fault(), np.random.default_rng(0))
    electrons = 128.0 * catheters_camera.FULL_WELL_E / 255.0
    expected = np.sqrt(electrons + catheters_camera.READ_NOISE_E**2) / electrons * 128.0
    assert seen.std() == pytest.approx(np.sqrt(expected**2 + 1 / 12), rel=0.02)


def test_good_parts_have_no_mask_and_their_dust_is_below_tolerance():
    rng = np.random.default_rng(0)
    grey = np.full((256, 256), 128.0, np.float32)
    sigma = float(catheters_camera.noise_sigma(grey)[0, 0])
    dusty = catheters_camera.dust(grey, rng) - grey
    assert abs(dusty).max() > sigma
    assert abs(dusty).max() <= 2 * 2.5 * sigma  # two may lie on each other
    count, labels = cv2.connectedComponents((abs(dusty) > 0.5 * abs(dusty).max()).astype(np.uint8))
    assert all(longest_px(labels == k) < 3.0 for k in range(1, count))
    for number in range(12):
        shot = expose(Setup(seed=3, defect_share=0.0), number)
        assert shot.mask is None
        assert shot.facts.defect_type == "good"
        assert shot.facts.defect_size_px == 0.0
        assert shot.seen is shot.clean


@pytest.mark.slow
def test_sizes_are_log_uniform_and_every_defect_comes():
    """Kolmogorov and Smirnov: 1.63 over the root of n is passed by chance once in a hundred."""
    facts = [expose(ALL, number).facts for number in range(300)]
    at = np.sort([np.log(one.defect_size_px / 3.0) / np.log(20.0) for one in facts])
    ideal = (np.arange(len(at)) + 0.5) / len(at)
    assert abs(at - ideal).max() < 1.63 / np.sqrt(len(at)) + 0.02
    counts = Counter(one.defect_type for one in facts)
    assert set(counts) == set(DEFECTS)
    assert min(counts.values()) > 0.05 * len(facts)
    assert {one.part for one in facts} == set(KINDS)


def test_share_of_defects_is_as_asked():
    """Two in a hundred unless told; binomial, three deviations."""
    assert sum(is_defective(Setup(seed=4), k) for k in range(10_000)) == pytest.approx(200, abs=42)
    assert not any(is_defective(Setup(seed=4, defect_share=0.0), k) for k in range(100))
    shown = [expose(replace(ALL, defect_share=0.5), k).mask is not None for k in range(12)]
    assert shown == [is_defective(replace(ALL, defect_share=0.5), k) for k in range(12)]
    assert 0 < sum(shown) < 12


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_leaves_what_is_far_from_it_alone(name):
    """Drawn into an even patch: changed near its middle, nothing at the border."""
    y, x = np.mgrid[-40:41, -40:41].astype(np.float32)
    light = np.where(y < 0, 0.5, 0.6).astype(np.float32)
    spot = Spot(light, x, y, seen=1.0, lamp=-1.0, outward=-1.0)
    found = DEFECTS[name](spot, np.random.default_rng(1), 20.0)
    changed = abs(found - light) > 0.01
    assert changed.any()
    assert not (changed & (np.hypot(x, y) > 16)).any()
    again = DEFECTS[name](spot, np.random.default_rng(1), 20.0)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("size_px", [192, 512])
def test_defects_have_as_many_pixels_in_a_larger_picture(size_px):
    picture, mask, facts = draw(replace(ALL, size_px=size_px), 2)
    assert picture.shape == mask.shape == (size_px, size_px)
    assert 3.0 <= facts.defect_size_px <= 60.0


def test_views_of_a_part_are_of_the_same_part():
    setup = replace(ALL, views=3, defect_share=0.0)
    facts = [draw(setup, number)[2] for number in range(6)]
    assert [one.item for one in facts] == [0, 0, 0, 1, 1, 1]
    assert len({one.part for one in facts[:3]}) == 1


def test_faults_do_what_they_say():
    setup = Setup(seed=2, kinds=("tube",), defect_share=0.0)
    right = draw(setup, 0)[0].astype(float)
    dim = draw(setup, 0, Fault(light=0.5))[0].astype(float)
    assert dim.mean() == pytest.approx(0.5 * right.mean(), rel=0.02)
    blurred = draw(setup, 0, Fault(blur_px=2.0))[0]
    sharpness = [cv2.Laplacian(cv2.GaussianBlur(one, (0, 0), 1.0), cv2.CV_64F).var()
                 for one in (right.astype(np.uint8), blurred)]  # fmt: skip
    assert sharpness[1] < 0.5 * sharpness[0]
    low = draw(setup, 0, Fault(shift_px=20.0))[0].astype(float)
    middle = [_middle_of_dark(one) for one in (right, low)]
    assert middle[1] - middle[0] == pytest.approx(20.0, abs=2.0)


def test_lamps_and_lens_drift_slowly():
    lines = [catheters_camera.line(1, number) for number in range(0, 4000, 10)]
    light = np.array([line.light for line in lines])
    assert np.ptp(light) > 0.03
    assert abs(np.diff(light)).max() < 0.06
    assert min(line.blur_px for line in lines) > 0.3


def _middle_of_dark(picture):
    """Of the two dark edges of a tube, in the middle column."""
    column = cv2.GaussianBlur(picture, (0, 0), 3.0)[:, 128]
    upper, lower = column[:140].argmin(), 110 + column[110:].argmin()
    return (upper + lower) / 2
