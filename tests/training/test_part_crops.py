"""Crops of parts, and defects drawn onto them."""

import cv2
import numpy as np
import pytest

from training import datasets, drawn_defects, part_crops
from training.part_crops import SOMEWHERE, Pictures
from training.parts import GOOD, items


@pytest.fixture
def recordings(tmp_path):
    """Eight items of 300 x 320 pixels, four with a dark square of 30 x 30, one of them drawn."""
    rng = np.random.default_rng(0)
    rows = ["file,label,mask,item"]
    for i in range(8):
        picture = rng.normal(120, 5, (300, 320)).clip(0, 255)
        mask = ""
        if i < 4:
            picture[200:230, 250:280] = 10
        if i == 0:
            mask = "m.png"
            drawn = np.zeros((300, 320), np.uint8)
            drawn[200:230, 250:280] = 255
            cv2.imwrite(str(tmp_path / mask), drawn)
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture.astype(np.uint8))
        rows.append(f"{i}.png,{'defect' if i < 4 else 'good'},{mask},k{i}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return datasets.open_folder(tmp_path).recordings


def test_targets_say_what_is_known(recordings):
    pictures, labels = part_crops.pictures(recordings)
    assert labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        pixels, targets = part_crops.crops(drawn=0.0)(pictures[np.arange(8)], labels, rng)
        assert pixels.shape == (8, 256, 256, 3)
        assert targets.shape == (8, 32, 32, 1)
        assert 0 <= pixels.min() <= pixels.max() <= 255
        assert (targets[1:4] == SOMEWHERE).all()
        assert not targets[4:].any()
        places = pixels[0].mean(axis=2).reshape(32, 8, 32, 8).mean(axis=(1, 3))
        dark = places < 0.4 * np.median(places)  # in whatever light
        shown = targets[0, ..., 0] == 1
        # a place that is wholly dark is a defect's, whichever way the crop was turned
        assert (shown | (targets[0, ..., 0] == -1))[dark].all()


def test_the_smallest_defect_is_one(tmp_path):
    """Two pixels, of which no place of 64 holds many; left out they would be taught as good."""
    picture, mask = np.full((300, 320), 120, np.uint8), np.zeros((300, 320), np.uint8)
    picture[150, 159:161], mask[150, 159:161] = 250, 255
    cv2.imwrite(str(tmp_path / "p.png"), picture)
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    rows = ["file,label,mask,item", "p.png,defect,m.png,a", "p.png,good,,b"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    pictures, labels = part_crops.pictures(datasets.open_folder(tmp_path).recordings)
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(40):
        _, targets = part_crops.crops(drawn=0.0)(pictures[np.array([0])], labels[:1], rng)
        shown += targets.any()
        assert (targets == 1).any() == targets.any()
    assert shown > 20


def test_a_defect_is_on_nearly_every_crop_of_it(recordings):
    pictures, labels = part_crops.pictures(recordings)
    rng = np.random.default_rng(1)
    shows = [
        (part_crops.crops(drawn=0.0)(pictures[np.array([0])], labels[:1], rng)[1] == 1).any()
        for _ in range(60)
    ]
    assert np.mean(shows) > 0.85


def test_hard_good_parts_come_more_often(tmp_path):
    """30 good parts and 4 defective ones; the model finds the last 12 it is shown the hardest."""
    cv2.imwrite(str(tmp_path / "p.png"), np.full((40, 40), 90, np.uint8))
    rows = [f"p.png,{'good' if i < 30 else 'defect'},k{i:02}" for i in range(34)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,item", *rows]) + "\n")
    examples = part_crops.pictures(datasets.open_folder(tmp_path).recordings)
    shown = part_crops.balanced(lambda _, seen: np.arange(len(seen)), rows=120)
    chosen = shown(None, examples, np.random.default_rng(0))
    times = np.bincount(chosen, minlength=34)
    assert times.sum() == 120
    assert (times[30:] == 15).all()
    tried = np.random.default_rng(0).permutation(30)
    assert (times[tried[-12:]] >= 4).all()
    assert (times[tried[:-12]] <= 1).all()


def test_good_parts_alone_get_defects_drawn(recordings):
    good = Pictures(items(recordings), labels=(GOOD,))
    assert len(good) == 4
    rng = np.random.default_rng(0)
    rows = part_crops.evenly(rows=60)(None, (good, np.zeros(4)), rng)
    _, targets = part_crops.crops(drawn=0.6)(good[rows], np.zeros(60), rng)
    share = (targets == 1).any(axis=(1, 2, 3)).mean()
    assert 0.4 < share < 0.75


def test_what_is_drawn_can_be_seen_and_lies_where_it_is_said():
    rng = np.random.default_rng(0)
    part, other = rng.normal(120, 4, (2, 256, 256, 1)).astype(np.float32)
    for seed in range(30):
        made, mask = drawn_defects.draw(part, other, np.random.default_rng(seed))
        change = np.abs(made - part)[..., 0]
        assert mask.any()
        assert change[mask > 0].mean() > 4.0
        assert change[cv2.dilate(mask, np.ones((25, 25), np.uint8)) == 0].max() < 8.0


def test_most_defects_are_drawn_where_something_is_to_be_seen():
    rng = np.random.default_rng(0)
    part = rng.normal(120, 1, (256, 256, 1)).astype(np.float32)
    part[96:160] += rng.normal(0, 25, (64, 256, 1)).astype(np.float32)  # a quarter of the picture
    masks = [drawn_defects.draw(part, part, np.random.default_rng(n))[1] for n in range(60)]
    assert np.mean([mask[96:160].sum() / mask.sum() for mask in masks]) > 0.3


def test_beside_a_busy_place_a_smooth_one_shows_faint_defects():
    rng = np.random.default_rng(0)
    part = rng.normal(120, 1, (256, 256, 1)).astype(np.float32)
    part[:64] += rng.normal(0, 60, (64, 256, 1)).astype(np.float32)
    faintest = np.inf
    for seed in range(60):
        made, mask = drawn_defects.draw(part, part, np.random.default_rng(seed))
        change = np.abs(made - part)[..., 0]
        if mask[96:].any():
            faintest = min(faintest, change[96:][mask[96:] > 0].mean())
    assert faintest < 12.0


def test_some_defects_are_outlines():
    part = np.full((256, 256, 1), 120.0, np.float32)
    masks = [drawn_defects.draw(part, part, np.random.default_rng(n))[1] for n in range(60)]
    with_hole = [
        (cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[1][..., 3] >= 0).any()
        for mask in masks
    ]
    assert 5 <= sum(with_hole) <= 40


def test_the_same_generator_draws_the_same():
    part = np.full((256, 256, 3), 90.0, np.float32)
    one, two = (drawn_defects.draw(part, part, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_a_real_defect_is_moved_onto_good_parts_with_its_mask(recordings):
    pictures, labels = part_crops.pictures(recordings)
    moved = part_crops.crops(drawn=0.0, moved=1.0)
    numbers = np.array([0, 4, 5, 6, 7])  # the one whose defect is drawn, and the good ones
    rng = np.random.default_rng(2)
    shown = 0
    for _ in range(10):
        pixels, targets = moved(pictures[numbers], labels[numbers], rng)
        for x, y in zip(pixels[1:], targets[1:, ..., 0], strict=True):
            places = x.mean(axis=2).reshape(32, 8, 32, 8).mean(axis=(1, 3))
            shown += bool((y == 1).any())
            # what is marked is darker than the part, and nothing else is
            assert (places[y == 1] < 0.9 * np.median(places)).mean() > 0.5 or not (y == 1).any()
            assert (places[y == 0] > 0.7 * np.median(places)).all()
    assert shown > 20


def test_what_covers_most_of_a_crop_is_not_moved():
    rng = np.random.default_rng(0)
    part, defective = np.full((2, 256, 256, 1), 100.0, np.float32)
    mask = np.ones((256, 256), np.uint8)
    made, moved = drawn_defects.move(part, defective + 50, mask, rng)
    np.testing.assert_array_equal(made, part)
    assert not moved.any()


def test_grey_and_coloured_parts_may_stand_in_one_folder(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file,label,item"]
    for i in range(4):
        picture = rng.uniform(0, 255, (260, 260, 3 if i % 2 else 1)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
        rows.append(f"{i}.png,{'defect' if i == 0 else 'good'},k{i}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    pictures, labels = part_crops.pictures(datasets.open_folder(tmp_path).recordings)
    made = part_crops.crops(drawn=1.0)(pictures[np.arange(4)], labels, rng)[0]
    assert made.shape == (4, 256, 256, 3)
