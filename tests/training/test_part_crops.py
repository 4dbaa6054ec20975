"""Crops of parts, and defects drawn onto them."""

import cv2
import numpy as np
import pytest

from training import datasets, drawn_defects, part_crops
from training.part_crops import SOMEWHERE, Pictures
from training.parts import GOOD, items


@pytest.fixture
def recordings(tmp_path):
    """Four items of 300 x 320 pixels, two with a dark square of 30 x 30, one of them drawn."""
    rng = np.random.default_rng(0)
    rows = ["file,label,mask,item"]
    for i in range(4):
        picture = rng.normal(120, 5, (300, 320)).clip(0, 255)
        mask = ""
        if i < 2:
            picture[200:230, 250:280] = 10
        if i == 0:
            mask = "m.png"
            drawn = np.zeros((300, 320), np.uint8)
            drawn[200:230, 250:280] = 255
            cv2.imwrite(str(tmp_path / mask), drawn)
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture.astype(np.uint8))
        rows.append(f"{i}.png,{'defect' if i < 2 else 'good'},{mask},k{i}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return datasets.open_folder(tmp_path).recordings


def test_targets_say_what_is_known(recordings):
    pictures, labels = part_crops.pictures(recordings)
    assert labels.tolist() == [1, 1, 0, 0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        pixels, targets = part_crops.crops(drawn=0.0)(pictures[np.arange(4)], labels, rng)
        assert pixels.shape == (4, 256, 256, 3)
        assert targets.shape == (4, 32, 32, 1)
        assert 0 <= pixels.min() <= pixels.max() <= 255
        assert (targets[1] == SOMEWHERE).all()
        assert not targets[2:].any()
        places = pixels[0].mean(axis=2).reshape(32, 8, 32, 8).mean(axis=(1, 3))
        dark = places < 0.4 * np.median(places)  # in whatever light
        shown = targets[0, ..., 0] == 1
        # a place that is wholly dark is a defect's, whichever way the crop was turned
        assert (shown | (targets[0, ..., 0] == -1))[dark].all()


def test_a_defect_is_on_nearly_every_crop_of_it(recordings):
    pictures, labels = part_crops.pictures(recordings)
    rng = np.random.default_rng(1)
    shows = [
        (part_crops.crops(drawn=0.0)(pictures[np.array([0])], labels[:1], rng)[1] == 1).any()
        for _ in range(60)
    ]
    assert np.mean(shows) > 0.85


def test_hard_good_parts_come_more_often(recordings):
    pictures, labels = part_crops.pictures(recordings)

    def third_is_hard(_model, seen):
        return np.array([-float(one is pictures[np.array([3])][0]) for one in seen])

    chosen = part_crops.balanced(third_is_hard, rows=64)(
        None, (pictures, labels), np.random.default_rng(0)
    )
    assert len(chosen) == 64
    assert pictures.is_defect[chosen].sum() == 32
    assert set(chosen[pictures.is_defect[chosen]]) == {0, 1}


def test_good_parts_alone_get_defects_drawn(recordings):
    good = Pictures(items(recordings), labels=(GOOD,))
    assert len(good) == 2
    rng = np.random.default_rng(0)
    rows = part_crops.evenly(rows=60)(None, (good, np.zeros(2)), rng)
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


def test_the_same_generator_draws_the_same():
    part = np.full((256, 256, 3), 90.0, np.float32)
    one, two = (drawn_defects.draw(part, part, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
