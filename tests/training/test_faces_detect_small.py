import numpy as np
import pytest
from face_bench import BLACK, BLUE, GREEN, RED, FaceBench, FloatBench, save, write

from training import datasets
from training.datasets import DataError
from training.datasets.faces_detect_small import LEAST_IOU, iou, matches

BOX = ("file", "left", "top", "width", "height")


@pytest.fixture
def shown(tmp_path):
    """A crowd of red, green and blue, 4 pixels wide each, and a dog."""
    folder = tmp_path / "faces_detect_small"
    save(folder / "images" / "crowd.png", RED, GREEN, BLUE)
    save(folder / "images" / "dogs.png", BLACK)
    files = [("images/crowd.png", 12, 8, 3), ("images/dogs.png", 12, 8, 0)]
    write(folder / "labels.csv", ("file", "width", "height", "faces"), files)
    boxes = [("images/crowd.png", left, 0, 4, 8) for left in (0, 4, 8)]
    write(folder / "boxes.csv", BOX, boxes)
    return folder


def measured(folder, bench=None):
    found = datasets.open_folder(folder).measure(bench or FaceBench())
    return {key: found.metrics[key] for key in ("faces", "found", "unmatched")}, found


def test_every_box_is_found_and_nothing_else(shown):
    counts, found = measured(shown)
    assert counts == {"faces": 3, "found": 3, "unmatched": 0}
    assert found.metrics["pictures"] == 2
    assert [(row["name"], row["faces"], row["found"]) for row in found.rows] == [
        ("crowd", 3, 3),
        ("dogs", 0, 0),
    ]


def test_a_face_on_a_dog_and_a_face_not_found(shown):
    save(shown / "images" / "dogs.png", BLACK, RED)
    save(shown / "images" / "crowd.png", RED, BLACK, BLUE)
    counts, found = measured(shown)
    assert counts == {"faces": 3, "found": 2, "unmatched": 1}
    assert [row["unmatched"] for row in found.rows] == [0, 1]


def test_one_detection_finds_one_box(shown):
    save(shown / "images" / "crowd.png", RED, RED, BLUE)
    assert measured(shown)[0] == {"faces": 3, "found": 2, "unmatched": 0}


def test_all_faces_of_a_picture_are_compared_with_the_float_model(shown):
    _, found = measured(shown, FloatBench())
    assert found.metrics["cosine_float_int8_faces"] == 3
    assert found.metrics["cosine_float_int8_min"] == pytest.approx(np.sqrt(0.5))
    assert found.metrics["cosine_float_int8_mean"] == pytest.approx((1 + 2 * np.sqrt(0.5)) / 3)


def test_iou_by_hand():
    assert iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1.0
    assert iou((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(8 / 24)
    assert iou((0, 0, 4, 4), (1, 1, 3, 3)) == 0.25
    assert iou((0, 0, 4, 4), (4, 0, 8, 4)) == iou((0, 0, 4, 4), (9, 9, 10, 10)) == 0.0
    assert iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_the_most_overlapping_pairs_first():
    boxes = [(0.0, 0.0, 10.0, 10.0), (4.0, 0.0, 14.0, 10.0)]
    # overlaps both enough, the second more; what is left finds the first
    detected = [(3.0, 0.0, 13.0, 10.0), (0.0, 0.0, 7.0, 10.0)]
    assert min(iou(box, detected[0]) for box in boxes) > LEAST_IOU
    assert matches(boxes, detected) == 2
    assert matches(boxes, detected[:1]) == 1
    assert matches(boxes, []) == matches([], detected) == 0
    assert matches([(0.0, 0.0, 10.0, 10.0)], [(0.0, 0.0, 10.0, 3.4)]) == 0


def test_the_set_is_known_by_its_boxes(shown):
    assert datasets.open_folder(shown.rename(shown.with_name("aside"))).name == "faces_detect_small"


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (("images/cats.png", 0, 0, 1, 1), "images/cats.png"),
        (("images/dogs.png", "wide", 0, 1, 1), "wide"),
        (("images/dogs.png", 0, 0, 1, ""), "no 'height'"),
    ],
)
def test_a_damaged_table_is_named(shown, row, named):
    write(shown / "boxes.csv", BOX, [row])
    with pytest.raises(DataError) as refused:
        datasets.open_folder(shown)
    assert "boxes.csv" in str(refused.value)
    assert named in str(refused.value)
    assert "fix:" in str(refused.value)
